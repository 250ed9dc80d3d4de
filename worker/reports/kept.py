"""The report read from what is kept: it costs what changed since it was last brought up to date."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from ledger.sql import DatabaseConnection, load_queries
from worker.reports.contents import (
    FINDINGS_KEPT_PER_KIND,
    KINDS,
    ClaimTotals,
    NewFinding,
    OtherCredit,
    ReportedTotals,
    UserTotals,
    claims_of,
    finding_of,
    totals_of,
)

_queries = load_queries("worker.reports", "kept.sql")


async def kept_totals(connection: DatabaseConnection) -> ReportedTotals:
    """Totals, counts and first findings as they are kept; `connection` holds what is kept, brought up to date."""
    others: defaultdict[tuple[str, str], list[OtherCredit]] = defaultdict(list)
    async for row in _queries.kept_other_credits(connection):
        others[row["user_id"], row["mint"]].append(OtherCredit(row["kind"], row["transfers"], int(row["credited"])))
    by_user: list[UserTotals] = [
        totals_of(row, others[row["user_id"], row["mint"]]) async for row in _queries.kept_received_totals(connection)
    ]
    claims: list[ClaimTotals] = [claims_of(row) async for row in _queries.kept_claim_totals(connection)]
    counted = await _queries.kept_finding_counts(connection)
    counts = {
        "unmatchedTransfer": counted["unmatched"],
        "unpaidClaim": counted["unpaid"],
        "latePayment": counted["late"],
        "shortPayment": counted["short_payments"] + counted["short_claims"],
        "overPayment": counted["overpaid"],
        "duplicatePayment": counted["duplicate"],
    }
    findings = {kind: await _first_findings(connection, kind) for kind in KINDS}
    return ReportedTotals(by_user=by_user, claims=claims, counts=counts, findings=findings)


async def _first_findings(connection: DatabaseConnection, kind: str) -> list[NewFinding]:
    """The findings of a kind that a report keeps: open ones first, each sort by age."""
    is_open = await _read(connection, kind, is_open=True, limit=FINDINGS_KEPT_PER_KIND)
    # Where there are so many open ones, nothing is looked for among them all that was decided.
    left = FINDINGS_KEPT_PER_KIND - len(is_open)
    return is_open + await _read(connection, kind, is_open=False, limit=left) if left else is_open


async def _read(connection: DatabaseConnection, kind: str, *, is_open: bool, limit: int) -> list[NewFinding]:
    which = {"is_open": is_open, "limit": limit}
    if kind == "unpaidClaim":
        rows = [_queries.unpaid_findings(connection, **which)]
    elif kind == "overPayment":
        rows = [_queries.overpaid_findings(connection, **which)]
    else:
        rows = [_queries.kept_findings(connection, kind=kind, **which)]
    if kind == "shortPayment":
        rows.append(_queries.short_claim_findings(connection, **which))
    found = [row for some in rows async for row in some]
    if len(rows) > 1:
        found = sorted(found, key=_by_age)[:limit]
    return [finding_of(row) for row in found]


def _by_age(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """The order of findings in a report; what is missing comes last, and each statement has put the rest in order."""
    keys = (row["signature"], row["path"])
    return row["at"], *((key is None, key or "") for key in keys)
