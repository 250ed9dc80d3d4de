"""The Grafana dashboards, in one readable source: `python deploy/grafana/dashboards.py` writes dashboards/*.json.

A panel is a title, a sentence on what it shows, its unit, and queries by the name of their line. A test holds every
metric of theirs against those that the processes define, and the JSON against this file.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DIRECTORY: Final = Path(__file__).parent / "dashboards"
_WIDTH: Final = 24
_SOURCE: Final = {"type": "prometheus", "uid": "prometheus"}


@dataclass(frozen=True)
class Panel:
    """One graph. `queries` are PromQL by legend, in which {{label}} stands for a label's value."""

    title: str
    description: str
    unit: str
    queries: dict[str, str]
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False


@dataclass(frozen=True)
class Dashboard:
    """Rows of panels, each row with a heading."""

    name: str
    title: str
    rows: dict[str, list[Panel]]


def quantiles(histogram: str) -> dict[str, str]:
    """The median and the slow ends of a histogram, over all replicas."""
    rates = f"sum by (le) (rate({histogram}_bucket[5m]))"
    return {f"p{int(100 * q)}": f"histogram_quantile({q}, {rates})" for q in (0.5, 0.95, 0.99)}


API = Dashboard(
    "api",
    "402pay: API",
    {
        "Requests": [
            Panel("Requests", "Answered each second, by status", "reqps",
                  {"{{status}}": "sum by (status) (rate(pay402_http_requests_total[5m]))"}, stacked=True),
            Panel("Errors of ours", "Share of requests that end in 5xx; an alert fires above 1 %", "percentunit",
                  {"5 min": "pay402:requests:error_ratio_5m", "1 h": "pay402:requests:error_ratio_1h"}),
            Panel("Duration", "Of all requests", "s", quantiles("pay402_http_request_seconds")),
            Panel("Errors by route", "Each second, 5xx only", "reqps",
                  {"{{route}}": 'sum by (route) (rate(pay402_http_requests_total{status=~"5.."}[5m]))'}, width=12),
            Panel("Slowest routes", "95 of 100 requests are faster", "s",
                  {"{{route}}": "topk(8, histogram_quantile(0.95, sum by (le, route)"
                                " (rate(pay402_http_request_seconds_bucket[5m]))))"}, width=12),
        ],
        "Verifications": [
            Panel("Outcomes", "Each second: honoured, or why not", "reqps",
                  {"{{outcome}}": "sum by (outcome) (rate(pay402_verifications_total[5m]))"}, stacked=True),
            Panel("Refused", "Share of final verdicts; an alert fires above 5 %", "percentunit",
                  {"10 min": "pay402:verifications:refused_ratio_10m"}),
            Panel("Duration", "A payment not indexed yet is waited for, for two seconds at most", "s",
                  quantiles("pay402_verify_seconds")),
            Panel("Settlements over x402", "Each second: settled, or why not", "reqps",
                  {"{{outcome}}": "sum by (outcome) (rate(pay402_x402_settlements_total[5m]))"},
                  stacked=True, width=12),
            Panel("Duration of settlements", "Until the ledger has the payment, 20 seconds at most", "s",
                  quantiles("pay402_x402_settle_seconds"), width=12),
        ],
        "Postgres": [
            Panel("Pool", "Connections of all API processes", "short",
                  {"{{state}}": "sum by (state) (pay402_database_pool_connections)"}),
            Panel("Pool in use", "Of each process; an alert fires at 100 %", "percentunit",
                  {"{{instance}}": "pay402:database_pool:used_ratio"}),
            Panel("Behind the chain", "Slots between what the indexer has seen and what is recorded", "short",
                  {"lag": "min(pay402_ledger_lag_slots)"}),
        ],
        "Redis and limits": [
            Panel("Redis", "1 while it answers", "short", {"{{instance}}": "pay402_redis_up"}),
            Panel("Calls of Redis", "Each second", "ops",
                  {"{{outcome}}": "sum by (outcome) (rate(pay402_redis_calls_total[5m]))"}),
            Panel("Keys found in memory", "Share of look-ups that asked no database", "percentunit",
                  {"hits": 'sum(rate(pay402_key_cache_total{outcome="hit"}[5m]))'
                           " / sum(rate(pay402_key_cache_total[5m]))"}),
            Panel("Limited", "Requests refused each second, by limit", "reqps",
                  {"{{limit}}": "sum by (limit) (rate(pay402_rate_limited_total[5m]))"}, width=12),
            Panel("Not let in", "Requests each second without a good key, or without the right", "reqps",
                  {"{{status}}": 'sum by (status) (rate(pay402_http_requests_total{status=~"401|403"}[5m]))'},
                  width=12),
        ],
    },
)  # fmt: skip

