"""The report counted from the whole ledger: what the kept one must be, at any moment."""

from collections import defaultdict
from collections.abc import AsyncIterator

from ledger.sql import DatabaseConnection, load_queries
from runtime.database_connection import at_the_database
from worker.reports.contents import (
    FINDINGS_KEPT_PER_KIND,
    KINDS,
    NewFinding,
    OtherCredit,
    ReportedTotals,
    claims_of,
    finding_of,
    totals_of,
)

_queries = load_queries("worker.reports", "counted.sql")


async def counted_totals(connection: DatabaseConnection) -> ReportedTotals:
    """Totals, counts and first findings by the whole ledger, as the snapshot of `connection` shows it."""
    await connection.execute("SET LOCAL enable_seqscan = on")
    others: defaultdict[tuple[str, str], list[OtherCredit]] = defaultdict(list)
    async for row in _queries.other_credits(connection):
        others[row["user_id"], row["mint"]].append(OtherCredit(row["kind"], row["transfers"], int(row["credited"])))
    by_user = [
        totals_of(row, others[row["user_id"], row["mint"]]) async for row in _queries.received_totals(connection)
    ]
    claims = [claims_of(row) async for row in _queries.claim_totals(connection)]
    counts: dict[str, int] = dict.fromkeys(KINDS, 0)
    open_ones: dict[str, list[NewFinding]] = {kind: [] for kind in KINDS}
    decided: dict[str, list[NewFinding]] = {kind: [] for kind in KINDS}
    async for finding, is_open in _findings(connection, asks_decisions=True):
        counts[finding.kind] += 1
        first = (open_ones if is_open else decided)[finding.kind]
        if len(first) < FINDINGS_KEPT_PER_KIND:
            first.append(finding)
    findings = {kind: [*open_ones[kind], *decided[kind]][:FINDINGS_KEPT_PER_KIND] for kind in KINDS}
    return ReportedTotals(by_user=by_user, claims=claims, counts=counts, findings=findings)


async def counted_findings(connection: DatabaseConnection) -> AsyncIterator[NewFinding]:
    """Every finding by the whole ledger, as the snapshot of `connection` shows it, whatever was decided about it."""
    async for finding, _ in _findings(connection, asks_decisions=False):
        yield finding


async def _findings(
    connection: DatabaseConnection, *, asks_decisions: bool
) -> AsyncIterator[tuple[NewFinding, bool | None]]:
    """Findings, and whether nobody has decided about them, where that is asked."""
    # A cursor's own fetches go past the connection, which would say what a time-out means.
    with at_the_database():
        async with _queries.findings_cursor(connection, asks_decisions=asks_decisions) as rows:
            async for row in rows:
                yield finding_of(row), row["is_open"]
