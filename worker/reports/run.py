"""Reconciliations: taken up, decided, reported, stored.

The stored report holds all totals and counts, and of each kind of finding the first thousand, open ones before
those that somebody has decided about; the command streams every one of them.
"""

import datetime as dt
from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

import structlog

from chain.rpc import RpcError
from ledger.sql import DatabaseConnection, load_queries
from ledger.times import epoch_ms
from runtime.database_errors import is_defect
from worker.camel_json import camel_json
from worker.claims.decide import Reconciled, reconcile
from worker.context import WorkerContext
from worker.reports.changes import bring_up_to_date, count_anew, fold_report_changes, held_report, note_checked
from worker.reports.contents import (
    FINDINGS_KEPT_PER_KIND,
    Audit,
    KeptDifference,
    NewFinding,
    Report,
    ReportedTotals,
    in_doubt_of,
    sum_by_mint,
)
from worker.reports.counted import counted_findings, counted_totals
from worker.reports.differences import differences
from worker.reports.kept import kept_totals

_log = structlog.get_logger(__name__)
_queries = load_queries("worker.reports", "run.sql", "audit.sql")

_DEAD_SECONDS: Final = 900.0
_STATEMENT_SECONDS: Final = 300


async def run_report(context: WorkerContext, run: UUID | None = None) -> UUID | None:
    """Take up a reconciliation that was asked for, the one given or the oldest: decide, then report.

    Returns:
        Its id; `None` when there is none to take up.
    """
    taken = await _queries.take_report(context.database, id=run, dead_seconds=_DEAD_SECONDS)
    if taken is None:
        return None
    chosen: UUID = taken["id"]
    try:
        note = None
        try:
            decided = await reconcile(context)
        except RpcError as error:
            # What the ledger holds is decided and can be reported; what it lacks has to wait for the chain.
            decided, note = Reconciled(), str(error)
        decided_json = camel_json(decided)
        await _queries.note_progress(context.database, id=chosen, progress={"decided": decided_json})
        report = await (make_full_report(context) if taken["is_full"] else make_report(context))
        stored = {**camel_json(report), "decided": decided_json, "chainUnreachable": note}
        await _queries.finish_report(context.database, id=chosen, report=stored, error=None)
    except Exception as error:
        # A defect would be taken up and fail again for ever; what an absent database ends is taken up again.
        if is_defect(error):
            reason = f"a defect of pay402 ({type(error).__name__})"
            await _queries.finish_report(context.database, id=chosen, report=None, error=reason)
        raise
    _log.info("reconciled", run=str(chosen), **report.counts)
    return chosen


async def is_report_due(context: WorkerContext) -> bool:
    """True when the newest report, finished or not, is older than they are to be, or there is none."""
    age_seconds: float | None = await _queries.seconds_since_report(context.database)
    return age_seconds is None or age_seconds > context.settings.report_seconds


async def is_full_report_due(context: WorkerContext) -> bool:
    """True when the newest report counted from the whole ledger is older than they are to be, or there is none."""
    age_seconds: float | None = await _queries.seconds_since_full_report(context.database)
    return age_seconds is None or age_seconds > context.settings.report_check_seconds


async def make_report(context: WorkerContext) -> Report:
    """The report of one moment, read from what is kept, which is brought up to date first.

    Everything in it is of one snapshot. Without anything kept yet it is counted from the whole ledger, once.
    """
    # Most is folded in short transactions; what comes meanwhile is folded in that of the report.
    await fold_report_changes(context.database)
    async with held_report(context.database) as connection:
        await bring_up_to_date(connection)
        return await _report(connection, await kept_totals(connection), [])


async def make_full_report(context: WorkerContext) -> Report:
    """The report of one moment counted from the whole ledger, which what is kept is compared with.

    Where they differ, the report says so, and so do a metric and the log; what is kept is counted anew.
    """
    await fold_report_changes(context.database)
    async with held_report(context.database) as connection:
        await bring_up_to_date(connection)
        kept = await kept_totals(connection)
        counted = await counted_totals(connection)
        found = differences(kept, counted)
        if found:
            await count_anew(connection)
        await note_checked(connection)
        report = await _report(connection, counted, found)
    context.metrics.report_differences.set(len(found))
    for one in found:
        _log.error("kept_report_differs", subject=one.subject, kept=one.kept, counted=one.counted)
    return report


async def stream_findings(context: WorkerContext) -> AsyncIterator[NewFinding]:
    """Every finding, however many, in one snapshot, by the whole ledger."""
    pool = context.database
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(f"SET LOCAL statement_timeout = '{_STATEMENT_SECONDS}s'")
        async for finding in counted_findings(connection):
            yield finding


async def _report(connection: DatabaseConnection, totals: ReportedTotals, found: list[KeptDifference]) -> Report:
    in_doubt = [in_doubt_of(row) async for row in _queries.accounts_in_doubt(connection)]
    audited = await _queries.audited(connection)
    at: dt.datetime = await _queries.report_moment(connection)
    return Report(
        at=epoch_ms(at),
        by_mint=sum_by_mint(totals.by_user),
        by_user=totals.by_user,
        claims=totals.claims,
        counts=totals.counts,
        findings=totals.findings,
        findings_kept_per_kind=FINDINGS_KEPT_PER_KIND,
        audit=Audit(
            accounts=audited["accounts"],
            audited=audited["audited"],
            least_audited_slot=audited["least_audited_slot"],
            drifting=audited["drifting"],
            gaps=audited["gaps"],
            in_doubt=in_doubt,
        ),
        kept_differences=found,
    )
