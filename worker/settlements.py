"""Goes on with payments over x402 that are under way, until the chain has decided them.

What an API process signed and stored is offered to every node again, the same bytes, whether or not that process lives.
It is settled by the transfer that the ledger has; it fails only when the chain says so for good, or when its blockhash
has died at finalized height and no node has it in its history. What one node says alone, where there are others,
decides neither.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import structlog

from chain.asking import ask_each
from chain.decode import MalformedAnswerError, TransactionResult, decode
from chain.failures import has_failed
from chain.landing import Fate, LandingState, fates
from chain.lifetimes import Life, Tip, newest_of_all
from chain.node import STATUSES_PER_CALL
from chain.rpc import Endpoint, RpcError
from chain.sending import broadcast_everywhere
from ledger import settlements
from ledger.claims import claim_settled
from ledger.findings import GIVEN_BACK
from ledger.index_requests import request_index
from ledger.settlements import FIRST, FailureReason, OpenSettlement
from runtime.crash_points import crash_point
from worker.agreement import Heard
from worker.context import WorkerContext, deciding_tip

_log = structlog.get_logger(__name__)

# What is younger is in the hands of the API process that stored it.
_OLDER_SECONDS: Final = 3.0
_SETTLED_PER_STATEMENT: Final = 1_000
_BROADCASTS_AT_ONCE: Final = 16
_WIRES_PER_PASS: Final = 1_000
# It asks each node in turn, and may wait for one that is away; the ledger nearly always knows better by then.
_UNEXPLAINED_SECONDS: Final = 60.0
_LOOKED_AT_PER_PASS: Final = 16
_SHOWN_AT_ONCE_MAX: Final = 16
_PAID_ANOTHER: Final = "one of its token accounts belonged to another wallet by then"


@dataclass(slots=True)
class Moved:
    """What a pass did, in payments."""

    reopened: int = 0
    settled: int = 0
    failed: int = 0
    broadcast: int = 0
    missed: int = 0


async def move_settlements(context: WorkerContext, *, older_seconds: float = _OLDER_SECONDS) -> Moved:
    """One pass over all payments that are under way for longer than `older_seconds`; any number of workers may do so.

    Raises:
        RpcError: The nodes did not answer; what the ledger has is settled all the same.
    """
    done = Moved()
    done.reopened = await settlements.reopen_undone(context.database)
    async with crash_point("claim"):
        await _settle_indexed(context, done)
    # A fork took these off the chain: sent at once, they land again before anybody's claim has to be reversed.
    done.broadcast += sum(
        await _offer(context, await settlements.vanished_wires(context.database, limit=_WIRES_PER_PASS))
    )
    heard = Heard(context.agreement, "payments over x402")
    after, landed = FIRST, list[tuple[OpenSettlement, Fate]]()
    while page := await settlements.open_settlements(
        context.database, older_seconds=older_seconds, after=after, limit=STATUSES_PER_CALL
    ):
        # Asked before the statuses: a history that is searched afterwards reaches further than this.
        tip = await deciding_tip(context)
        if tip is not None:
            await _correct_ends(context, [one.id for one in page if _life(one).is_doubtful(tip)])
        landed += await _move_page(context, page, tip, heard, done)
        after = page[-1].created_at, page[-1].id
    heard.end()
    # Last, and some of them at random: none that cannot be decided keeps the others from being looked at.
    old = [(one, fate) for one, fate in landed if one.age_seconds >= _UNEXPLAINED_SECONDS]
    some = random.sample(old, min(len(old), _LOOKED_AT_PER_PASS))
    await asyncio.gather(*(_fail_if_paid_another(context, one, fate, done) for one, fate in some))
    return done


async def _settle_indexed(context: WorkerContext, done: Moved) -> None:
    ids = await settlements.settlements_with_transfers(context.database, limit=_SETTLED_PER_STATEMENT)
    if ids:
        done.settled += len(await claim_settled(context.database, ids))


async def _correct_ends(context: WorkerContext, ids: Sequence[UUID]) -> None:
    """Have payments end no later than they can: a node may have lied about the height when they were signed."""
    newest = await newest_of_all(context.node.pool) if ids else None
    if newest is not None:
        await settlements.end_by(
            context.database, ids, height=newest.last_valid_block_height, slot=newest.absolute_slot
        )


async def _move_page(
    context: WorkerContext, page: Sequence[OpenSettlement], tip: Tip | None, heard: Heard, done: Moved
) -> list[tuple[OpenSettlement, Fate]]:
    """Decide a page and send what is undecided; those that are final on chain though nothing has settled them."""
    answers = await context.node.statuses_of_each([one.signature for one in page])
    heard.note(
        answers, [tip.absolute_slot if tip is not None and _is_dead(context, one, tip) else None for one in page]
    )
    to_send, to_index, landed, failed = [], [], [], list[tuple[OpenSettlement, Fate]]()
    for one, fate in zip(page, fates(answers, len(page), context.node.pool.witnesses), strict=True):
        if fate.landing is LandingState.SUCCEEDED:
            if not one.is_indexed:
                to_index.append(one.signature)
            if fate.is_final and one.is_given_back:
                await _fail(context, one, FailureReason.PAID_ANOTHER, replace(fate, error=GIVEN_BACK), done)
            elif fate.is_final:
                landed.append((one, fate))
            elif not one.is_received and not _is_dead(context, one, tip):
                # One node may say that of what no other has: while it can land, all of them are to have it.
                to_send.append(one)
        elif fate.landing is LandingState.FAILED:
            failed.append((one, fate))
        elif tip is not None and _has_never_landed(context, one, fate, tip):
            await _fail(context, one, FailureReason.NEVER_LANDED, fate, done)
        else:
            to_send.append(one)
    if to_index:
        done.missed += await request_index(context.database, to_index, "a settlement of x402 waits for it")
    await _broadcast(context, to_send, done)
    # After what is sent: nodes may have to show each of these, and may take their time.
    await _fail_or_send(context, failed, done)
    return landed


async def _fail_or_send(context: WorkerContext, failed: Sequence[tuple[OpenSettlement, Fate]], done: Moved) -> None:
    """Fail what has failed on chain for good, and send the others of which that is said."""
    turns = asyncio.Semaphore(_SHOWN_AT_ONCE_MAX)

    async def is_shown(one: OpenSettlement, fate: Fate) -> bool:
        async with turns:
            return await _has_failed(context, one, fate)

    are_shown = await asyncio.gather(*(is_shown(one, fate) for one, fate in failed))
    for (one, fate), is_so in zip(failed, are_shown, strict=True):
        if is_so:
            await _fail(context, one, FailureReason.FAILED_ON_CHAIN, fate, done)
    if to_send := [one for (one, _), is_so in zip(failed, are_shown, strict=True) if not is_so]:
        await _broadcast(context, to_send, done)


async def _has_failed(context: WorkerContext, one: OpenSettlement, fate: Fate) -> bool:
    """Whether a payment has failed for good. One of which that cannot be seen stays open, and holds up no other."""
    try:
        return await has_failed(context.node, one.signature, fate)
    except RpcError as error:
        _log.warning("settlement_not_shown", settlement=str(one.id), error=str(error))
    except Exception as error:  # noqa: BLE001 - it is about this transaction alone, whatever is odd about that
        context.metrics.troubles.note_defect("decoding a transaction", error, signature=one.signature)
    return False


async def _fail_if_paid_another(context: WorkerContext, one: OpenSettlement, fate: Fate, done: Moved) -> None:
    if await _paid_another(context, one):
        await _fail(context, one, FailureReason.PAID_ANOTHER, replace(fate, error=_PAID_ANOTHER), done)


def _has_never_landed(context: WorkerContext, one: OpenSettlement, fate: Fate, tip: Tip) -> bool:
    """Whether a payment can land no more, and has not, by the word of nodes that have come so far."""
    # One that says alone that it has failed does not keep open what has died for all.
    is_absent = fate.landing in {LandingState.UNKNOWN, LandingState.DISPUTED}
    return is_absent and _is_dead(context, one, tip) and fate.seen_slot >= tip.absolute_slot


def _is_dead(context: WorkerContext, one: OpenSettlement, tip: Tip | None) -> bool:
    """Whether a payment can land no more by the word of every node that answers; not where too few do."""
    return tip is not None and _life(one).is_over(tip, context.settings.block_seconds_min)


async def _paid_another(context: WorkerContext, one: OpenSettlement) -> bool:
    """Whether a final payment brought `payTo` nothing, as enough nodes show it and none otherwise.

    A token account, be it the payer's, may have been handed over after the payment was tried. The ledger never has
    a transfer that settles such a one.
    """
    node = context.node

    async def ask(endpoint: Endpoint) -> bool | None:
        result = await node.transaction(one.signature, commitment="finalized", at=endpoint)
        try:
            return _brought_something(one, result)
        except Exception as error:  # noqa: BLE001 - it is about this transaction alone, whatever is odd about that
            context.metrics.troubles.note_defect("decoding a transaction", error, signature=one.signature)
            return None

    answers, _ = await ask_each(node.pool, ask, enough=node.pool.agreeing_min)
    shown = [answer for answer in answers if answer is not None]
    return len(shown) >= node.pool.agreeing_min and not any(shown)


def _brought_something(one: OpenSettlement, result: TransactionResult | None) -> bool | None:
    """Whether the wallet that is to be paid has more by a transaction; `None` where that cannot be seen."""
    try:
        observation = None if result is None else decode(result)
    except MalformedAnswerError:
        return None
    # A node that answers something else says nothing about this one.
    if observation is None or observation.signature != one.signature or observation.failed or observation.unexplained:
        return None
    changes = [change for change in observation.balances if change.mint == one.mint]
    if any(change.owner is None for change in changes):
        return None
    # What comes from another account of the same wallet brings it nothing.
    return sum(change.post - change.pre for change in changes if change.owner == one.pay_to) > 0


def _life(one: OpenSettlement) -> Life:
    return Life(one.last_valid_block_height, one.signed_slot, one.age_seconds)


async def _fail(context: WorkerContext, one: OpenSettlement, reason: FailureReason, fate: Fate, done: Moved) -> None:
    async with crash_point("fail"):
        slot = None if reason is FailureReason.NEVER_LANDED else fate.slot
        failed = await settlements.fail(
            context.database,
            one.id,
            reason=reason,
            detail=fate.error,
            slot=slot,
            may_have_cost=fate.landing is LandingState.DISPUTED,
        )
    if failed:
        done.failed += 1
        _log.warning("settlement_failed", settlement=str(one.id), reason=reason.value, error=fate.error)


async def _broadcast(context: WorkerContext, some: Sequence[OpenSettlement], done: Moved) -> None:
    async with crash_point("broadcast"):
        taken = await _offer(context, [one.wire for one in some])
    sent = [one for one, is_taken in zip(some, taken, strict=True) if is_taken]
    done.broadcast += len(sent)
    if sent:
        await settlements.note_sent(context.database, [one.id for one in sent])


async def _offer(context: WorkerContext, wires: Sequence[bytes]) -> list[bool]:
    """Offer these bytes to every node; a transaction lands once, however often it is sent. True where one took it."""
    turns = asyncio.Semaphore(_BROADCASTS_AT_ONCE)

    async def offer(wire: bytes) -> bool:
        async with turns:
            return await broadcast_everywhere(context.node.pool, wire) > 0

    return await asyncio.gather(*map(offer, wires))
