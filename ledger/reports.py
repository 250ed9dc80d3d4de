"""Reconciliations as others see them: ask for one, ask how it stands, read the newest report.

Functions take a database connection or pool. The worker makes the reports.
"""

from typing import Any
from uuid import UUID

from ledger.sql import load_queries

_queries = load_queries("ledger", "reports.sql")


async def request_reconciliation(database: Any, *, requested_by: str) -> UUID:
    """Ask for a reconciliation; returns the id under which `reconciliation_state` tells how it stands."""
    row = await _queries.ask_for_report(database, requested_by=requested_by)
    asked: UUID = row["id"]
    return asked


async def reconciliation_state(database: Any, run: UUID) -> Any:
    """The row: `status` (queued, running, done, failed), `progress`, `report`, `error` and its times, or `None`."""
    return await _queries.report_state(database, id=run)


async def newest_reconciliation(database: Any) -> Any:
    """The newest report that is done, with `report`, `created_at` and `finished_at`, or `None`."""
    return await _queries.newest_report(database)