LEDGER = Dashboard(
    "ledger",
    "402pay: indexer and ledger",
    {
        "Is the ledger right?": [
            Panel("Drifting accounts", "Whose balance is not the chain's; 0 is right", "short",
                  {"accounts": "max(pay402_drifting_accounts)"}, kind="stat", width=4),
            Panel("Gaps", "Breaks in the chains of balance changes; 0 is right", "short",
                  {"gaps": "max(pay402_ledger_gaps)"}, kind="stat", width=4),
            Panel("Broken rules", "Invariants of money that do not hold; 0 is right", "short",
                  {"rows": "sum(max by (invariant) (pay402_invariant_violations))"}, kind="stat", width=4),
            Panel("Behind", "Slots between what was seen and what is recorded", "short",
                  {"slots": "min(pay402_ledger_lag_slots)"}, kind="stat", width=4),
            Panel("Since a sign of life", "Of any indexer", "s",
                  {"age": "min(pay402_indexer_heartbeat_age_seconds)"}, kind="stat", width=4),
            Panel("Unexplained today", "Balance changes that no instruction explains; 0 is right", "short",
                  {"changes": "sum(increase(pay402_unexplained_total[1d]))"}, kind="stat", width=4),
            Panel("Audits", "An hour, by outcome", "short",
                  {"{{outcome}}": "sum by (outcome) (increase(pay402_audits_total[1h]))"}),
            Panel("Accounts found to disagree", "An hour; healing mends them", "short",
                  {"accounts": "sum(increase(pay402_audit_findings_total[1h]))"}),
            Panel("Forks", "An hour: transfers undone or moved to another slot, claims reopened and honoured again",
                  "short",
                  {"orphaned": "sum(increase(pay402_transfers_orphaned_total[1h]))",
                   "landed again": "sum(increase(pay402_transfers_landed_again_total[1h]))",
                   "claims reopened": "sum(increase(pay402_claims_reversed_total[1h]))",
                   "claims restored": "sum(increase(pay402_claims_restored_total[1h]))"}),
        ],
        "From the chain to the row": [
            Panel("Transfers", "New rows each second, and those that became final", "ops",
                  {"recorded": "sum(rate(pay402_transfers_recorded_total[5m]))",
                   "finalized": "sum(rate(pay402_transfers_finalized_total[5m]))"}),
            Panel("From notification to row", "How long a payment takes into the ledger", "s",
                  quantiles("pay402_notification_to_row_seconds")),
            Panel("Waiting to be fetched", "And notifications an hour that found no room, left to healing", "short",
                  {"{{instance}}": "pay402_fetch_queue_length",
                   "overflows": "sum(increase(pay402_queue_overflows_total[1h]))"}),
            Panel("Notifications", "Each second", "ops", {"{{instance}}": "rate(pay402_notifications_total[5m])"}),
            Panel("Not fetched", "Transactions each second, by reason; and those asked for again", "ops",
                  {"{{reason}}": "sum by (reason) (rate(pay402_fetch_failures_total[5m]))",
                   "not yet there": "sum(rate(pay402_transaction_not_yet_total[5m]))"}),
            Panel("The database refused", "Writes repeated, and transactions it will not take, each hour", "short",
                  {"repeated": "sum(increase(pay402_database_retries_total[1h]))",
                   "refused": "sum(increase(pay402_unrecordable_total[1h]))"}),
        ],
        "Sockets and healing": [
            Panel("Accounts", "Followed, and subscribed right now", "short",
                  {"followed {{instance}}": "pay402_followed_accounts",
                   "subscribed {{instance}}": "pay402_subscribed_accounts"}),
            Panel("Newest slot", "How fast it moves: about 2.5 a second; 0 is a stalled socket", "short",
                  {"{{instance}}": "deriv(pay402_newest_slot[2m])"}),
            Panel("Disconnects", "Sockets that ended, an hour", "short",
                  {"{{instance}}": "increase(pay402_socket_disconnects_total[1h])"}),
            Panel("Walks over histories", "Each minute, by outcome", "short",
                  {"{{outcome}}": "sum by (outcome) (rate(pay402_heals_total[5m])) * 60"}),
            Panel("Found by healing", "Transactions an hour that no notification had brought", "short",
                  {"found": "sum(increase(pay402_healed_transactions_total[1h]))"}),
            Panel("Waiting to be healed", "Accounts", "short", {"{{instance}}": "pay402_heal_queue_length"}),
            Panel("Dust that waits", "Empty accounts of strangers that are followed once they are paid", "short",
                  {"{{instance}}": "pay402_dust_accounts_waiting"}),
            Panel("What a second node says of payments", "A minute", "short",
                  {"{{endpoint}} {{outcome}}":
                   "sum by (endpoint, outcome) (rate(pay402_witness_answers_total[5m])) * 60"}),
            Panel("Slots that the chain has not reached", "An hour: refused in audits, and corrected", "short",
                  {"refused, {{endpoint}}": "sum by (endpoint) (increase(pay402_audit_slots_refused_total[1h]))",
                   "corrected": "sum(increase(pay402_impossible_slots_corrected_total[1h]))"}),
        ],
        "Solana nodes": [
            Panel("Refused questions", "An hour; the indexer does without the answer", "short",
                  {"{{what}}": "sum by (what) (increase(pay402_node_refusals_total[1h]))"}, width=6),
            Panel("Calls", "Each second, by node", "ops",
                  {"{{endpoint}}": "sum by (endpoint) (rate(pay402_rpc_calls_total[5m]))"}, width=6),
            Panel("Failures", "Share of the calls of each node, by what went wrong", "percentunit",
                  {"{{endpoint}} {{outcome}}":
                   'sum by (endpoint, outcome) (rate(pay402_rpc_calls_total{outcome!="ok"}[5m]))'
                   " / on (endpoint) group_left () sum by (endpoint) (rate(pay402_rpc_calls_total[5m]))"}, width=6),
            Panel("Duration", "95 of 100 calls are faster", "s",
                  {"{{method}}": "histogram_quantile(0.95, sum by (le, method)"
                                 " (rate(pay402_rpc_call_seconds_bucket[5m])))"}, width=6),
        ],
    },
)  # fmt: skip

