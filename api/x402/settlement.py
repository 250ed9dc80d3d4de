"""Settles payments: reserved and stored before they are sent, awaited, and answered by what the ledger has of them."""

import asyncio
import contextlib
import datetime as dt
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import asyncpg
import structlog

from api.access.caller import Caller
from api.access.environments import environment_of_payments, may_trade
from api.http.errors import conflict, unavailable
from api.metrics import ApiMetrics
from api.notifications import TransferNotifications
from api.x402.bodies import FacilitatorBody
from api.x402.landing_watch import LandingWatch
from api.x402.payment_identifiers import payload_hash, payment_identifier
from api.x402.settle_result import SettleResult, duplicate, failed, pending, refused, succeeded
from api.x402.settlement_batches import SettlementBatches
from api.x402.shared_tip import SharedTip
from api.x402.verdict import Reason, Refused
from api.x402.verification import JudgedPayment, PaymentVerifier
from chain.addresses import parse_address
from chain.lifetimes import Tip
from chain.rpc import RpcError
from ledger import settlements
from ledger.payment_requests import find_request
from ledger.recipients import find_recipient
from ledger.settlements import BudgetScope, FeeBudgets, Settlement, SignedPayment, exceeded_budget
from ledger.tokens import mints_counting_as
from runtime.crash_points import crash_point
from runtime.database_errors import DATABASE_ERRORS

_log = structlog.get_logger(__name__)

# Notifications can be lost; looking again is the remedy.
_LOOK_AGAIN_SECONDS: Final = 1.0
# While another request is about to answer, its process may have died.
_ANSWERED_ELSEWHERE_SECONDS: Final = 0.2
_RESOURCE_CHARACTERS_MAX: Final = 2_048

IsGone = Callable[[], Awaitable[bool]]
"""Whether the caller has hung up."""


@dataclass(frozen=True, slots=True)
class SettleBounds:
    """What settling may take.

    Attributes:
        wait_seconds: How long a request waits for the verdict.
        waiting_max: How many requests may wait at once; any more are answered `settlement_pending` at once.
        budgets: The lamports that fees may cost in a day.
    """

    wait_seconds: float
    waiting_max: int
    budgets: FeeBudgets


