"""How a reconciliation is printed: as tables for people, or every finding as CSV."""

import csv
import sys
from typing import Any, Final

from rich.table import Table

from cli.printing import console
from ledger.amounts import figure_text
from worker.context import WorkerContext
from worker.report import stream_findings
from worker.stored_json import stored_json

_SHOWN_PER_KIND: Final = 20
_TOTALS: Final = ("receivedBaseUnits", "matchedBaseUnits", "unmatchedBaseUnits")


async def write_csv(context: WorkerContext) -> None:
    """Write every finding to standard output."""
    writer: csv.DictWriter[str] | None = None
    async for found in stream_findings(context):
        finding = stored_json(found)
        if writer is None:
            writer = csv.DictWriter(sys.stdout, finding.keys())
            writer.writeheader()
        writer.writerow(finding)


def print_report(report: dict[str, Any]) -> None:
    """Print the report for people: totals by mint, then the first findings of each kind."""
    output = console()
    totals = Table("token", "transfers", "received", "matched", "unmatched", title="Received, by mint")
    decimals = {row["mint"]: row["decimals"] for row in report["byMint"]}
    for row in report["byMint"]:
        amounts = [_amount(row[name], row["decimals"]) for name in _TOTALS]
        totals.add_row(row["symbol"], f"{row['transfers']}", *amounts)
    output.print(totals)
    for kind, count in report["counts"].items():
        found = Table("at", "signature", "amount", "expected", "code", title=f"{kind}: {count}")
        for finding in report["findings"][kind][:_SHOWN_PER_KIND]:
            places = decimals.get(finding["mint"], 0)
            expected = finding["expectedBaseUnits"]
            found.add_row(
                f"{finding['at']}",
                f"{finding['signature']} {finding['path'] or ''}",
                _amount(finding["amountBaseUnits"], places),
                "" if expected is None else _amount(expected, places),
                finding["code"] or "",
            )
        output.print(found if count else f"{kind}: none")
        if count > _SHOWN_PER_KIND:
            output.print(f"... and {count - _SHOWN_PER_KIND} more; --format csv has every one.")
    audit = report["audit"]
    output.print(
        f"Audited accounts: {audit['audited']} of {audit['accounts']}; drifting {audit['drifting']}, "
        f"gaps {audit['gaps']}."
    )
    if report["chainUnreachable"]:
        output.print(f"The chain could not be asked: {report['chainUnreachable']}.")


def _amount(base_units: str, decimals: int) -> str:
    return figure_text(int(base_units), decimals)
