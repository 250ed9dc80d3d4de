"""Logs payments that name no payment request and that nobody has claimed, so that whoever was paid can ask."""

from typing import Final

from ledger.sql import load_queries
from worker.context import WorkerContext

_queries = load_queries("worker.feed", "unmatched.sql")

_PER_STATEMENT: Final = 2_000


async def log_unmatched(context: WorkerContext) -> int:
    """Look at what has been final for `unmatched_seconds`; returns how many payments nobody has claimed."""
    found: int = 0
    while True:
        row = await _queries.log_unmatched(
            context.database, after_seconds=context.settings.unmatched_seconds, limit=_PER_STATEMENT
        )
        found += row["unmatched"]
        if row["looked_at"] < _PER_STATEMENT:
            return found
