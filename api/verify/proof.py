"""A submitted proof: what it claims, and how it stands by what the ledger knows. No input or output."""

import datetime as dt
import time
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from api.access.caller import Caller
from api.access.environments import environment_of_payments
from api.http.fields import CLOCK_AHEAD_MS_MAX
from api.routing.idempotency import KEPT_FOR, RepeatableRequest
from api.tokens import Token
from ledger.amounts import least_equal_amount
from ledger.claims import ClaimContext, ClaimKey, Honoured, Terms, Use
from ledger.judge import Claim, Outcome, Standing, Transfer, Verdict, judge

_AGE_MS_MAX: Final = 15 * 60 * 1000

BOUND_PROOF: Final = 2
"""The version of proofs whose signature names recipient and transaction, and so is good for one payment alone."""


@dataclass(frozen=True, slots=True)
class SubmittedProof:
    """A proof that is sound in form, with what it claims. `amount` is in base units."""

    payer: str
    version: int
    is_signed: bool
    nonce: str
    transaction: str
    token: Token
    amount: int
    is_exact: bool
    made_at_ms: int
    recipient: str | None
    resource: str | None
    agent_id: str | None


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What a verification came to.

    Attributes:
        transfer: For a claim that is honoured, the transfer that honours it, with its slot.
        terms: What was honoured, or what may be remembered of a claim whose payment is on its way.
    """

    outcome: Outcome
    transfer: Transfer | None = None
    slot: int | None = None
    honoured: Honoured | None = None
    terms: Terms | None = None


class Verification:
    """A submitted proof and who sent it.

    `final_from` says by symbol from which amount on a payment has to be final. `repeatable` identifies the request
    when it is repeated, where it carries an Idempotency-Key. `client` is the address that the request came from.
    """

    def __init__(
        self,
        proof: SubmittedProof,
        caller: Caller | None,
        final_from: dict[str, Decimal],
        repeatable: RepeatableRequest | None = None,
        *,
        client: str = "unknown",
    ) -> None:
        self.proof = proof
        # Who has no key is known by its address alone, as for limits.
        self.stranger = client if caller is None else None
        self._repeatable = repeatable
        self._asked_with = f"{repeatable.key_hash} {repeatable.request_hash}" if repeatable else None
        self._caller = caller
        self._final_from = final_from
        # An admin who names a wallet asks for the merchant to whom it belongs.
        user_id = None if caller is None or (caller.is_admin and proof.recipient) else caller.user_id
        self.key = ClaimKey(
            user_id,
            proof.nonce,
            proof.transaction,
            proof.payer,
            proof.recipient,
            by_name=caller is not None and user_id is None,
            for_tests=caller is not None and environment_of_payments(caller) == "test",
        )

    def judge(self, context: ClaimContext) -> tuple[Verdict, Claim]:
        """The verdict by what the ledger knows, and the claim that was judged."""
        claim = self._claim(context)
        return judge(claim, context.transfers, standing=self._standing(context)), claim

    def is_unanswered(self, context: ClaimContext) -> bool:
        """True when this very proof's claim is honoured and its yes was not sent yet, or was lost on its way.

        It is believed to be lost when the same request comes again with the same Idempotency-Key, as long as
        answers are kept for it.
        """
        use = context.use
        if use is None or not self._is_use(use, context):
            return False
        if use.answered_at is None:
            return True
        return self._is_answered_request(use.answered_at, use.asked_with)

    def _is_answered_request(self, answered_at: dt.datetime, asked_with: str | None) -> bool:
        is_same_request = self._asked_with is not None and asked_with == self._asked_with
        return is_same_request and dt.datetime.now(dt.UTC) - answered_at < KEPT_FOR

    def was_answered(self, context: ClaimContext) -> bool:
        """True when this very proof's claim was answered with yes to another request, and undone since."""
        known = context.known
        if known is None or known.answered_at is None:
            return False
        return not self._is_answered_request(known.answered_at, known.asked_with)

    def has_key_of_another_request(self, context: ClaimContext) -> bool:
        """True when this very proof was answered with yes to another request with this Idempotency-Key, however late.

        To answer yes again would honour one payment for two orders.
        """
        use = context.use
        if use is None or use.asked_with is None or self._repeatable is None or not self._is_use(use, context):
            return False
        return use.asked_with != self._asked_with and use.asked_with.partition(" ")[0] == self._repeatable.key_hash

    def _is_use(self, use: Use, context: ClaimContext) -> bool:
        """True when the nonce was used by this very proof, or by the payment that it proves.

        What was matched by its reference is filed under the owner of the money; a delegate may have paid it.
        """
        if (use.user_id, use.signature) != (context.merchant, self.proof.transaction):
            return False
        payers = {use.payer}
        for transfer in context.transfers:
            if transfer.path == use.path:
                payers |= {transfer.source_owner or use.payer, transfer.authority or use.payer}
        return self.proof.payer in payers

    def judge_honoured(self, context: ClaimContext) -> tuple[Verdict, Claim]:
        """The verdict on a claim that has its transfer, by what is claimed now, which may be more than was honoured."""
        assert context.use is not None
        path = context.use.path
        own = [replace(transfer, is_taken=False) for transfer in context.transfers if transfer.path == path]
        claim = self._claim(context)
        return judge(claim, own, standing=replace(self._standing(context), is_nonce_free=True)), claim

    def may_be_pending(self, context: ClaimContext) -> bool:
        """True where a claim may be remembered: with a key or a registered nonce."""
        return self._caller is not None or context.request is not None

    def terms(self, context: ClaimContext, claim: Claim) -> Terms:
        """What is stored of the claim."""
        proof, request = self.proof, context.request
        assert context.merchant is not None
        by_request = request.environment if request is not None else "live"
        environment = environment_of_payments(self._caller) if self._caller is not None else by_request
        return Terms(
            merchant=context.merchant,
            nonce=proof.nonce,
            signature=proof.transaction,
            claim=claim,
            mint=proof.token.mint,
            currency=proof.token.symbol,
            recipient=request.recipient if request is not None else proof.recipient,
            resource=proof.resource or (request.resource if request is not None else None),
            agent_id=proof.agent_id,
            environment=environment,
            asked_with=self._asked_with,
        )

    def _standing(self, context: ClaimContext) -> Standing:
        proof, request = self.proof, context.request
        age_ms = time.time_ns() // 1_000_000 - proof.made_at_ms
        # A claim that is known was fresh when it was made.
        is_fresh = -CLOCK_AHEAD_MS_MAX <= age_ms <= _AGE_MS_MAX or context.known is not None
        # What counts is when it was paid, and a payment that is not here yet may have been in time.
        is_late = request is not None and context.paid_at is not None and context.paid_at > request.expires_at
        is_followed = context.named_is_followed if proof.recipient else context.has_wallets
        return Standing(
            is_signed=proof.is_signed and proof.version >= self._least_version(context),
            is_in_time=is_fresh and not is_late,
            has_merchant=self._caller is not None or request is not None,
            is_followed=is_followed or (request is not None and proof.recipient is None),
            is_nonce_free=context.use is None,
            is_as_requested=request is None or self._is_as_requested(context),
        )

    def _least_version(self, context: ClaimContext) -> int:
        by_key = self._caller.proof_version if self._caller is not None else 1
        return max(by_key, context.request.proof_version if context.request is not None else 1)

    def _is_as_requested(self, context: ClaimContext) -> bool:
        proof, request = self.proof, context.request
        assert request is not None
        least = least_equal_amount(request.amount, proof.token.decimals)
        return (
            request.mint in proof.token.mints
            and proof.amount in {request.amount, least}
            and proof.recipient in {None, request.recipient}
            and (proof.resource is None or request.resource in {None, proof.resource})
        )

    def _claim(self, context: ClaimContext) -> Claim:
        proof, request = self.proof, context.request
        wallets = context.wallets
        if request is not None:
            wallets &= {request.recipient}
        if proof.recipient is not None:
            wallets &= {proof.recipient}
        amount = request.amount if request is not None else proof.amount
        return Claim(
            payer=proof.payer,
            recipients=wallets,
            mints=proof.token.mints,
            amount=amount,
            least_amount=least_equal_amount(amount, proof.token.decimals),
            exact=proof.is_exact or (request is not None and request.exact),
            final_only=self._needs_finality(amount) or (request is not None and request.final_only),
        )

    def _needs_finality(self, amount: int) -> bool:
        if self._caller is not None and self._caller.final_only:
            return True
        return self.proof.token.needs_finality(amount, self._final_from)
