"""A stored reconciliation report as the API shows it: all of it to an admin, to a merchant its own part."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from api.http.json import figure

_SUMS = ("received", "matched", "unmatched")

Line = Mapping[str, Any]


def shown_report(report: Line, user_id: str | None) -> dict[str, Any]:
    """`report` as JSON for everybody (`None`) or for one merchant: of each list the lines that name it."""

    def own(lines: Sequence[Line]) -> list[Line]:
        return [line for line in lines if user_id is None or line["userId"] == user_id]

    lines = report["byMint"] if user_id is None else own(report["byUser"])
    findings = {kind: own(found) for kind, found in report["findings"].items()}
    in_doubt = own(report["audit"]["inDoubt"])
    return {
        "at": report["at"],
        "matched": _by_symbol(lines, "matched"),
        "unmatched": _by_symbol(lines, "unmatched"),
        "drift": sum(1 for account in in_doubt if account["driftBaseUnits"] != "0"),
        "gaps": sum(account["gaps"] for account in in_doubt),
        "byMint": [_mint(line) for line in lines],
        "claims": own(report["claims"]),
        "counts": report["counts"] if user_id is None else {kind: len(found) for kind, found in findings.items()},
        "findings": findings,
        "accountsInDoubt": in_doubt,
    }


def _by_symbol(lines: Sequence[Line], name: str) -> dict[str, Any]:
    """One figure for each symbol; a mint without one, or with other decimals than its namesake, by its address."""
    sums: Counter[tuple[str, int]] = Counter()
    decimals: dict[str, int] = {}
    for line in lines:
        symbol = line["symbol"] or line["mint"]
        named = symbol if decimals.setdefault(symbol, line["decimals"]) == line["decimals"] else line["mint"]
        sums[named, line["decimals"]] += int(line[f"{name}BaseUnits"])
    return {symbol: figure(total, places) for (symbol, places), total in sums.items()}


def _mint(line: Line) -> dict[str, Any]:
    money = {
        key: value
        for name in _SUMS
        for key, value in (
            (name, figure(int(line[f"{name}BaseUnits"]), line["decimals"])),
            (f"{name}BaseUnits", line[f"{name}BaseUnits"]),
        )
    }
    return {
        "mint": line["mint"],
        "currency": line["symbol"] or line["mint"],
        "transfers": line["transfers"],
        "matchedTransfers": line["matchedTransfers"],
        **money,
    }