WORKER = Dashboard(
    "worker",
    "402pay: worker",
    {
        "Claims and payouts": [
            Panel("Claims", "By status", "short", {"{{status}}": "max by (status) (pay402_claims)"}),
            Panel("Oldest pending claim", "An alert fires after 15 minutes", "s",
                  {"age": "max(pay402_oldest_pending_claim_seconds)"}),
            Panel("Missed payments", "An hour; 0 is right", "short",
                  {"missed": "sum(increase(pay402_missed_payments_total[1h]))"}),
            Panel("Payouts", "By status", "short", {"{{status}}": "max by (status) (pay402_payouts)"}),
            Panel("Oldest open payout", "An alert fires after half an hour", "s",
                  {"age": "max(pay402_oldest_open_payout_seconds)"}),
            Panel("Payouts that wait", "By what they wait for", "short",
                  {"{{reason}}": "max by (reason) (pay402_payouts_waiting)"}),
            Panel("Payments over x402", "By status", "short", {"{{status}}": "max by (status) (pay402_settlements)"}),
            Panel("Oldest undecided payment over x402", "An alert fires after 5 minutes", "s",
                  {"age": "max(pay402_oldest_open_settlement_seconds)"}),
            Panel("Fee payer of x402", "Lamports of the poorest; an alert fires below the line", "short",
                  {"held": "min(pay402_fee_payer_lamports)", "line": "max(pay402_fee_payer_low_lamports)"}),
            Panel("Fees of x402", "Lamports reserved today, and the budget", "short",
                  {"reserved": "max(pay402_settlement_reserved_lamports)",
                   "budget": "max(pay402_settlement_budget_lamports)"}),
            Panel("Unmatched transfers", "Received, and claimed by nobody", "short",
                  {"transfers": "max(pay402_unmatched_transfers)"}, width=12),
            Panel("Broken rules", "Rows in which an invariant of money does not hold; 0 is right", "short",
                  {"{{invariant}}": "max by (invariant) (pay402_invariant_violations)"}, width=12),
        ],
        "Feed and webhooks": [
            Panel("Published", "Entries of the feed, each second", "short",
                  {"entries": "sum(rate(pay402_feed_entries_total[5m]))"}),
            Panel("Streams", "Readers that are connected", "short",
                  {"streams": "sum(pay402_event_streams)"}),
            Panel("Deliveries", "Tries each second, by what came of them", "short",
                  {"{{outcome}}": "sum by (outcome) (rate(pay402_webhook_tries_total[5m]))"}),
            Panel("Receivers", "What they took to answer", "s", quantiles("pay402_webhook_seconds")),
            Panel("Backlog", "Deliveries that have not arrived", "short",
                  {"deliveries": "max(pay402_webhook_deliveries_pending)"}),
            Panel("Overdue", "Age of the oldest that is due and not tried; an alert fires after 5 minutes", "s",
                  {"age": "max(pay402_webhook_oldest_due_seconds)"}),
            Panel("Webhooks in trouble", "That fail, or were switched off for it", "short",
                  {"{{state}}": "max by (state) (pay402_webhooks)"}),
        ],
        "Jobs": [
            Panel("Runs", "Each minute, by job and outcome", "short",
                  {"{{exported_job}} {{outcome}}":
                   "sum by (exported_job, outcome) (rate(pay402_worker_runs_total[5m])) * 60"}, width=12),
            Panel("Duration", "95 of 100 runs are faster", "s",
                  {"{{exported_job}}": "histogram_quantile(0.95, sum by (le, exported_job)"
                                       " (rate(pay402_worker_run_seconds_bucket[5m])))"}, width=12),
        ],
        "Processes and machine": [
            Panel("Up", "Processes that answer, by kind", "short", {"{{job}}": "sum by (job) (up)"}),
            Panel("Memory", "Of each process", "bytes",
                  {"{{job}} {{instance}}": 'process_resident_memory_bytes{job=~"api|indexer|worker"}'}),
            Panel("CPU", "Seconds a second", "short",
                  {"{{job}} {{instance}}": 'rate(process_cpu_seconds_total{job=~"api|indexer|worker"}[5m])'}),
            Panel("Disk left", "An alert fires below 20 %", "percentunit",
                  {"{{instance}} {{mountpoint}}":
                   'node_filesystem_avail_bytes{fstype!~"tmpfs|overlay|squashfs|ramfs"}'
                   ' / node_filesystem_size_bytes{fstype!~"tmpfs|overlay|squashfs|ramfs"}'}),
            Panel("Age of the last backup", "An alert fires after 26 hours", "s",
                  {"age": "time() - max(pay402_backup_timestamp_seconds)"}),
            Panel("Size of the last backup", "Compressed", "bytes", {"size": "max(pay402_backup_size_bytes)"}),
        ],
    },
)  # fmt: skip

