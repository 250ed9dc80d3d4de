"""What the worker shows Prometheus. Labels are bounded: never an address, a signature or a key."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from runtime.database_errors import DatabaseTroubles
from runtime.liveness import Liveness
from runtime.rpc_metrics import RpcMetrics

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class WorkerMetrics:
    """All metrics of one worker process, on their own registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.troubles = DatabaseTroubles(registry)
        self.rpc = RpcMetrics(registry)
        self.liveness = Liveness(registry)
        self.runs = Counter(
            "pay402_worker_runs_total", "Passes by how they ended", ["job", "outcome"], registry=registry
        )
        self.run_seconds = Histogram(
            "pay402_worker_run_seconds", "What a pass took", ["job"], buckets=_SECONDS, registry=registry
        )
        self.by_redis = Gauge(
            "pay402_worker_by_redis",
            "1 while Redis divides the passes between the workers, 0 while this one runs them by its own clock",
            registry=registry,
        )
        self.claims = Gauge("pay402_claims", "Claims by status", ["status"], registry=registry)
        self.oldest_pending = Gauge(
            "pay402_oldest_pending_claim_seconds", "Age of the oldest claim without a verdict", registry=registry
        )
        self.missed = Counter(
            "pay402_missed_payments_total",
            "Payments that the chain knew and the ledger did not, found by a claim",
            registry=registry,
        )
        self.payouts = Gauge("pay402_payouts", "Payouts by status", ["status"], registry=registry)
        self.oldest_payout = Gauge(
            "pay402_oldest_open_payout_seconds",
            "Age of the oldest payout that is not settled and does not wait for its owner",
            registry=registry,
        )
        self.payouts_waiting = Gauge(
            "pay402_payouts_waiting", "Payouts that cannot be sent now", ["reason"], registry=registry
        )
        self.fees_given = Gauge(
            "pay402_payout_fees_given_lamports",
            "The network's fees of the last 24 hours that were not taken from payouts",
            registry=registry,
        )
        self.fees_budget = Gauge(
            "pay402_payout_fees_budget_lamports", "What may be given of them in 24 hours", registry=registry
        )
        self.settlements = Gauge("pay402_settlements", "Payments over x402 by status", ["status"], registry=registry)
        self.oldest_settlement = Gauge(
            "pay402_oldest_open_settlement_seconds",
            "Age of the oldest payment over x402 that is not decided",
            registry=registry,
        )
        self.nodes_alone = Counter(
            "pay402_nodes_alone_total",
            "What a node says alone, and others deny, of payments and payouts under way or of how far the chain is",
            ["endpoint", "about"],
            registry=registry,
        )
        self.settlement_lamports = Gauge(
            "pay402_settlement_reserved_lamports",
            "Reserved today for fees of all settlements, or of those without API keys: whichever is nearer its budget",
            registry=registry,
        )
        self.settlement_budget = Gauge(
            "pay402_settlement_budget_lamports",
            "The budget of today that this counts against; 0 while nothing is reserved",
            registry=registry,
        )
        self.feed_entries = Counter("pay402_feed_entries_total", "Entries published in the feed", registry=registry)
        self.webhook_tries = Counter(
            "pay402_webhook_tries_total", "Deliveries of webhooks that were tried", ["outcome"], registry=registry
        )
        self.webhook_seconds = Histogram(
            "pay402_webhook_seconds", "What a receiver of a webhook took", buckets=_SECONDS, registry=registry
        )
        self.webhook_backlog = Gauge(
            "pay402_webhook_deliveries_pending", "Deliveries of webhooks that have not arrived", registry=registry
        )
        self.webhook_oldest_due = Gauge(
            "pay402_webhook_oldest_due_seconds",
            "For how long a delivery of a webhook has been due and has not been tried",
            registry=registry,
        )
        self.webhooks = Gauge(
            "pay402_webhooks", "Webhooks that fail or were switched off for it", ["state"], registry=registry
        )
        self.unmatched = Gauge(
            "pay402_unmatched_transfers", "Received transfers that no claim has taken", registry=registry
        )
        self.report_differences = Gauge(
            "pay402_report_differences",
            "What was kept for reports otherwise than the whole ledger says, when they were last compared",
            registry=registry,
        )
        self.violations = Gauge(
            "pay402_invariant_violations", "Rows that break an invariant of money", ["invariant"], registry=registry
        )
