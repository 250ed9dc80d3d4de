"""Sends payouts, exactly once, whatever dies and whenever.

1. Sign in memory, then store the signed bytes and the block height beyond which they can never land.
2. Only then broadcast; the same bytes again and again until the ledger has them finalized.
3. A new signature only after that height is finalized, a search of the whole history finds nothing, and the ledger,
   whose account was audited beyond that height, knows nothing either: a node that lies cannot make us pay twice.

The database allows a payout one living attempt. A process that dies before the bytes are stored has shown them to
nobody; one that dies later has left them for whoever comes next.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog

from chain.rpc import PermanentRpcError, RpcError
from chain.sending import broadcast, finalized_tip, latest_blockhash
from ledger.jobs import count_late_ratings
from worker.context import WorkerContext
from worker.payouts.checks import NotReadyError, Waiting, ready_sending
from worker.payouts.crash_points import OnStep, around, nobody
from worker.payouts.signer import Signer

_log = structlog.get_logger(__name__)

_ATTEMPTS_PER_PASS: Final = 1_000
_ALREADY_PROCESSED: Final = "already been processed"


_MOST_FAILURES: Final = 3


@dataclass(slots=True)
class Sent:
    """What a pass did, in payouts."""

    settled: int = 0
    signed: int = 0
    broadcast: int = 0
    waiting: int = 0
    ended: int = 0


class Failures:
    """What the nodes did not answer. One payout that they balk at must not hold up the others."""

    def __init__(self) -> None:
        self._errors: list[RpcError] = []

    @asynccontextmanager
    async def noted(self) -> AsyncIterator[None]:
        """Note a failure instead of raising it, but for the one that shows that the nodes are away."""
        try:
            yield
        except RpcError as error:
            self._errors.append(error)
            if len(self._errors) >= _MOST_FAILURES:
                raise

    def tell(self) -> None:
        """Raise what was noted, after everything else is done."""
        if self._errors:
            raise self._errors[0]


async def send_payouts(context: WorkerContext, *, on_step: OnStep = nobody) -> Sent:
    """One pass over all open payouts; any number of workers may do so at once.

    Raises:
        RpcError: The nodes did not answer about some of them; nothing is lost by it.
    """
    done, failures = Sent(), Failures()
    async with around(on_step, "settle"):
        done.settled = len([row async for row in context.queries.settle_payouts(context.database)])
        await count_late_ratings(context.database)
    rows = context.queries.living_attempts(context.database, limit=_ATTEMPTS_PER_PASS)
    living = [row async for row in rows]
    async with failures.noted():
        await _end_the_dead(context, living, done, on_step)
    for attempt in living:
        if attempt["wire"] is not None and attempt["dead_from_slot"] is None:
            async with failures.noted():
                await _broadcast(context, attempt, done, on_step)
    await _sign_new(context, done, failures, on_step)
    failures.tell()
    return done


async def _sign_new(context: WorkerContext, done: Sent, failures: Failures, on_step: OnStep) -> None:
    signer = context.signer
    await context.queries.requeue_waiting(context.database)
    await context.queries.leave_to_operator(context.database, signer=signer.address if signer else None)
    if signer is None:
        return
    await context.queries.take_from_operator(context.database, signer=signer.address)
    rows = context.queries.queued_payouts(context.database, limit=context.settings.payouts_per_pass)
    for payout in [row async for row in rows]:
        async with failures.noted():
            try:
                await _sign(context, signer, payout, done, on_step)
            except NotReadyError as missing:
                done.waiting += 1
                await _wait(context, payout, missing.reason)


async def _wait(context: WorkerContext, payout: Any, reason: Waiting) -> None:
    """Leave a payout alone for a while, longer each time."""
    settings = context.settings
    doubled: float = settings.payout_retry_seconds * 2 ** min(payout["tries"], 20)
    pause = min(doubled, settings.payout_retry_most_seconds)
    _log.warning("payout_waits", payout=str(payout["id"]), reason=reason.value, seconds=pause)
    await context.queries.wait_payout(context.database, id=payout["id"], reason=reason.value, pause_seconds=pause)


async def _sign(context: WorkerContext, signer: Signer, payout: Any, done: Sent, on_step: OnStep) -> None:
    async with around(on_step, "check"):
        sending = await ready_sending(context.node, payout, unit_price=context.settings.payout_unit_price)
    async with around(on_step, "sign"):
        lifetime = await latest_blockhash(context.node.pool)
        message = sending.message(lifetime.blockhash)
        transaction = signer.sign(message)
    async with around(on_step, "store"):
        stored = await context.queries.store_signed(
            context.database,
            payout_id=payout["id"],
            source_account=sending.source,
            message=bytes(message),
            last_valid_block_height=lifetime.last_valid_block_height,
            signature=str(transaction.signatures[0]),
            wire=bytes(transaction),
        )
    if stored is None:
        return  # another worker was quicker: these bytes are forgotten unseen
    done.signed += 1
    fresh = {"id": stored["id"], "wire": bytes(transaction), "status": "signed", "error": None}
    await _broadcast(context, fresh, done, on_step)


async def _broadcast(context: WorkerContext, attempt: Any, done: Sent, on_step: OnStep) -> None:
    """Hand an attempt to a node. The first to take it is asked to try it beforehand, for it tells what is wrong."""
    is_first = attempt["status"] == "signed"
    try:
        async with around(on_step, "broadcast"):
            await broadcast(context.node.pool, attempt["wire"], preflight=is_first)
    except PermanentRpcError as error:
        if _ALREADY_PROCESSED not in str(error):
            if attempt["error"] != str(error):
                _log.warning("payout_refused", attempt=str(attempt["id"]), error=str(error))
                await context.queries.note_attempt_error(context.database, id=attempt["id"], error=str(error))
            return
    done.broadcast += 1
    if is_first:
        async with around(on_step, "note"):
            await context.queries.note_sent(context.database, id=attempt["id"])


async def _end_the_dead(context: WorkerContext, living: Sequence[Any], done: Sent, on_step: OnStep) -> None:
    """End attempts that can never land any more, so that their payouts are signed anew."""
    if not living:
        return
    tip = await finalized_tip(context.node.pool)
    beyond = [a for a in living if a["last_valid_block_height"] < tip.block_height]
    if not beyond:
        return
    await context.queries.note_beyond(
        context.database, ids=[a["id"] for a in beyond], slot=tip.absolute_slot, height=tip.block_height
    )
    rows = context.queries.proven_absent(context.database, ids=[a["id"] for a in beyond])
    absent = {row["id"] async for row in rows}
    for attempt in beyond:
        if attempt["id"] in absent and attempt["dead_from_slot"] is not None:
            await _end_one(context, attempt, done, on_step)


async def _end_one(context: WorkerContext, attempt: Any, done: Sent, on_step: OnStep) -> None:
    """Two more witnesses, for what it costs: the history by signature, and by the payout's reference."""
    outcome, error = "expired", None
    if attempt["signature"] is not None:
        seen_slot, (status,) = await context.node.signature_statuses([attempt["signature"]])
        if seen_slot < attempt["dead_from_slot"] or (status is not None and status.err is None):
            return
        if status is not None:
            outcome, error = "failed", f"it failed on chain: {status.err}"
    if any(info.err is None for info in await context.node.signatures(attempt["reference"])):
        return
    async with around(on_step, "end"):
        ended = await context.queries.end_attempt(
            context.database,
            id=attempt["id"],
            outcome=outcome,
            error=error,
            pause_seconds=context.settings.payout_retry_seconds if outcome == "failed" else 0.0,
        )
    done.ended += ended is not None
    _log.warning("payout_attempt_ended", payout=str(attempt["payout_id"]), outcome=outcome, error=error)
