"""Record a stretch of history on demand: of wallets, between slots or times, or single transactions.

Idempotent, so that a run that was killed is simply run again: what is recorded is not fetched twice.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from chain.node import SignatureInfo
from indexer.context import IndexerContext
from indexer.history import walk
from indexer.pipeline import FetchFailedError

_MARGIN_SLOTS: Final = 150  # a minute of them


class BackfillRefusedError(Exception):
    """The node cannot serve the stretch that was asked for; the message says which it can."""


@dataclass(slots=True)
class BackfillSummary:
    """What a backfill saw, in transactions. `found` is new + known + failed."""

    found: int = 0
    new: int = 0
    known: int = 0
    failed: int = 0


async def backfill_accounts(
    context: IndexerContext,
    accounts: Sequence[str],
    from_slot: int,
    to_slot: int | None,
    *,
    progress: Callable[[BackfillSummary, int], None] = lambda *_: None,
) -> BackfillSummary:
    """Record everything of `accounts` from `from_slot` through `to_slot`.

    `progress` is called with the summary so far and how many accounts are done.

    Raises:
        BackfillRefusedError: The node's history begins later than `from_slot`.
        IncompleteHistoryError: The node's answers contradict each other.
        RpcError: The nodes did not answer.
    """
    await refuse_what_is_pruned(context, from_slot)
    summary = BackfillSummary()
    for done, account in enumerate(accounts):
        async for page in walk(context.node, account, from_slot, None, None):
            wanted = [info for info in page if to_slot is None or info.slot <= to_slot]
            missing = await context.healer.missing(account, wanted)
            summary.found += len(wanted)
            summary.known += len(wanted) - len(missing)
            progress(summary, done)
            for chunk in _chunks(missing, context.settings.fetch_workers):
                failures = await context.healer.record(account, chunk)
                summary.failed += len(failures)
                summary.new += len(chunk) - len(failures)
                progress(summary, done)
        progress(summary, done + 1)
    return summary


def _chunks(infos: list[SignatureInfo], size: int) -> Iterator[list[SignatureInfo]]:
    return (infos[start : start + size] for start in range(0, len(infos), size))


async def backfill_signatures(
    context: IndexerContext, signatures: Sequence[str], on_failure: Callable[[str, str], None] = lambda *_: None
) -> BackfillSummary:
    """Record single transactions, whatever slot they landed in. `on_failure` is called with each that failed, and why.

    Raises:
        RpcError: The nodes did not answer.
    """
    _, statuses = await context.node.signature_statuses(list(signatures))
    summary = BackfillSummary(found=len(signatures))
    for signature, status in zip(signatures, statuses, strict=True):
        if status is None:
            summary.failed += 1
            on_failure(signature, "no node knows it")
            continue
        known = await context.accounts.is_recorded(signature, status.slot)
        if known:
            summary.known += 1
            continue
        try:
            await context.pipeline.ensure(None, signature, status.slot)
            summary.new += 1
        except FetchFailedError as error:
            summary.failed += 1
            on_failure(signature, str(error))
    return summary


async def refuse_what_is_pruned(context: IndexerContext, from_slot: int) -> None:
    """Raise BackfillRefusedError where the node's history begins after `from_slot`.

    A node that has everything reports 0 or 1; asking for genesis then means asking for what it has.
    """
    first = await context.node.first_available_block()
    if first > 1 and from_slot < first:
        raise BackfillRefusedError(f"the node serves blocks from slot {first} on, and slot {from_slot} was asked for")


async def first_slot_since(context: IndexerContext, seconds: int) -> int:
    """A slot that is surely before the first block made at `seconds` since 1970 or later.

    Block times are estimates of the node, so the answer is earlier than they say by the slots of a minute.
    """
    return max(await _first_slot_of(context, seconds) - _MARGIN_SLOTS, 0)


async def last_slot_until(context: IndexerContext, seconds: int) -> int | None:
    """A slot that is surely after the last block made by `seconds` since 1970; `None` when that is the newest.

    Block times are estimates of the node, so the answer is later than they say by the slots of a minute.
    """
    after = await _first_slot_of(context, seconds + 1)
    newest = await context.node.slot("finalized")
    return None if after + _MARGIN_SLOTS >= newest else after + _MARGIN_SLOTS


async def _first_slot_of(context: IndexerContext, seconds: int) -> int:
    """The first slot whose block time is `seconds` or later, by bisection; the newest final one if there is none."""
    low = await context.node.first_available_block()
    high = await context.node.slot("finalized")
    while low < high:
        middle = (low + high) // 2
        time, at = await _block_time_from(context, middle, high)
        if time is None or time >= seconds:
            high = middle
        else:
            low = at + 1
    return low


async def _block_time_from(context: IndexerContext, slot: int, last: int) -> tuple[int | None, int]:
    """The time of the first block from `slot` on that has one, and its slot; skipped slots have none."""
    blocks = await context.node.blocks(slot, min(slot + 500, last))
    for block in blocks[:5]:
        if (time := await context.node.block_time(block)) is not None:
            return time, block
    return None, slot
