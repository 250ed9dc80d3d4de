"""Marks what time has ended, and removes what nobody needs any more. The ledger itself is never pruned."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from worker.context import Workbench

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


async def expire(bench: Workbench, *, progress: Callable[[Expired], None] = lambda _: None) -> Expired:
    """Mark payment requests that have expired unpaid, end the keys whose grace is over, and prune."""
    done = Expired()
    done.requests_expired = await _in_bites(
        lambda limit: bench.queries.expire_requests(bench.database, limit=limit), "requests"
    )
    progress(done)
    await prune(bench, done)
    progress(done)
    return done


async def prune(bench: Workbench, done: Expired) -> None:
    """Remove answers after a day, and after `keep_days` unpaid requests, worked-off requests and old reports."""
    keep_seconds = bench.settings.keep_days * _DAY_SECONDS
    row = await bench.queries.revoke_due_keys(bench.database)
    done.keys_revoked = row["keys"]
    done.answers_removed = await _in_bites(
        lambda limit: bench.queries.prune_answers(bench.database, limit=limit), "gone"
    )
    done.requests_removed = await _in_bites(
        lambda limit: bench.queries.prune_requests(bench.database, limit=limit, keep_seconds=keep_seconds), "gone"
    )
    silent = await bench.queries.prune_signs_of_life(bench.database)
    finished = await bench.queries.prune_finished_work(bench.database, keep_seconds=keep_seconds)
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
