"""How a reconciliation is printed: as tables for people, or every finding as CSV."""

import csv
import datetime as dt
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from cli.printing import amount_column, console, print_table, printable, time_text
from ledger.amounts import amount_text
from worker.camel_json import camel_json
from worker.context import WorkerContext
from worker.reports.run import stream_findings

_SHOWN_PER_KIND: Final = 20
# Wide enough for whole signatures and wallets.
_WIDTH_IN_FILES: Final = 260
_TOTALS: Final = {"received": "receivedBaseUnits", "matched": "matchedBaseUnits", "unmatched": "unmatchedBaseUnits"}


async def write_csv(context: WorkerContext) -> None:
    """Write every finding to standard output."""
    writer: csv.DictWriter[str] | None = None
    async for found in stream_findings(context):
        finding = camel_json(found)
        if writer is None:
            writer = csv.DictWriter(sys.stdout, finding.keys())
            writer.writeheader()
        writer.writerow(finding)


def print_report(report: dict[str, Any]) -> None:
    """Print the report for people: totals by mint, then the first findings of each kind."""
    output = console(_WIDTH_IN_FILES)
    tokens = {row["mint"]: (row["symbol"], row["decimals"]) for row in report["byMint"]}
    amounts = [[_amount(row[name], row["decimals"]) for name in _TOTALS.values()] for row in report["byMint"]]
    totals = Table("token", "transfers", *map(amount_column, _TOTALS), title="Received, by mint")
    for row, of_mint in zip(report["byMint"], amounts, strict=True):
        totals.add_row(row["symbol"], f"{row['transfers']}", *of_mint)
    print_table(totals, width_in_files=_WIDTH_IN_FILES)
    for kind, count in report["counts"].items():
        if count:
            names = {"token", "payer", "signature", "nonce"}
            print_table(
                _findings(kind, count, report["findings"][kind], tokens), names=names, width_in_files=_WIDTH_IN_FILES
            )
        else:
            output.print(f"{kind}: none")
        if count > _SHOWN_PER_KIND:
            output.print(f"... and {count - _SHOWN_PER_KIND} more; --format csv has every one.")
    audit = report["audit"]
    output.print(
        f"Audited accounts: {audit['audited']} of {audit['accounts']}; drifting {audit['drifting']}, "
        f"gaps {audit['gaps']}."
    )
    for one in report["keptDifferences"]:
        output.print(
            f"A defect of pay402, mended now: {one['subject']} was kept as {one['kept']} and is {one['counted']}.",
            style="bold red",
            markup=False,
        )
    if report["chainUnreachable"]:
        output.print(f"The chain could not be asked: {report['chainUnreachable']}.")


def _findings(
    kind: str, count: int, findings: Sequence[dict[str, Any]], tokens: Mapping[str, tuple[str, int]]
) -> Table:
    """The first findings of a kind, each with its merchant, its token and its payer."""
    shown = findings[:_SHOWN_PER_KIND]
    of_finding = [tokens.get(one["mint"], (one["mint"], 0)) for one in shown]
    amounts = [_amount(one["amountBaseUnits"], places) for one, (_, places) in zip(shown, of_finding, strict=True)]
    expected = [
        "" if one["expectedBaseUnits"] is None else _amount(one["expectedBaseUnits"], places)
        for one, (_, places) in zip(shown, of_finding, strict=True)
    ]
    table = Table(
        "time (UTC)",
        "merchant",
        amount_column("amount"),
        amount_column("expected"),
        "token",
        "payer",
        "signature",
        "nonce",
        "code",
        title=f"{kind}: {count}",
    )
    for one, (symbol, _), amount, asked in zip(shown, of_finding, amounts, expected, strict=True):
        moment = dt.datetime.fromtimestamp(one["at"] / 1000, dt.UTC)
        names = (one["payer"] or "", one["signature"] or "")
        texts = (
            Text(printable(one["userId"] or "")),
            amount,
            asked,
            Text(printable(symbol)),
            *names,
            Text(printable(one["nonce"] or "")),
        )
        table.add_row(time_text(moment), *texts, one["code"] or "")
    return table


def _amount(base_units: str, decimals: int) -> str:
    return amount_text(int(base_units), decimals)
