"""From a proof to its verdict: read what the ledger knows, judge, honour; wait for what is on its way."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import asyncpg
import structlog

from pay402.api.keys import Caller
from pay402.api.resources import Resources
from pay402.api.settings import thresholds
from pay402.api.tokens import Token
from pay402.chain.decode import MalformedAnswerError, decode
from pay402.chain.rpc import RpcError
from pay402.ledger import claims
from pay402.ledger.amounts import least_equal_amount, to_base_units
from pay402.ledger.claims import ClaimContext, Honoured, Proof, Terms
from pay402.ledger.judge import Claim, Outcome, Standing, Transfer, Verdict, judge

_log = structlog.get_logger(__name__)

_MAX_AGE_MS: Final = 15 * 60 * 1000
_MAX_AHEAD_MS: Final = 60 * 1000
_LOST_RACES: Final = 5
# Before a node is asked about a transaction that the ledger does not have; most arrive within that time.
_LOOK_AFTER_SECONDS: Final = 0.3
_LOOK_SECONDS: Final = 1.5
# Notifications can be lost; looking again is the remedy.
_LOOK_AGAIN_SECONDS: Final = 0.5


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
    """What is answered, and for a claim that is honoured its transfer, with the slot."""

    outcome: Outcome
    transfer: Transfer | None = None
    slot: int | None = None
    honoured: Honoured | None = None


async def verify(parts: Resources, question: Question, caller: Caller | None, started: float) -> Answer:
    """Judge `question` and honour it where that is right.

    `started` is the loop's time at which waiting began.

    Raises:
        asyncpg.PostgresError: The database is away: nothing is said about the payment.
    """
    if not question.is_signed:
        return Answer(Outcome.INVALID_SIGNATURE)
    attempt = _Attempt(parts, question, caller)
    found = await attempt.judge_once()
    if found.outcome is Outcome.PAYMENT_PENDING:
        found = await attempt.wait(started + parts.settings.verify_wait_ms / 1000)
    return found


class _Attempt:
    """One request's way through the ledger."""

    def __init__(self, parts: Resources, question: Question, caller: Caller | None) -> None:
        self._parts = parts
        self._question = question
        self._caller = caller
        # An admin who names a wallet asks for the merchant to whom it belongs.
        user_id = None if caller is None or (caller.is_admin and question.recipient) else caller.user_id
        self._proof = Proof(user_id, question.nonce, question.transaction, question.payer, question.recipient)
        self._terms: Terms | None = None
        # Whoever sends nothing but a wallet's address could fill the table with claims.
        self._may_be_pending = caller is not None

    async def judge_once(self) -> Answer:
        """Read, judge, honour. A race that is lost to another claim is judged again by what is true then."""
        async with self._parts.database.acquire() as connection:
            for _ in range(_LOST_RACES):
                (context,) = await claims.read_contexts(connection, self._parts.queries, [self._proof])
                try:
                    if (found := await self._settle(connection, context)) is not None:
                        return found
                except (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError):
                    continue
        return Answer(Outcome.REPLAY_ATTACK)

    async def _settle(self, connection: asyncpg.pool.PoolConnectionProxy, context: ClaimContext) -> Answer | None:
        """The answer by `context`; `None` when it has changed meanwhile."""
        queries, question = self._parts.queries, self._question
        known = context.known
        if known is not None and known.code is not None:
            return Answer(Outcome(known.code))
        if context.use is not None and context.use.told_at is None and self._is_of_this_payer(context):
            honoured = await claims.tell(connection, queries, context.use.id, question.agent_id)
            transfer = next((t for t in context.transfers if t.path == context.use.path), None)
            if honoured is None or transfer is None:
                return Answer(Outcome.REPLAY_ATTACK)
            return Answer(Outcome.HONOURED, transfer, context.slots[transfer.path], honoured)
        claim = self._claim(context)
        verdict = judge(claim, context.transfers, standing=self._standing(context))
        if verdict.outcome in {Outcome.PAYMENT_PENDING, Outcome.HONOURED}:
            assert context.merchant is not None
            self._terms = self._stored_terms(context.merchant, claim, context)
            self._may_be_pending = self._may_be_pending or context.request is not None
        if not verdict.is_honoured:
            return Answer(verdict.outcome)
        return await self._honour(connection, context, verdict)

    async def _honour(
        self, connection: asyncpg.pool.PoolConnectionProxy, context: ClaimContext, verdict: Verdict
    ) -> Answer | None:
        assert self._terms is not None
        assert verdict.transfer is not None
        queries, transfer = self._parts.queries, verdict.transfer
        if context.known is None:
            made = await claims.honour(connection, queries, [(self._terms, transfer)])
        else:
            made = await claims.honour_pending(connection, queries, [(context.known.id, transfer.path)], is_asked=True)
        honoured = made.get((self._terms.merchant, self._terms.nonce))
        if honoured is None:
            return None
        return Answer(Outcome.HONOURED, transfer, context.slots[transfer.path], honoured)

    def _is_of_this_payer(self, context: ClaimContext) -> bool:
        use, question = context.use, self._question
        return use is not None and (use.signature, use.payer) == (question.transaction, question.payer)

    def _standing(self, context: ClaimContext) -> Standing:
        question, request = self._question, context.request
        age_ms = time.time_ns() // 1_000_000 - question.made_at_ms
        in_time = -_MAX_AHEAD_MS <= age_ms <= _MAX_AGE_MS
        if request is not None:
            in_time = in_time and request.expires_at.timestamp() > time.time()
        is_followed = context.named_is_followed if question.recipient else context.has_wallets
        return Standing(
            # A claim that is known was in time when it was made.
            is_in_time=in_time or context.known is not None,
            has_merchant=context.merchant is not None or question.recipient is not None,
            is_followed=is_followed or (request is not None and question.recipient is None),
            is_nonce_free=context.use is None,
            is_as_requested=request is None or self._is_as_requested(context),
        )

    def _is_as_requested(self, context: ClaimContext) -> bool:
        question, request = self._question, context.request
        assert request is not None
        least = least_equal_amount(request.amount, question.token.decimals)
        return (
            request.mint in question.token.mints
            and question.amount in {request.amount, least}
            and question.recipient in {None, request.recipient}
            and (question.resource is None or request.resource in {None, question.resource})
        )

    def _claim(self, context: ClaimContext) -> Claim:
        question, request = self._question, context.request
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
        token = self._question.token
        if self._caller is not None and self._caller.final_only:
            return True
        above = thresholds(self._parts.settings.finalized_above).get(token.symbol.upper())
        if above is None:
            return False
        return above == 0 or amount >= to_base_units(above, token.decimals)

    def _stored_terms(self, merchant: str, claim: Claim, context: ClaimContext) -> Terms:
        question, request = self._question, context.request
        environment = self._caller.environment if self._caller else request.environment if request else "live"
        return Terms(
            merchant=merchant,
            nonce=question.nonce,
            signature=question.transaction,
            claim=claim,
            mint=question.token.mint,
            currency=question.token.symbol,
            recipient=request.recipient if request is not None else question.recipient,
            resource=question.resource or (request.resource if request is not None else None),
            agent_id=question.agent_id,
            environment=environment,
        )

    async def wait(self, deadline: float) -> Answer:
        """Wait for the transaction to arrive in the ledger; if it does not, remember the claim as pending."""
        loop = asyncio.get_running_loop()
        found = Answer(Outcome.PAYMENT_PENDING)
        arrivals = self._parts.arrivals
        if arrivals.waiting < self._parts.settings.waiting_requests:
            with arrivals.expected(self._question.transaction) as arrived:
                # It may have come between the first look and now.
                found = await self.judge_once()
                look = asyncio.create_task(self._look_on_chain(deadline))
                try:
                    while found.outcome is Outcome.PAYMENT_PENDING and (left := deadline - loop.time()) > 0:
                        woken = asyncio.create_task(arrived.wait())
                        waiting = {woken} if look.done() else {woken, look}
                        await asyncio.wait(
                            waiting, timeout=min(left, _LOOK_AGAIN_SECONDS), return_when=asyncio.FIRST_COMPLETED
                        )
                        woken.cancel()
                        if look.done() and (seen := look.result()) is not None:
                            return seen
                        arrived.clear()
                        found = await self.judge_once()
                finally:
                    look.cancel()
        if found.outcome is Outcome.PAYMENT_PENDING and self._terms is not None and self._may_be_pending:
            await claims.record_pending(
                self._parts.database, self._parts.queries, self._terms, most=self._parts.settings.pending_claims
            )
        return found

    async def _look_on_chain(self, deadline: float) -> Answer | None:
        """What the chain says of a transaction that the ledger does not have; `None` when only time can tell.

        A transaction that failed, or that pays nobody who is followed, will never be in the ledger.
        """
        left = deadline - asyncio.get_running_loop().time()
        await asyncio.sleep(min(_LOOK_AFTER_SECONDS, max(left, 0)))
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                result = await self._parts.node.transaction(self._question.transaction)
            if result is None:
                return None
            observation = decode(result)
        except (RpcError, MalformedAnswerError, TimeoutError, OSError) as error:
            _log.info("chain_not_asked", error=str(error) or type(error).__name__)
            return None
        if observation.failed:
            return Answer(Outcome.TRANSACTION_FAILED)
        paid = list(observation.transfers)
        is_ours = await self._parts.queries.any_followed(
            self._parts.database,
            wallets=[movement.destination_owner for movement in paid],
            accounts=[movement.destination for movement in paid],
        )
        return None if is_ours else Answer(Outcome.RECIPIENT_MISMATCH)
