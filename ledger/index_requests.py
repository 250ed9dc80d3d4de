"""What other processes ask of the indexers, through the database: a transaction at once, a stretch of history.

The functions take a database connection or pool.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from ledger.sql import Database, load_queries

_queries = load_queries("ledger", "index_requests.sql")

INDEX_REQUESTS_CHANNEL: Final = "index_requests"
"""Notifies of transactions and histories that were asked for."""


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


async def request_index(database: Database, signatures: Sequence[str], reason: str) -> int:
    """Have transactions recorded at once; returns how many had not been asked for before."""
    row = await _queries.request_index(database, signatures=list(signatures), reason=reason)
    count: int = row["asked"]
    return count


async def request_backfill(database: Database, stretch: Stretch, *, requested_by: str) -> UUID:
    """Have a stretch of history recorded; returns the id under which `backfill_state` says how it stands.

    Where the same stretch waits already, that is the id of the order that waits.
    """
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


async def backfill_state(database: Database, backfill: UUID) -> OrderState | None:
    """How a backfill stands, or `None` when there is none of this id."""
    row = await _queries.backfill(database, id=backfill)
    return None if row is None else order_state(row)


async def unfinished_backfill(database: Database, recipient: str) -> UUID | None:
    """The oldest backfill of a wallet that waits for an indexer or is worked on; `None` when there is none."""
    row = await _queries.unfinished_backfill(database, recipient=recipient)
    return None if row is None else row["id"]


async def take_index_requests(database: Database, limit: int) -> list[str]:
    """Take signatures to record, oldest first; one that is not finished is given out again later."""
    return [row["signature"] async for row in _queries.take_index_requests(database, limit=limit)]


async def finish_index_requests(database: Database, signatures: Sequence[str]) -> None:
    """These are recorded."""
    await _queries.finish_index_requests(database, signatures=list(signatures), errors=[None] * len(signatures))


async def fail_index_request(database: Database, signature: str, error: str, *, tries_max: int) -> None:
    """This could not be recorded; after `tries_max` tries it is not given out any more."""
    await _queries.fail_index_request(database, signature=signature, error=error, tries_max=tries_max)


async def accounts_touched(database: Database, signatures: Sequence[str]) -> list[str]:
    """The followed accounts that these recorded transactions touched."""
    return [row["account"] async for row in _queries.accounts_touched(database, signatures=list(signatures))]


async def take_backfill(database: Database, *, dead_seconds: float) -> tuple[UUID, Stretch] | None:
    """The oldest backfill that nobody is at; one whose indexer gave no sign for `dead_seconds` is taken again."""
    row = await _queries.take_backfill(database, dead_seconds=dead_seconds)
    if row is None:
        return None
    return row["id"], Stretch(row["recipient"], row["signature"], row["from_slot"], row["to_slot"])


async def note_backfill_progress(database: Database, backfill: UUID, progress: Mapping[str, Any]) -> None:
    """Write down how far a backfill is, which is also its sign of life."""
    await _queries.note_backfill_progress(database, id=backfill, progress=progress)


async def finish_backfill(database: Database, backfill: UUID, error: str | None, progress: Mapping[str, Any]) -> None:
    """A backfill has ended: well, or with the sentence of what it met."""
    await _queries.finish_backfill(database, id=backfill, error=error, progress=progress)


def order_state(row: Mapping[str, Any]) -> OrderState:
    """The state in a row of `backfill_requests` or `reconciliation_runs`."""
    return OrderState(
        status=row["status"],
        progress=row["progress"],
        error=row["error"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )
