"""A stored reconciliation report as the API shows it: all of it to an admin, to a merchant its own part."""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from api.analytics.bodies import AccountInDoubt, OtherCredit, ReportBody, ReportClaim, ReportFinding, ReportMint
from api.http.json import exact_amount
from ledger.reports import FinishedReport
from ledger.times import epoch_ms

Line = Mapping[str, Any]


def report_body(finished: FinishedReport, user_id: str | None) -> ReportBody:
    """A report for everybody (`None`) or for one merchant: of each list the lines that name it."""
    report = finished.report

    def own(lines: Sequence[Line]) -> Sequence[Line]:
        return [line for line in lines if user_id is None or line["userId"] == user_id]

    lines = report["byMint"] if user_id is None else own(report["byUser"])
    findings = {
        kind: [ReportFinding.of_stored(line) for line in own(found)] for kind, found in report["findings"].items()
    }
    in_doubt = [AccountInDoubt.of_stored(line) for line in own(report["audit"]["inDoubt"])]
    return ReportBody(
        id=finished.id,
        finished_at=epoch_ms(finished.finished_at),
        at=report["at"],
        matched=_by_symbol(lines, "matched"),
        unmatched=_by_symbol(lines, "unmatched"),
        drift=sum(1 for account in in_doubt if account.drift_base_units != "0"),
        gaps=sum(account.gaps for account in in_doubt),
        by_mint=[_mint(line) for line in lines],
        claims=[ReportClaim.of_stored(line) for line in own(report["claims"])],
        counts=report["counts"] if user_id is None else {kind: len(found) for kind, found in findings.items()},
        findings=findings,
        accounts_in_doubt=in_doubt,
    )


def _by_symbol(lines: Sequence[Line], name: str) -> dict[str, Decimal]:
    """One figure for each symbol; a mint without one, or with other decimals than its namesake, by its address."""
    sums: Counter[tuple[str, int]] = Counter()
    decimals: dict[str, int] = {}
    for line in lines:
        symbol = line["symbol"] or line["mint"]
        named = symbol if decimals.setdefault(symbol, line["decimals"]) == line["decimals"] else line["mint"]
        sums[named, line["decimals"]] += int(line[f"{name}BaseUnits"])
    return {symbol: exact_amount(total, places) for (symbol, places), total in sums.items()}


def _mint(line: Line) -> ReportMint:
    def shown(name: str) -> Decimal:
        return exact_amount(int(line[f"{name}BaseUnits"]), line["decimals"])

    # Reports from before other credits were named have none of them.
    credited = line.get("creditedBaseUnits", line["receivedBaseUnits"])
    return ReportMint(
        mint=line["mint"],
        currency=line["symbol"] or line["mint"],
        transfers=line["transfers"],
        matched_transfers=line["matchedTransfers"],
        received=shown("received"),
        received_base_units=line["receivedBaseUnits"],
        matched=shown("matched"),
        matched_base_units=line["matchedBaseUnits"],
        unmatched=shown("unmatched"),
        unmatched_base_units=line["unmatchedBaseUnits"],
        credited=exact_amount(int(credited), line["decimals"]),
        credited_base_units=credited,
        other_credits=[
            OtherCredit(
                kind=credit["kind"],
                transfers=credit["transfers"],
                credited=exact_amount(int(credit["creditedBaseUnits"]), line["decimals"]),
                credited_base_units=credit["creditedBaseUnits"],
            )
            for credit in line.get("otherCredits", ())
        ],
    )
