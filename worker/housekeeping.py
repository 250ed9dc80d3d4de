"""Marks what has expired, and removes what nobody needs any more. The ledger itself is never pruned."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from ledger.feed import prune_feed
from ledger.settlements import prune_budgets, prune_wires
from ledger.sql import load_queries
from ledger.webhooks import prune_deliveries, prune_secrets
from worker.context import WorkerContext

_queries = load_queries("worker", "housekeeping.sql")

_PER_STATEMENT: Final = 5_000
_DAY_SECONDS: Final = 86_400.0


@dataclass(slots=True)
class Expired:
    """What a pass did, in rows."""

    requests_expired: int = 0
    keys_revoked: int = 0
    answers_removed: int = 0
    requests_removed: int = 0
    feed_entries_removed: int = 0
    deliveries_removed: int = 0
    other_rows_removed: int = 0


async def expire(context: WorkerContext) -> Expired:
    """Mark payment requests that have expired unpaid, end the keys whose grace is over, and prune."""
    database, done = context.database, Expired()
    done.requests_expired = await _in_bites(lambda limit: _queries.expire_requests(database, limit=limit))
    await prune(context, done)
    return done


async def prune(context: WorkerContext, done: Expired) -> None:
    """Remove answers after a day; after `keep_days` unpaid requests, finished work, old reports and sent bytes."""
    database, keep_seconds = context.database, context.settings.keep_days * _DAY_SECONDS
    done.keys_revoked = await _queries.revoke_due_keys(database)
    done.answers_removed = await _in_bites(
        lambda limit: _queries.prune_answers(database, limit=limit, keep_seconds=keep_seconds)
    )
    done.requests_removed = await _in_bites(
        lambda limit: _queries.prune_requests(database, limit=limit, keep_seconds=keep_seconds)
    )
    done.other_rows_removed += await _in_bites(
        lambda limit: prune_wires(database, limit=limit, keep_seconds=keep_seconds)
    )
    done.other_rows_removed += await _in_bites(
        lambda limit: prune_budgets(database, limit=limit, keep_seconds=keep_seconds)
    )
    feed_keep_seconds = context.settings.feed_keep_days * _DAY_SECONDS
    done.feed_entries_removed = await _in_bites(
        lambda limit: prune_feed(database, limit=limit, keep_seconds=feed_keep_seconds)
    )
    webhook_keep_seconds = context.settings.webhook_keep_days * _DAY_SECONDS
    done.deliveries_removed = await _in_bites(
        lambda limit: prune_deliveries(database, limit=limit, keep_seconds=webhook_keep_seconds)
    )
    done.other_rows_removed += await prune_secrets(database)
    silent: int = await _queries.prune_signs_of_life(database)
    finished: int = await _queries.prune_finished_work(database, keep_seconds=keep_seconds)
    done.other_rows_removed += silent + finished


async def _in_bites(bite: Callable[[int], Awaitable[int]]) -> int:
    """Repeat a statement until it finds fewer rows than its limit, so that each transaction stays short."""
    total = 0
    while True:
        count = await bite(_PER_STATEMENT)
        total += count
        if count < _PER_STATEMENT:
            return total