DASHBOARDS: Final = (API, LEDGER, WORKER)


def rendered(dashboard: Dashboard) -> str:
    """The dashboard as Grafana reads it; the same text for the same source."""
    panels: list[dict[str, Any]] = []
    top = 0
    for heading, row in dashboard.rows.items():
        panels.append({"type": "row", "title": heading, "collapsed": False, "panels": [],
                       "gridPos": {"x": 0, "y": top, "w": _WIDTH, "h": 1}})  # fmt: skip
        top, left, height = top + 1, 0, 0
        for panel in row:
            if left + panel.width > _WIDTH:
                top, left = top + height, 0
            height = 4 if panel.kind == "stat" else 8
            panels.append(_panel(panel, {"x": left, "y": top, "w": panel.width, "h": height}))
            left += panel.width
        top += height
    for number, panel_json in enumerate(panels, start=1):
        panel_json["id"] = number
    document = {
        "uid": f"pay402-{dashboard.name}",
        "title": dashboard.title,
        "tags": ["402pay"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "panels": panels,
    }
    return json.dumps(document, indent=1) + "\n"


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    custom = {"fillOpacity": 20, "stacking": {"mode": "normal"}} if panel.stacked else {"fillOpacity": 5}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}} if panel.kind == "timeseries" else {},
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": _SOURCE, "expr": query, "legendFormat": legend}
            for index, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def main() -> None:
    """Write every dashboard."""
    for dashboard in DASHBOARDS:
        (DIRECTORY / f"{dashboard.name}.json").write_text(rendered(dashboard), encoding="utf-8")


if __name__ == "__main__":
    main()
