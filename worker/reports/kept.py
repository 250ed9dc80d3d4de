"""The report read from what is kept: it costs what changed since it was last brought up to date."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from typing import Any

from ledger.sql import DatabaseConnection, load_queries
from worker.reports.contents import (
    FINDINGS_KEPT_PER_KIND,
    ClaimTotals,
    Finding,
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
    limit = {"limit": FINDINGS_KEPT_PER_KIND}
    findings: dict[str, list[Finding]] = {
        "unmatchedTransfer": await _read(_queries.kept_findings(connection, kind="unmatchedTransfer", **limit)),
        "unpaidClaim": await _read(_queries.unpaid_findings(connection, **limit)),
        "latePayment": await _read(_queries.kept_findings(connection, kind="latePayment", **limit)),
        "shortPayment": await _read(_queries.short_findings(connection, **limit)),
        "overPayment": await _read(_queries.overpaid_findings(connection, **limit)),
        "duplicatePayment": await _read(_queries.kept_findings(connection, kind="duplicatePayment", **limit)),
    }
    return ReportedTotals(by_user=by_user, claims=claims, counts=counts, findings=findings)


async def _read(rows: AsyncIterator[Mapping[str, Any]]) -> list[Finding]:
    return [finding_of(row) async for row in rows]
