"""Judges a claim against what its transaction really moved. Pure: no clock, no database, no chain."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """What is answered to a claim, in order of precedence: the first that applies is the answer.

    The values are the codes of the HTTP contract, whose VALIDATION_ERROR and INVALID_API_KEY come before all of these.
    """

    INVALID_SIGNATURE = "INVALID_SIGNATURE"
    """The payer did not sign the nonce."""
    PAYMENT_EXPIRED = "PAYMENT_EXPIRED"
    """The proof is too old or from the future, or the payment request had expired when it was paid."""
    RECIPIENT_REQUIRED = "RECIPIENT_REQUIRED"
    """Nothing says whose money it should be."""
    RECIPIENT_NOT_FOLLOWED = "RECIPIENT_NOT_FOLLOWED"
    """The ledger does not follow that wallet, and so cannot know."""
    REPLAY_ATTACK = "REPLAY_ATTACK"
    """The nonce was used with this merchant or by this payer, or the transfer honours another claim."""
    NONCE_MISMATCH = "NONCE_MISMATCH"
    """The nonce is registered for other terms, or the transfer names another payment request."""
    PAYMENT_PENDING = "PAYMENT_PENDING"
    """The transaction is not in the ledger yet."""
    TRANSACTION_FAILED = "TRANSACTION_FAILED"
    """It failed on chain, or is known never to have landed."""
    RECIPIENT_MISMATCH = "RECIPIENT_MISMATCH"
    """It moved money, but not to this merchant."""
    CURRENCY_MISMATCH = "CURRENCY_MISMATCH"
    """It paid this merchant, but not in this token."""
    PAYER_MISMATCH = "PAYER_MISMATCH"
    """It paid this merchant in this token, but not from this payer."""
    INSUFFICIENT_AMOUNT = "INSUFFICIENT_AMOUNT"
    """It paid less than claimed."""
    AMOUNT_MISMATCH = "AMOUNT_MISMATCH"
    """It paid more than claimed, where exactly that was asked."""
    NOT_FINALIZED = "NOT_FINALIZED"
    """It is right in everything, but not final, where finality was asked."""
    HONOURED = "HONOURED"
    """A transfer of it honours the claim."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a payer says to have paid.

    Attributes:
        payer: Who paid: the owner of the tokens, or a delegate who was allowed to move them.
        recipients: The merchant's wallets that may have been paid; any one of them will do.
        mints: The mints that count as the claimed token: SOL comes native or wrapped.
        amount: In base units.
        least_amount: What counts as the amount: a client that computes in doubles rounds it down.
        exact: More than the amount is refused too.
        final_only: Only a finalized transfer will do.
    """

    payer: str
    recipients: frozenset[str]
    mints: frozenset[str]
    amount: int
    least_amount: int
    exact: bool = False
    final_only: bool = False


@dataclass(frozen=True, slots=True)
class Transfer:
    """One movement that the claimed transaction made.

    `credited` is what its destination gained, in base units. `is_taken` is true when it honours another claim,
    `names_another_request` when it carries the reference or nonce of a payment request that is not the claim's.
    Orphaned transfers are no transfers: leave them out.
    """

    path: str
    mint: str
    source_owner: str | None
    destination_owner: str | None
    authority: str | None
    credited: int
    is_final: bool
    is_taken: bool = False
    names_another_request: bool = False

    @property
    def moves_nothing(self) -> bool:
        """True when it changes nobody's money: it goes from one account of an owner to another, or to itself."""
        return self.source_owner is not None and self.source_owner == self.destination_owner


@dataclass(frozen=True, slots=True)
class Standing:
    """What has to be true of a claim whatever its transaction did, in order of precedence.

    Attributes:
        is_signed: The payer's key has signed the nonce.
        is_in_time: The proof is neither old nor from the future, and its request had not expired when it was paid.
        has_merchant: Something says whose money it should be.
        is_followed: The wallets that may have been paid are followed.
        is_nonce_free: No honoured claim of this merchant has used the nonce, and none of this payer with any merchant.
        is_as_requested: The terms are those for which the nonce is registered, if it is.
    """

    is_signed: bool = True
    is_in_time: bool = True
    has_merchant: bool = True
    is_followed: bool = True
    is_nonce_free: bool = True
    is_as_requested: bool = True

    @property
    def refusal(self) -> Outcome | None:
        """The first thing that is wrong, except for terms, which are judged after the transfers that are taken."""
        if not self.is_signed:
            return Outcome.INVALID_SIGNATURE
        if not self.is_in_time:
            return Outcome.PAYMENT_EXPIRED
        if not self.has_merchant:
            return Outcome.RECIPIENT_REQUIRED
        if not self.is_followed:
            return Outcome.RECIPIENT_NOT_FOLLOWED
        return None if self.is_nonce_free else Outcome.REPLAY_ATTACK


_GOOD_STANDING: Final = Standing()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer, and the transfer it is about: the one that honours the claim, or would if it were final."""

    outcome: Outcome
    transfer: Transfer | None = None

    @property
    def is_honoured(self) -> bool:
        """True for a claim that a transfer pays."""
        return self.outcome is Outcome.HONOURED


def judge(
    claim: Claim, transfers: Sequence[Transfer], *, standing: Standing = _GOOD_STANDING, failed: bool = False
) -> Verdict:
    """Judge `claim` by what its transaction did.

    Args:
        claim: What is claimed.
        transfers: Every movement of the transaction that is known, orphaned ones left out.
        standing: What is true of the claim besides.
        failed: True when the transaction is known to have failed, or never to have landed.

    Of several transfers that would do, the smallest is taken: two claims in one transaction then find one each.
    """
    if (refusal := standing.refusal) is not None:
        return Verdict(refusal)
    paid = [t for t in transfers if t.destination_owner in claim.recipients and not t.moves_nothing]
    in_token = [t for t in paid if t.mint in claim.mints]
    from_payer = [t for t in in_token if claim.payer in (t.source_owner, t.authority)]
    enough = [t for t in from_payer if t.credited >= claim.least_amount]
    fitting = [t for t in enough if t.credited <= claim.amount] if claim.exact else enough
    free = [t for t in fitting if not t.is_taken]
    # What names a payment request is that request's alone, whoever else holds a signature of its payer.
    own = [t for t in free if not t.names_another_request]
    is_of_others = bool(paid) and all(t.names_another_request for t in paid)
    in_order = (
        (bool(fitting) and not free, Outcome.REPLAY_ATTACK),
        (not standing.is_as_requested or is_of_others or (bool(free) and not own), Outcome.NONCE_MISMATCH),
        (failed, Outcome.TRANSACTION_FAILED),
        (not transfers, Outcome.PAYMENT_PENDING),
        (not paid, Outcome.RECIPIENT_MISMATCH),
        (not in_token, Outcome.CURRENCY_MISMATCH),
        (not from_payer, Outcome.PAYER_MISMATCH),
        (not enough, Outcome.INSUFFICIENT_AMOUNT),
        (not fitting, Outcome.AMOUNT_MISMATCH),
    )
    for applies, outcome in in_order:
        if applies:
            return Verdict(outcome)
    ready = [t for t in own if t.is_final] if claim.final_only else own
    if not ready:
        return Verdict(Outcome.NOT_FINALIZED, min(own, key=_preference))
    return Verdict(Outcome.HONOURED, min(ready, key=_preference))


def _preference(transfer: Transfer) -> tuple[int, str]:
    return transfer.credited, transfer.path
