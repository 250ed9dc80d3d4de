"""Payouts that were exported under a nonce, and so can be paid at any time: also after they were paid by hand.

Functions take a database connection or pool.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from ledger.sql import Database, from_row, load_queries

_queries = load_queries("ledger", "payout_exports.sql")

_SHOWN_MAX: Final = 100
_FIRST: Final = (dt.datetime(1, 1, 1, tzinfo=dt.UTC), UUID(int=0))


@dataclass(frozen=True, slots=True)
class EndedExport:
    """An export whose payout is paid, and the value of a nonce account by which it could land, seen at `nonce_slot`."""

    id: UUID
    nonce_account: str
    nonce_value: str
    nonce_slot: int
    ended_at: dt.datetime


@dataclass(frozen=True, slots=True)
class PayableTwice:
    """A payout that seems to be paid, of which an export may still land.

    Attributes:
        nonce_account: By which the export lives; nothing of it can land once that is advanced.
        is_settled: It was paid with its reference; else as much went to its recipient without it.
    """

    payout_id: UUID
    nonce_account: str
    is_settled: bool

    @property
    def warning(self) -> str:
        """What is wrong, as a sentence without its end."""
        return f"the payout {self.payout_id} seems to be paid, and what was exported of it can pay it again"

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return f"let nobody sign it, and run `pay402 payouts nonce void {self.nonce_account}`"


async def payable_twice(database: Database) -> list[PayableTwice]:
    """Payouts that seem to be paid while an export of them lives by a nonce: the oldest hundred."""
    return [from_row(PayableTwice, row) async for row in _queries.payable_twice(database, limit=_SHOWN_MAX)]


async def nonces_of(database: Database, payouts: Sequence[UUID]) -> dict[UUID, str]:
    """The nonce accounts by which exports of these payouts may land."""
    rows = _queries.nonces_of(database, payouts=list(payouts))
    return {row["payout_id"]: row["nonce_account"] async for row in rows}


async def ended_exports(database: Database, *, after: tuple[dt.datetime, UUID] | None, limit: int) -> list[EndedExport]:
    """Exports of payouts that are paid, whose nonces are not known to have been advanced.

    At most `limit`, oldest first; they begin behind the one that ended at the time and has the id
    of `after`.
    """
    ended_at, export = after or _FIRST
    rows = _queries.ended_exports(database, after_ended_at=ended_at, after_id=export, limit=limit)
    return [from_row(EndedExport, row) async for row in rows]


async def note_export_dead(database: Database, export: UUID, *, slot: int) -> None:
    """Note that the nonce of an export of a paid payout was advanced at the finalized `slot`."""
    await _queries.note_export_dead(database, id=export, slot=slot)
