"""`pay402 reconcile`: decide pending claims, then report what does not match."""

import asyncio
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import typer

from cli.contexts import with_worker_context
from cli.printing import print_json, shown_waiting
from cli.reconciliation import print_report, write_csv
from ledger.reports import finished_report, reconciliation_state, request_reconciliation
from runtime.errors import OperatorError
from worker.context import WorkerContext
from worker.reports.run import run_report


class Format(StrEnum):
    """How the report is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def command(
    form: Annotated[Format, typer.Option("--format", help="table and json are the report, csv is every finding")] = (
        Format.TABLE
    ),
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Count from the whole ledger, and compare what is kept with it")
    ] = False,
) -> None:
    """Decide pending claims by the ledger and the chain, then report: totals by mint, and everything that is amiss.

    Example: pay402 reconcile --format csv > findings.csv
    """
    if as_json:
        if form is Format.CSV:
            raise OperatorError("--json and --format csv cannot both be printed; leave one of them out.")
        form = Format.JSON

    async def work(context: WorkerContext) -> dict[str, Any]:
        run = await request_reconciliation(context.database, requested_by="command", is_full=full)
        report = await _finished(context, run)
        if form is Format.CSV:
            await write_csv(context)
        return report

    with shown_waiting("reconciling"):
        report = with_worker_context(work)
    if form is Format.JSON:
        print_json(report)
    elif form is Format.TABLE:
        print_report(report)


async def _finished(context: WorkerContext, run: UUID) -> dict[str, Any]:
    """Make the report, unless a worker was quicker to take it up; then wait for it."""
    while True:
        await run_report(context, run)
        state = await reconciliation_state(context.database, run)
        if state is not None and state.status == "failed":
            raise OperatorError(f"The report was not made: {state.error}; run it again.")
        if (done := await finished_report(context.database, run)) is not None:
            return dict(done.report)
        await asyncio.sleep(0.2)
