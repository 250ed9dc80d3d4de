"""Marks what time has ended, and removes what nobody needs any more. The ledger itself is never pruned."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from worker.context import WorkerContext

_PER_STATEMENT: Final = 5_000
_DAY_SECONDS: Final = 86_400.0


@dataclass(slots=True)
class Expired:
    """What a pass did, in rows."""

    requests_expired: int = 0
    keys_revoked: int = 0
    answers_removed: int = 0
    requests_removed: int = 0
    other_rows_removed: int = 0


async def expire(context: WorkerContext, *, progress: Callable[[Expired], None] = lambda _: None) -> Expired:
    """Mark payment requests that have expired unpaid, end the keys whose grace is over, and prune."""
    done = Expired()
    done.requests_expired = await _in_bites(
        lambda limit: context.queries.expire_requests(context.database, limit=limit), "requests"
    )
    progress(done)
    await prune(context, done)
    progress(done)
    return done


async def prune(context: WorkerContext, done: Expired) -> None:
    """Remove answers after a day, and after `keep_days` unpaid requests, worked-off requests and old reports."""
    keep_seconds = context.settings.keep_days * _DAY_SECONDS
    row = await context.queries.revoke_due_keys(context.database)
    done.keys_revoked = row["keys"]
    done.answers_removed = await _in_bites(
        lambda limit: context.queries.prune_answers(context.database, limit=limit, keep_seconds=keep_seconds), "gone"
    )
    done.requests_removed = await _in_bites(
        lambda limit: context.queries.prune_requests(context.database, limit=limit, keep_seconds=keep_seconds), "gone"
    )
    silent = await context.queries.prune_signs_of_life(context.database)
    finished = await context.queries.prune_finished_work(context.database, keep_seconds=keep_seconds)
    done.other_rows_removed = silent["gone"] + finished["gone"]


async def _in_bites(bite: Callable[[int], Awaitable[Any]], column: str) -> int:
    """Repeat a statement until it finds less than it may take at once: short transactions, whatever has piled up."""
    total = 0
    while True:
        row = await bite(_PER_STATEMENT)
        count: int = row[column]
        total += count
        if count < _PER_STATEMENT:
            return total
