"""What other processes ask of the indexers, through the database: a transaction at once, a stretch of history.

The functions take a database connection or pool.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ledger.sql import load_queries

_queries = load_queries("ledger", "index_requests.sql")


@dataclass(frozen=True, slots=True)
class Stretch:
    """What to backfill: a single transaction, or a wallet (`None` for all) between two slots, both included."""

    recipient: str | None = None
    signature: str | None = None
    from_slot: int | None = None
    to_slot: int | None = None


async def request_index(database: Any, signatures: Sequence[str], reason: str) -> int:
    """Have transactions recorded at once; returns how many had not been asked for before."""
    row = await _queries.request_index(database, signatures=list(signatures), reason=reason)
    count: int = row["asked"]
    return count


async def request_backfill(database: Any, stretch: Stretch, *, requested_by: str) -> UUID:
    """Have a stretch of history recorded; returns the id under which `backfill_state` tells how it stands."""
    row = await _queries.request_backfill(
        database,
        requested_by=requested_by,
        recipient=stretch.recipient,
        signature=stretch.signature,
        from_slot=stretch.from_slot,
        to_slot=stretch.to_slot,
    )
    asked: UUID = row["id"]
    return asked


async def backfill_state(database: Any, backfill: UUID) -> Any:
    """The row of a backfill: `status` (queued, running, done, failed), `progress`, `error` and its times, or `None`."""
    return await _queries.backfill(database, id=backfill)
