"""How the ledger is doing: gauges, and the invariants of money."""

from dataclasses import dataclass
from typing import Final

import structlog

from ledger.invariants import INVARIANTS, check_invariants
from ledger.settlements import budget_of_day, count_settlements
from ledger.sql import from_row, load_queries
from ledger.states import OPEN_SETTLEMENTS, ClaimStatus, PayoutStatus, SettlementStatus
from ledger.webhooks import delivery_backlog
from worker.context import WorkerContext
from worker.payouts.checks import WAITS_FOR_OWNER, Waiting

_log = structlog.get_logger(__name__)
_queries = load_queries("worker", "gauges.sql")

_DELIVERIES_COUNTED_MAX: Final = 200_000


@dataclass(frozen=True, slots=True)
class PayoutCount:
    """How many payouts have a status and, of those that wait, a reason, and how old the oldest of them is."""

    status: PayoutStatus
    waiting_reason: str | None
    payouts: int
    oldest_seconds: float


async def measure(context: WorkerContext) -> None:
    """Bring the gauges of claims, payouts and settlements up to date."""
    metrics, database = context.metrics, context.database
    claims: dict[str, int] = {row["status"]: row["claims"] async for row in _queries.claim_counts(database)}
    for claim_status in ClaimStatus:
        metrics.claims.labels(claim_status.value).set(claims.get(claim_status.value, 0))
    metrics.oldest_pending.set(await _queries.oldest_pending_seconds(database))
    counts = [from_row(PayoutCount, row) async for row in _queries.payout_counts(database)]
    for status in PayoutStatus:
        metrics.payouts.labels(status.value).set(sum(one.payouts for one in counts if one.status == status))
    for reason in Waiting:
        metrics.payouts_waiting.labels(reason.value).set(
            sum(one.payouts for one in counts if one.waiting_reason == reason)
        )
    # What waits for its owner may wait for ever, and anybody can have us wait for dust.
    open_ages = [
        one.oldest_seconds
        for one in counts
        if one.status != PayoutStatus.SETTLED and one.waiting_reason not in WAITS_FOR_OWNER
    ]
    metrics.oldest_payout.set(max(open_ages, default=0.0))
    await _measure_settlements(context)
    await _measure_webhooks(context)
    metrics.fees_given.set(await _queries.gift_lamports(database))
    metrics.fees_budget.set(context.settings.gifts_per_day_lamports_max)


async def _measure_webhooks(context: WorkerContext) -> None:
    backlog = await delivery_backlog(context.database, count_max=_DELIVERIES_COUNTED_MAX)
    context.metrics.webhook_backlog.set(backlog.pending)
    context.metrics.webhook_oldest_due.set(backlog.oldest_due_seconds)
    context.metrics.webhooks.labels("failing").set(backlog.failing)
    context.metrics.webhooks.labels("disabled").set(backlog.disabled)


async def _measure_settlements(context: WorkerContext) -> None:
    metrics = context.metrics
    counts = {one.status: one for one in await count_settlements(context.database)}
    for status in SettlementStatus:
        metrics.settlements.labels(status.value).set(counts[status].settlements if status in counts else 0)
    metrics.oldest_settlement.set(
        max((counts[one].oldest_seconds for one in OPEN_SETTLEMENTS if one in counts), default=0.0)
    )
    used = await budget_of_day(context.database)
    metrics.settlement_lamports.set(used.lamports if used else 0)
    metrics.settlement_budget.set(used.lamports_max if used else 0)


async def inspect(context: WorkerContext) -> int:
    """Check every invariant of money; returns how many rows break one. Reads the whole ledger, so it is rare."""
    context.metrics.unmatched.set(await _queries.unmatched_count(context.database))
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
