"""One proof before its judge: what it claims, and how it stands by what the ledger knows. No input or output."""

import time
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from api.access.caller import Caller
from api.tokens import Token
from ledger.amounts import from_base_units, least_equal_amount
from ledger.claims import ClaimContext, Honoured, Proof, Terms
from ledger.judge import Claim, Outcome, Standing, Transfer, Verdict, judge

_MAX_AGE_MS: Final = 15 * 60 * 1000
_MAX_AHEAD_MS: Final = 60 * 1000


@dataclass(frozen=True, slots=True)
class Question:
    """A proof that is sound in form, with what it claims. `amount` is in base units."""

    payer: str
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
class Answer:
    """What is answered.

    Attributes:
        transfer: For a claim that is honoured, the transfer that honours it, with its slot.
        terms: What was honoured, or what may be remembered of a claim whose payment is on its way.
    """

    outcome: Outcome
    transfer: Transfer | None = None
    slot: int | None = None
    honoured: Honoured | None = None
    terms: Terms | None = None


class Case:
    """A question by a caller.

    `final_from` says from which figure on a token needs finality, by symbol. `asked_with` is the hash of the
    Idempotency-Key that came with it.
    """

    def __init__(
        self,
        question: Question,
        caller: Caller | None,
        final_from: dict[str, Decimal],
        asked_with: str | None = None,
    ) -> None:
        self.question = question
        self._asked_with = asked_with
        self._caller = caller
        self._final_from = final_from
        # An admin who names a wallet asks for the merchant to whom it belongs.
        user_id = None if caller is None or (caller.is_admin and question.recipient) else caller.user_id
        self.proof = Proof(user_id, question.nonce, question.transaction, question.payer, question.recipient)

    def judge(self, context: ClaimContext) -> tuple[Verdict, Claim]:
        """The verdict by what the ledger knows, and the claim that was judged."""
        claim = self._claim(context)
        return judge(claim, context.transfers, standing=self._standing(context)), claim

    def may_be_told(self, context: ClaimContext) -> bool:
        """True when this very proof was honoured and nobody knows: nobody asked, or the answer was lost on its way.

        That an answer was lost is believed of a request that comes again with the Idempotency-Key it came with.
        """
        use = context.use
        if use is None or (use.signature, use.payer) != (self.question.transaction, self.question.payer):
            return False
        return use.told_at is None or (self._asked_with is not None and use.asked_with == self._asked_with)

    def judge_again(self, context: ClaimContext) -> tuple[Verdict, Claim]:
        """The verdict on a claim that has its transfer, by what is claimed now: that may be more than was honoured."""
        assert context.use is not None
        path = context.use.path
        own = [replace(transfer, is_taken=False) for transfer in context.transfers if transfer.path == path]
        claim = self._claim(context)
        return judge(claim, own, standing=replace(self._standing(context), is_nonce_free=True)), claim

    def may_be_pending(self, context: ClaimContext) -> bool:
        """True where a claim may be remembered: with a key or a registered nonce.

        Whoever sends nothing but a wallet's address could fill the table with claims.
        """
        return self._caller is not None or context.request is not None

    def terms(self, context: ClaimContext, claim: Claim) -> Terms:
        """What is stored of the claim."""
        question, request = self.question, context.request
        assert context.merchant is not None
        environment = self._caller.environment if self._caller else request.environment if request else "live"
        return Terms(
            merchant=context.merchant,
            nonce=question.nonce,
            signature=question.transaction,
            claim=claim,
            mint=question.token.mint,
            currency=question.token.symbol,
            recipient=request.recipient if request is not None else question.recipient,
            resource=question.resource or (request.resource if request is not None else None),
            agent_id=question.agent_id,
            environment=environment,
            asked_with=self._asked_with,
        )

    def _standing(self, context: ClaimContext) -> Standing:
        question, request = self.question, context.request
        age_ms = time.time_ns() // 1_000_000 - question.made_at_ms
        in_time = -_MAX_AHEAD_MS <= age_ms <= _MAX_AGE_MS
        if request is not None:
            in_time = in_time and request.expires_at.timestamp() > time.time()
        is_followed = context.named_is_followed if question.recipient else context.has_wallets
        return Standing(
            is_signed=question.is_signed,
            # A claim that is known was in time when it was made.
            is_in_time=in_time or context.known is not None,
            has_merchant=context.merchant is not None or question.recipient is not None,
            is_followed=is_followed or (request is not None and question.recipient is None),
            is_nonce_free=context.use is None,
            is_as_requested=request is None or self._is_as_requested(context),
        )

    def _is_as_requested(self, context: ClaimContext) -> bool:
        question, request = self.question, context.request
        assert request is not None
        least = least_equal_amount(request.amount, question.token.decimals)
        return (
            request.mint in question.token.mints
            and question.amount in {request.amount, least}
            and question.recipient in {None, request.recipient}
            and (question.resource is None or request.resource in {None, question.resource})
        )

    def _claim(self, context: ClaimContext) -> Claim:
        question, request = self.question, context.request
        wallets = context.wallets
        if request is not None:
            wallets &= {request.recipient}
        if question.recipient is not None:
            wallets &= {question.recipient}
        amount = request.amount if request is not None else question.amount
        return Claim(
            payer=question.payer,
            recipients=wallets,
            mints=question.token.mints,
            amount=amount,
            least_amount=least_equal_amount(amount, question.token.decimals),
            exact=question.is_exact or (request is not None and request.exact),
            final_only=self._needs_finality(amount),
        )

    def _needs_finality(self, amount: int) -> bool:
        token = self.question.token
        if self._caller is not None and self._caller.final_only:
            return True
        above = self._final_from.get(token.symbol.upper())
        if above is None:
            return False
        return from_base_units(amount, token.decimals) >= above
