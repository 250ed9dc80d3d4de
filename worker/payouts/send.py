"""Sends payouts, exactly once, whatever dies and whenever.

1. Sign in memory, then store the signed bytes and the block height beyond which they can never land.
2. Only then broadcast; the same bytes again and again until the ledger has them finalized.
3. A new signature only after that height is finalized, or the nonce that it lives by was advanced, a search of the
   whole history finds nothing, and the ledger, whose account was audited beyond that, knows nothing either: a node that
   lies cannot make us pay twice.

The database allows a payout one living attempt. A process that dies before the bytes are stored has shown them to
nobody; one that dies later has left them for whoever comes next.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from chain.asking import ask_each
from chain.backoff import Backoff
from chain.landing import LandingState, fates
from chain.lifetimes import Life, Tip, latest_blockhash_of_all, newest_of_all
from chain.rpc import PermanentRpcError, RetryableRpcError, RpcError
from chain.sending import offer_everywhere
from ledger.jobs import count_late_ratings
from ledger.payout_redirects import apply_redirects
from ledger.states import PayoutStatus
from worker.agreement import Heard
from worker.context import WorkerContext, deciding_tip
from worker.payouts import rows
from worker.payouts.checks import NotReadyError, Waiting, ready_payout
from worker.payouts.costs import PayoutPolicy
from worker.payouts.crash_points import crash_point
from worker.payouts.nonces import advanced_slots, note_advanced_of_paid
from worker.payouts.rows import Attempt, Payout
from worker.payouts.settle import settle_payouts
from worker.signer import Signer

_log = structlog.get_logger(__name__)

_ATTEMPTS_PER_PASS: Final = 1_000


# What waits for its owner to ask, or for another day, is not looked at all the time.
_PATIENCE_SECONDS: Final = {
    Waiting.BELOW_COST: 86_400.0,
    Waiting.PAYER_BUDGET: 3_600.0,
    Waiting.FEE_BUDGET: 3_600.0,
}
_FAILURES_MAX: Final = 3


# One that says alone that it has failed does not keep open what has died for all.
_ABSENT: Final = frozenset({LandingState.UNKNOWN, LandingState.DISPUTED, LandingState.FAILED})


@dataclass(slots=True)
class Sent:
    """What a pass did, in payouts."""

    settled: int = 0
    signed: int = 0
    broadcast: int = 0
    waiting: int = 0
    ended: int = 0


class Failures:
    """Errors of nodes, kept until the pass is done: one payout that nodes refuse must not hold up the others."""

    def __init__(self) -> None:
        self._errors: list[RpcError] = []

    @asynccontextmanager
    async def noted(self) -> AsyncIterator[None]:
        """Note a failure instead of raising it, but for the one that shows that the nodes are away."""
        try:
            yield
        except RpcError as error:
            self._errors.append(error)
            if len(self._errors) >= _FAILURES_MAX:
                raise

    def raise_first(self) -> None:
        """Raise what was noted, after everything else is done."""
        if self._errors:
            raise self._errors[0]


async def send_payouts(context: WorkerContext) -> Sent:
    """One pass over all open payouts; any number of workers may do so at once.

    Raises:
        RpcError: The nodes did not answer about some of them; nothing is lost by it.
    """
    done, failures = Sent(), Failures()
    async with crash_point("settle"):
        done.settled = await settle_payouts(context.database)
        await count_late_ratings(context.database)
    living = await rows.living_attempts(context.database, limit=_ATTEMPTS_PER_PASS)
    # What was noted before, that one can land no more, may have been a node's lie: asked in each pass.
    dead = set[UUID]()
    async with failures.noted():
        await _end_the_dead(context, living, dead, done)
        await note_advanced_of_paid(context)
    for attempt in living:
        if attempt.wire is not None and attempt.id not in dead:
            is_first = attempt.status == PayoutStatus.SIGNED
            async with failures.noted():
                await _broadcast(context, attempt.id, attempt.wire, done, is_first=is_first, known_error=attempt.error)
    await _sign_new(context, done, failures)
    failures.raise_first()
    return done


async def _sign_new(context: WorkerContext, done: Sent, failures: Failures) -> None:
    signer = context.signer
    await apply_redirects(context.database)
    await rows.requeue_waiting(context.database)
    await rows.leave_to_operator(context.database, signer.address if signer else None)
    if signer is None:
        return
    await rows.take_from_operator(context.database, signer.address)
    budget = PayoutPolicy.of(context.settings).gifts
    for payout in await rows.queued_payouts(context.database, budget, limit=context.settings.payouts_per_pass):
        async with failures.noted():
            try:
                await _sign(context, signer, payout, done)
            except NotReadyError as missing:
                done.waiting += 1
                await _wait(context, payout, missing.reason)


async def _wait(context: WorkerContext, payout: Payout, reason: Waiting) -> None:
    """Leave a payout alone for a while, longer each time."""
    settings = context.settings
    backoff = Backoff(settings.payout_retry_seconds, settings.payout_retry_max_seconds)
    pause = _PATIENCE_SECONDS.get(reason) or backoff.after(payout.tries)
    _log.warning("payout_waits", payout=str(payout.id), reason=reason.value, seconds=pause)
    await rows.wait_payout(context.database, payout.id, reason.value, pause_seconds=pause)


async def _sign(context: WorkerContext, signer: Signer, payout: Payout, done: Sent) -> None:
    policy = PayoutPolicy.of(context.settings)
    async with crash_point("check"):
        ready = await ready_payout(context.node, payout, policy)
    async with crash_point("sign"):
        lifetime = await latest_blockhash_of_all(context.node.pool)
        if lifetime is None:
            raise NotReadyError(Waiting.TOO_FEW_NODES)
        message = ready.sending.message(lifetime.blockhash)
        transaction = signer.sign(message)
    async with crash_point("store"):
        stored = await rows.store_signed(
            context.database,
            payout.id,
            ready.costs,
            policy.gifts,
            recipient=payout.recipient,
            source_account=ready.sending.source,
            message=bytes(message),
            last_valid_block_height=lifetime.last_valid_block_height,
            signed_slot=lifetime.slot,
            signature=str(transaction.signatures[0]),
            wire=bytes(transaction),
        )
    if stored is None:
        return  # another worker was quicker, or took what was left for fees: these bytes are forgotten unseen
    done.signed += 1
    await _broadcast(context, stored, bytes(transaction), done, is_first=True)


async def _broadcast(
    context: WorkerContext, attempt_id: UUID, wire: bytes, done: Sent, *, is_first: bool, known_error: str | None = None
) -> None:
    """Hand an attempt to every node. The first time they are asked to try it beforehand, and say what is wrong."""
    try:
        async with crash_point("broadcast"):
            await offer_everywhere(context.node.pool, wire, preflight=is_first)
    except PermanentRpcError as error:
        if known_error != str(error):
            _log.warning("payout_refused", attempt=str(attempt_id), error=str(error))
            await rows.note_attempt_error(context.database, attempt_id, str(error))
        return
    done.broadcast += 1
    if is_first:
        async with crash_point("note"):
            await rows.note_sent(context.database, attempt_id)


async def _end_the_dead(context: WorkerContext, living: Sequence[Attempt], dead: set[UUID], done: Sent) -> None:
    """End attempts that can never land any more, so that their payouts are signed anew; `dead` takes all of these.

    By the word of one node an attempt lives, and is not among them; so it is sent again.
    """
    if not living:
        return
    idle = await rows.landed_for_nothing(context.database, [attempt.id for attempt in living])
    for attempt in living:
        if attempt.id in idle:
            dead.add(attempt.id)
            await _end(context, attempt, "failed", "it moved nothing", done)
    living = [attempt for attempt in living if attempt.id not in idle]
    tip = await deciding_tip(context)
    beyond = [] if tip is None else await _beyond(context, living, tip)
    beyond += await _advanced(context, living)
    dead.update(attempt.id for attempt in beyond)
    absent = await rows.proven_absent(context.database, [attempt.id for attempt in beyond]) if beyond else frozenset()
    heard = Heard(context.agreement, "a payout")
    for attempt in beyond:
        if attempt.id in absent and attempt.dead_from_slot is not None:
            await _end_one(context, attempt, attempt.dead_from_slot, heard, done)
    heard.end()


async def _beyond(context: WorkerContext, living: Sequence[Attempt], tip: Tip) -> list[Attempt]:
    """Attempts whose blockhash has died by `tip`, of which that is noted."""
    lives = [(attempt, life) for attempt in living if (life := _life(attempt)) is not None]
    if doubtful := [attempt.id for attempt, life in lives if life.is_doubtful(tip)]:
        # A node may have lied about the height when it was signed.
        newest = await newest_of_all(context.node.pool)
        if newest is not None:
            await rows.end_by(
                context.database, doubtful, height=newest.last_valid_block_height, slot=newest.absolute_slot
            )
    beyond = [attempt for attempt, life in lives if life.is_over(tip, context.settings.block_seconds_min)]
    if beyond:
        ids = [attempt.id for attempt in beyond]
        await rows.note_beyond(context.database, ids, slot=tip.absolute_slot, height=tip.block_height)
    return beyond


def _life(attempt: Attempt) -> Life | None:
    last = attempt.last_valid_block_height
    return None if last is None else Life(last, attempt.signed_slot, attempt.age_seconds)


async def _advanced(context: WorkerContext, living: Sequence[Attempt]) -> list[Attempt]:
    """Attempts whose nonce was advanced. Nodes are asked in each pass: ending one takes what two passes have seen."""
    nonces = {attempt.id: attempt.nonce for attempt in living if attempt.nonce is not None}
    if not nonces:
        return []
    slots = await advanced_slots(context, [*nonces.values()])
    advanced = [attempt for attempt in living if nonces.get(attempt.id) in slots]
    for attempt in advanced:
        if attempt.dead_from_slot is None:
            async with crash_point("advance"):
                await rows.note_advanced(context.database, attempt.id, slot=slots[nonces[attempt.id]])
    return advanced


async def _end_one(context: WorkerContext, attempt: Attempt, dead_from_slot: int, heard: Heard, done: Sent) -> None:
    """End an attempt unless the history on chain, searched by its signature and by its reference, has it after all."""
    outcome, error = "expired", None
    if attempt.signature is not None:
        answers = await context.node.statuses_of_each([attempt.signature])
        heard.note(answers, [dead_from_slot])
        (fate,) = fates(answers, 1, context.node.pool.witnesses)
        if fate.seen_slot < dead_from_slot or fate.landing not in _ABSENT:
            return
        if fate.landing is LandingState.FAILED:
            outcome, error = "failed", f"it failed on chain: {fate.error}"
    if await _is_referred_to(context, attempt.reference):
        return
    await _end(context, attempt, outcome, error, done)


async def _end(context: WorkerContext, attempt: Attempt, outcome: str, error: str | None, done: Sent) -> None:
    async with crash_point("end"):
        done.ended += await rows.end_attempt(
            context.database,
            attempt.id,
            outcome=outcome,
            error=error,
            # A payout that nodes refuse must not be signed anew again and again.
            pause_seconds=context.settings.payout_retry_seconds if outcome == "failed" or attempt.error else 0.0,
            pause_max_seconds=context.settings.payout_retry_max_seconds,
        )
    _log.warning("payout_attempt_ended", payout=str(attempt.payout_id), outcome=outcome, error=error)


async def _is_referred_to(context: WorkerContext, reference: str) -> bool:
    """Whether a node has anything good in the history of a payout's reference, but for what moved nothing.

    Raises:
        RpcError: Too few answered to say so.
    """
    pool = context.node.pool
    histories, errors = await ask_each(
        pool, lambda endpoint: context.node.signatures(reference, at=endpoint), enough=pool.agreeing_min
    )
    idle = await rows.idle_signatures(context.database, reference)
    if any(info.err is None and info.signature not in idle for history in histories for info in history):
        return True
    if len(histories) < pool.agreeing_min:
        raise next(iter(errors), RetryableRpcError(f"too few nodes show the history of {reference} in time"))
    return False
