"""`pay402 reconcile`: decide pending claims, then report what does not match."""

import csv
import sys
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from cli.running import with_worker_context
from ledger.amounts import figure_text
from ledger.reports import finished_report, reconciliation_state, request_reconciliation
from runtime.errors import OperatorError
from worker.context import WorkerContext
from worker.report import run_report, stream_findings

_SHOWN_PER_KIND = 20


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
) -> None:
    """Decide pending claims by the ledger and the chain, then report: totals by mint, and everything that is amiss.

    Example: pay402 reconcile --format csv > findings.csv
    """
    if as_json:
        if form is Format.CSV:
            raise OperatorError("--json and --format csv cannot both be printed; leave one of them out.")
        form = Format.JSON

    async def work(context: WorkerContext) -> dict[str, Any]:
        run = await request_reconciliation(context.database, requested_by="command")
        report = await _finished(context, run)
        if form is Format.CSV:
            await _write_csv(context)
        return report

    report = with_worker_context(work)
    if form is Format.JSON:
        typer.echo(msgspec.json.encode(report).decode())
    elif form is Format.TABLE:
        _print(report)


async def _finished(context: WorkerContext, run: UUID) -> dict[str, Any]:
    """Make the report, unless a worker was quicker to take it up; then wait for it."""
    import asyncio

    while True:
        await run_report(context, run)
        state = await reconciliation_state(context.database, run)
        if state is not None and state.status == "failed":
            raise OperatorError(f"The report was not made: {state.error}; run it again.")
        if (done := await finished_report(context.database, run)) is not None:
            return dict(done.report)
        await asyncio.sleep(0.2)


async def _write_csv(context: WorkerContext) -> None:
    writer: Any = None
    async for finding in stream_findings(context):
        if writer is None:
            writer = csv.DictWriter(sys.stdout, finding.keys())
            writer.writeheader()
        writer.writerow(finding)


def _print(report: dict[str, Any]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 160)
    totals = Table("token", "transfers", "received", "matched", "unmatched", title="Received, by mint")
    decimals = {row["mint"]: row["decimals"] for row in report["byMint"]}
    for row in report["byMint"]:
        figures = [_figure(row[name], row["decimals"]) for name in _TOTALS]
        totals.add_row(row["symbol"], f"{row['transfers']}", *figures)
    console.print(totals)
    for kind, count in report["counts"].items():
        found = Table("at", "signature", "amount", "expected", "code", title=f"{kind}: {count}")
        for finding in report["findings"][kind][:_SHOWN_PER_KIND]:
            places = decimals.get(finding["mint"], 0)
            expected = finding["expectedBaseUnits"]
            found.add_row(
                f"{finding['at']}",
                f"{finding['signature']} {finding['path'] or ''}",
                _figure(finding["amountBaseUnits"], places),
                "" if expected is None else _figure(expected, places),
                finding["code"] or "",
            )
        console.print(found if count else f"{kind}: none")
        if count > _SHOWN_PER_KIND:
            console.print(f"... and {count - _SHOWN_PER_KIND} more; --format csv has every one.")
    audit = report["audit"]
    console.print(
        f"Audited accounts: {audit['audited']} of {audit['accounts']}; drifting {audit['drifting']}, "
        f"gaps {audit['gaps']}."
    )
    if report["chainUnreachable"]:
        console.print(f"The chain could not be asked: {report['chainUnreachable']}.")


_TOTALS = ("receivedBaseUnits", "matchedBaseUnits", "unmatchedBaseUnits")


def _figure(base_units: str, decimals: int) -> str:
    return figure_text(int(base_units), decimals)
