"""Logs payments that name no payment request and that nobody has claimed, so that whoever was paid can ask."""

from typing import Final

from ledger.sql import load_queries
from worker.claims.match_requests import match_final_payments
from worker.context import WorkerContext

_queries = load_queries("worker.feed", "unmatched.sql")

_PER_STATEMENT: Final = 2_000


async def log_unmatched(context: WorkerContext) -> int:
    """Look at what has been final for `unmatched_seconds`; returns how many payments nobody has claimed.

    What names an open payment request pays it first: it may have been recorded long after that was searched for.
    """
    found: int = 0
    while True:
        stretch = await _queries.next_stretch(
            context.database, after_seconds=context.settings.unmatched_seconds, limit=_PER_STATEMENT
        )
        from_at, until_at = stretch["from_at"], stretch["until_at"]
        if until_at is None:
            return found
        if not await match_final_payments(context, from_at, until_at):
            return found
        row = await _queries.log_unmatched(context.database, from_at=from_at, until_at=until_at)
        found += row["unmatched"]
        # Where another worker was quicker, the rest is in its hands.
        if stretch["payments"] < _PER_STATEMENT or not row["has_moved"]:
            return found
