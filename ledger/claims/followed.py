"""Honoured claims move with their transfers: to finalized, to reversed and back, or to failed.

Functions take a database connection or pool.
"""

from dataclasses import dataclass

from ledger.sql import Database, load_queries

_queries = load_queries("ledger.claims", "followed.sql")


@dataclass(frozen=True, slots=True)
class Followed:
    """How many claims moved with their transfers."""

    finalized: int
    reversed: int
    restored: int
    failed: int


async def follow_transfers(database: Database, *, dead_seconds: float = 3600.0) -> Followed:
    """Bring claims to where their transfers are.

    A claim whose transfer was undone stays reversed for `dead_seconds`, in case it lands again, and then fails.
    """
    row = await _queries.follow_transfers(database, dead_seconds=dead_seconds)
    return Followed(row["finalized"], row["reversed"], row["restored"], row["failed"])
