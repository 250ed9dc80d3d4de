"""What other processes ask of the indexers, through the database: a transaction at once, a stretch of history.

The functions take a database connection or pool.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True, slots=True)
class OrderState:
    """How something stands that was ordered of the indexers or the workers.

    Attributes:
        status: `queued`, `running`, `done` or `failed`.
        progress: What is known of its progress, as the process that works on it wrote it down.
        error: Why it failed, or what it met on its way.
    """

    status: str
    progress: Mapping[str, Any]
    error: str | None
    created_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None


async def request_index(database: Any, signatures: Sequence[str], reason: str) -> int:
    """Have transactions recorded at once; returns how many had not been asked for before."""
    row = await _queries.request_index(database, signatures=list(signatures), reason=reason)
    count: int = row["asked"]
    return count


async def request_backfill(database: Any, stretch: Stretch, *, requested_by: str) -> UUID:
    """Have a stretch of history recorded; returns the id under which `backfill_state` says how it stands."""
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


async def backfill_state(database: Any, backfill: UUID) -> OrderState | None:
    """How a backfill stands, or `None` when there is none of this id."""
    row = await _queries.backfill(database, id=backfill)
    return None if row is None else order_state(row)


def order_state(row: Any) -> OrderState:
    """The state in a row of `backfill_requests` or `reconciliation_runs`."""
    return OrderState(
        status=row["status"],
        progress=row["progress"],
        error=row["error"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )
