"""How the ledger is: signs of life, gauges, and the invariants of money."""

import structlog

from ledger.invariants import INVARIANTS, check_invariants
from ledger.states import ClaimStatus, PayoutStatus
from worker.context import WorkerContext
from worker.payouts.checks import Waiting

_log = structlog.get_logger(__name__)


async def measure(context: WorkerContext) -> None:
    """Bring the gauges of claims and payouts up to date."""
    metrics, database = context.metrics, context.database
    claims = {row["status"]: row["claims"] async for row in context.queries.claim_counts(database)}
    for claim_status in ClaimStatus:
        metrics.claims.labels(claim_status.value).set(claims.get(claim_status.value, 0))
    metrics.oldest_pending.set(await context.queries.oldest_pending_seconds(database))
    rows = [row async for row in context.queries.payout_counts(database)]
    for status in PayoutStatus:
        metrics.payouts.labels(status.value).set(sum(r["payouts"] for r in rows if r["status"] == status))
    for reason in Waiting:
        metrics.payouts_waiting.labels(reason.value).set(
            sum(r["payouts"] for r in rows if r["waiting_reason"] == reason)
        )
    open_ones = [row["oldest_seconds"] for row in rows if row["status"] != PayoutStatus.SETTLED]
    metrics.oldest_payout.set(max(open_ones, default=0.0))


async def inspect(context: WorkerContext) -> int:
    """Check every invariant of money; returns how many rows break one. Reads the whole ledger, so it is rare."""
    context.metrics.unmatched.set(await context.queries.unmatched_count(context.database))
    violations = await check_invariants(context.database)
    for name in INVARIANTS:
        context.metrics.violations.labels(name).set(sum(one.invariant == name for one in violations))
    for violation in violations:
        _log.error(
            "invariant_violated",
            invariant=violation.invariant,
            subject=violation.subject,
            found=violation.found,
            expected=violation.expected,
        )
    return len(violations)
