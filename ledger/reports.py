"""Reconciliations, which the worker makes: ask for one, ask how far one is, read the newest report.

The functions take a database connection or pool.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ledger.index_requests import OrderState, order_state
from ledger.sql import Database, load_queries

_queries = load_queries("ledger", "reports.sql")


@dataclass(frozen=True, slots=True)
class FinishedReport:
    """A report that is done, as the worker wrote it down."""

    id: UUID
    report: Mapping[str, Any]
    created_at: dt.datetime
    finished_at: dt.datetime


async def request_reconciliation(database: Database, *, requested_by: str, is_full: bool = False) -> UUID:
    """Ask for a reconciliation; returns the id under which `reconciliation_state` says how it stands.

    One that is full is counted from the whole ledger, and what is kept for the others is compared with it.
    """
    row = await _queries.ask_for_report(database, requested_by=requested_by, is_full=is_full)
    asked: UUID = row["id"]
    return asked


async def reconciliation_state(database: Database, run: UUID) -> OrderState | None:
    """How a reconciliation stands, or `None` when there is none of this id."""
    row = await _queries.report_state(database, id=run)
    return None if row is None else order_state(row)


async def finished_report(database: Database, run: UUID) -> FinishedReport | None:
    """The report of this id once it is done, or `None`."""
    row = await _queries.finished_report(database, id=run)
    return None if row is None else _finished(row)


async def newest_report(database: Database) -> FinishedReport | None:
    """The report that was done last, or `None` when there is none yet."""
    row = await _queries.newest_report(database)
    return None if row is None else _finished(row)


async def newest_report_moment(database: Database) -> dt.datetime | None:
    """When the newest report was done, or `None` when there is none yet."""
    moment: dt.datetime | None = await _queries.newest_report_moment(database)
    return moment


def _finished(row: Mapping[str, Any]) -> FinishedReport:
    return FinishedReport(row["id"], row["report"], row["created_at"], row["finished_at"])