class PaymentSettler:
    """Settles payments: each is one transaction and is answered with success once, whoever asks and however often."""

    def __init__(
        self,
        database: asyncpg.Pool,
        batches: SettlementBatches,
        verifier: PaymentVerifier,
        notifications: TransferNotifications,
        final_from: Mapping[str, Decimal],
        bounds: SettleBounds,
        metrics: ApiMetrics,
    ) -> None:
        self._database = database
        self._batches = batches
        self._verifier = verifier
        self._tip = SharedTip(verifier.node.pool)
        self._notifications = notifications
        self._final_from = final_from
        self._bounds = bounds
        self._metrics = metrics
        self._troubles = metrics.troubles
        self._waiting = 0

    async def settle(self, body: FacilitatorBody, caller: Caller | None, is_gone: IsGone) -> SettleResult:
        """The verdict on a payment: sent and settled now, or before, or refused.

        What is given is judged first: a payment that was settled for other terms is refused. Then a payment that is
        known is answered by what became of it; any other is tried, reserved, stored and sent.

        Raises:
            ApiError: 400 or 409 for a payment identifier, 503 where nothing was sent and nothing can be said.
            DATABASE_ERRORS: See `trouble_of` for what each means. Nothing was sent by this request.
        """
        with self._metrics.settle_seconds.time():
            result = await self._settle(body, caller, is_gone)
        self._metrics.settlements.labels(result.answer.error_reason or "settled").inc()
        return result

    async def _settle(self, body: FacilitatorBody, caller: Caller | None, is_gone: IsGone) -> SettleResult:
        """See `settle`."""
        deadline = asyncio.get_running_loop().time() + self._bounds.wait_seconds
        identifier, asked = payment_identifier(body), payload_hash(body)
        if identifier is not None and (known := await self._identified(body, caller, identifier)) is not None:
            if known.payload_hash != asked:
                raise conflict("This payment identifier was used for another payment; send another one.")
            return await self._verdict(known, deadline, is_gone, is_same_request=True)
        try:
            judged = await self._verifier.judge(body, caller)
            known, is_new = None, False
            if judged.settlement is not None:
                known = await settlements.find_by_message(self._database, judged.payment.message_hash)
            if known is None:
                known, is_new = await self._reserve(judged, caller, identifier, asked)
        except Refused as error:
            return refused(error, self._verifier.network.name(body.x402_version))
        return await self._verdict(known, deadline, is_gone, is_same_request=False, is_new=is_new)

    async def answered(self, result: SettleResult, *, is_gone: bool) -> None:
        """Note that the answer that a payment is settled went out, or that its caller was gone by then.

        Where this cannot be noted, whoever asks again is answered again.
        """
        if result.answering is None:
            return
        try:
            async with crash_point("note"):
                if is_gone:
                    await settlements.give_up_answer(self._database, result.answering)
                else:
                    await self._batches.end_answer(result.answering)
        except DATABASE_ERRORS as error:
            self._troubles.note("noting an answer", error)

    async def _identified(self, body: FacilitatorBody, caller: Caller | None, identifier: str) -> Settlement | None:
        """The payment of the same seller with this identifier, before anything is verified."""
        pay_to = body.payment_requirements.get("payTo")
        address = parse_address(pay_to) if isinstance(pay_to, str) else None
        recipient = await find_recipient(self._database, address) if address is not None else None
        if recipient is None:
            return None
        if caller is not None and not (caller.sees(recipient.user_id) and may_trade(caller, recipient.environment)):
            return None
        return await settlements.find_by_identifier(self._database, recipient.user_id, identifier)

    async def _reserve(
        self, judged: JudgedPayment, caller: Caller | None, identifier: str | None, asked: bytes
    ) -> tuple[Settlement, bool]:
        """Try a payment on a node, sign it, and store what was signed; nothing is sent yet.

        Returns:
            The payment, and whether it was stored just now: else another request was first.

        Raises:
            Refused: It would fail, its memo names a payment request that it does not pay, or a budget is used up.
            ApiError: 409 for an identifier that is taken meanwhile, 503 where no node answers.
        """
        payment, recipient = judged.payment, judged.recipient
        await self._refuse_other_requests(judged)
        now = await self._newest_tip()
        try:
            await self._verifier.refuse_what_would_fail(judged)
        except Refused:
            # Another request may have settled it since it was looked up.
            if (known := await settlements.find_by_message(self._database, payment.message_hash)) is not None:
                return known, False
            raise
        signature, wire = self._verifier.fee_payers.sign(payment.transaction)
        token = await self._verifier.tokens.of_mint(payment.mint)
        assert token is not None
        is_final_only = caller is not None and caller.final_only
        signed = SignedPayment(
            message_hash=payment.message_hash,
            user_id=recipient.user_id,
            environment=recipient.environment if caller is None else environment_of_payments(caller),
            protocol_version=judged.payload.version,
            network=judged.requirements.network,
            payer=payment.authority,
            fee_payer=payment.fee_payer,
            pay_to=judged.requirements.pay_to,
            mint=payment.mint,
            destination=payment.destination,
            amount=payment.amount,
            memo=payment.memo,
            required_memo=judged.requirements.memo,
            resource=(judged.payload.resource or "")[:_RESOURCE_CHARACTERS_MAX] or None,
            final_only=is_final_only or token.needs_finality(payment.amount, self._final_from),
            signature=signature,
            wire=wire,
            last_valid_block_height=now.last_valid_block_height,
            payment_identifier=identifier,
            payload_hash=asked,
            lamports=payment.fee_lamports_max,
            has_key=caller is not None,
            signed_slot=now.absolute_slot,
        )
        try:
            async with crash_point("reserve"):
                made = await settlements.reserve(self._database, signed, self._bounds.budgets)
        except asyncpg.CheckViolationError as error:
            scope = exceeded_budget(error.constraint_name)
            if scope is None:
                raise
            raise _budget_used_up(scope, payment.authority) from None
        if made is not None:
            return made, True
        if (known := await settlements.find_by_message(self._database, payment.message_hash)) is not None:
            return known, False
        if identifier is not None and await settlements.find_by_identifier(
            self._database, recipient.user_id, identifier
        ):
            raise conflict("This payment identifier was used for another payment; send another one.")
        raise Refused(
            Reason.INVALID_PAYMENT_REQUIREMENTS,
            "The payment request that the memo names is being paid by another payment, or payTo is no longer followed; "
            "require a payment anew.",
            payment.authority,
        )

    async def _refuse_other_requests(self, judged: JudgedPayment) -> None:
        """Pass a payment whose memo names no payment request to `payTo`, or one that it pays.

        Raises:
            Refused: It names one that the seller did not require, has other terms, has expired, or is paid.
        """
        payment = judged.payment
        found = await find_request(self._database, payment.memo) if payment.memo else None
        if found is None or found[0].recipient != judged.requirements.pay_to:
            return
        request, claim = found
        is_enough = payment.amount == request.amount if request.scheme == "exact" else payment.amount >= request.amount
        if judged.requirements.memo is None:
            # The buyer's own choice: what it pays for here would pay for something else as well.
            problem = "is not what the seller requires as extra.memo"
        elif payment.mint not in mints_counting_as(request.mint) or not is_enough:
            problem = "is for another token or amount"
        elif request.expires_at <= dt.datetime.now(dt.UTC):
            problem = "has expired"
        elif claim is not None and claim.is_honoured:
            problem = "has been paid"
        else:
            return
        raise Refused(
            Reason.INVALID_PAYMENT_REQUIREMENTS,
            f"The payment request that the memo names {problem}; require a payment anew.",
            payment.authority,
        )

    async def _newest_tip(self) -> Tip:
        """Where the chain stands, which says when what is signed now can land no more. Raises ApiError 503."""
        try:
            return await self._tip.newest()
        except RpcError as error:
            raise unavailable("Solana node that knows the block height") from error

    async def _verdict(
        self, known: Settlement, deadline: float, is_gone: IsGone, *, is_same_request: bool, is_new: bool = False
    ) -> SettleResult:
        """What is answered about a payment that is stored: never an error, whatever is away by now.

        One that `is_new` was not sent before.
        """
        if self._waiting >= self._bounds.waiting_max:
            deadline = 0.0
        self._waiting += 1
        try:
            if known.is_open:
                known = await self._awaited(known, deadline, is_gone, is_new=is_new)
            if known.is_open:
                return pending(known)
            if not known.is_settled:
                return failed(known)
            async with crash_point("answer"):
                answer = self._answer_again if is_same_request else self._answer_once
                return await answer(known, deadline)
        except DATABASE_ERRORS as error:
            self._troubles.note("settling", error)
            return pending(known)
        finally:
            self._waiting -= 1

    async def _awaited(self, known: Settlement, deadline: float, is_gone: IsGone, *, is_new: bool) -> Settlement:
        """The payment once it is decided, or as it stands when time is up or its caller has gone.

        It is sent to every node meanwhile. The ledger's own notification wakes us; nodes are asked besides, for the
        ledger hears nothing of what fails.
        """
        loop = asyncio.get_running_loop()
        with self._notifications.expected(known.signature) as arrived:
            if not is_new:
                # It may have arrived before anybody waited here.
                arrived.set()
            watch = asyncio.create_task(LandingWatch(self._database, self._verifier.node).follow(known))
            watch.add_done_callback(lambda _: arrived.set())
            try:
                while loop.time() < deadline and not await is_gone():
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(min(deadline - loop.time(), _LOOK_AGAIN_SECONDS)):
                            await arrived.wait()
                    arrived.clear()
                    if watch.done():
                        # What it met is met here; the payment stays under way.
                        watch.result()
                    async with crash_point("claim"):
                        found = await self._batches.claim(known.id)
                    if found is not None and not found.is_open:
                        return found
            finally:
                watch.cancel()
        return known

    async def _answer_once(self, known: Settlement, deadline: float) -> SettleResult:
        """Answer one request that the payment is settled, and every other that it is a duplicate.

        Where another process began to answer and died before it did, this one answers instead.
        """
        loop = asyncio.get_running_loop()
        while True:
            if known.answered_at is not None:
                return duplicate(known)
            if await self._batches.begin_answer(known.id):
                return succeeded(known, answering=known.id)
            if loop.time() >= deadline:
                return pending(known)
            await asyncio.sleep(_ANSWERED_ELSEWHERE_SECONDS)
            known = await settlements.find_by_id(self._database, known.id) or known

    async def _answer_again(self, known: Settlement, _deadline: float) -> SettleResult:
        """Answer every request that has the payment's identifier that it is settled, however often it comes."""
        if known.is_used_elsewhere:
            return duplicate(known)
        is_first = await self._batches.begin_answer(known.id)
        return succeeded(known, answering=known.id if is_first else None)


def _budget_used_up(scope: BudgetScope, payer: str) -> Refused:
    whose = {
        BudgetScope.ALL: "all sellers",
        BudgetScope.MERCHANT: "this seller",
        BudgetScope.PAYER: "this payer",
        BudgetScope.KEYLESS: "all sales without an API key",
        BudgetScope.KEYLESS_MERCHANT: "this seller's sales without an API key",
    }
    has_key = scope not in {BudgetScope.KEYLESS, BudgetScope.KEYLESS_MERCHANT}
    again = "" if has_key else "with the seller's API key, or "
    _log.warning("settlement_budget_used_up", scope=scope.value)
    return Refused(
        Reason.UNEXPECTED_SETTLE_ERROR,
        f"What fees for {whose[scope]} may cost today is used up, so nothing was sent; ask again {again}after "
        "midnight, UTC, or the facilitator's operator.",
        payer,
    )
