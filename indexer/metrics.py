"""What the indexer shows Prometheus. Labels are bounded: never an address, a signature or a key."""

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from chain.rpc import RpcError
from runtime.database_errors import DatabaseTroubles
from runtime.liveness import Liveness
from runtime.rpc_metrics import RpcMetrics

_log = structlog.get_logger(__name__)

_LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class IndexerMetrics:
    """All metrics of one indexer process, on their own registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.troubles = DatabaseTroubles(registry)
        self.rpc = RpcMetrics(registry)
        self.liveness = Liveness(registry)
        self.notifications = Counter("pay402_notifications_total", "Log notifications received", registry=registry)
        self.transfers = Counter("pay402_transfers_recorded_total", "New rows in transfers", registry=registry)
        self.landed_again = Counter(
            "pay402_transfers_landed_again_total", "Transfers that moved to another slot", registry=registry
        )
        self.lag = Histogram(
            "pay402_notification_to_row_seconds",
            "From a notification to its committed row",
            buckets=_LAG_BUCKETS,
            registry=registry,
        )
        self.queue = Gauge("pay402_fetch_queue_length", "Transactions waiting to be fetched", registry=registry)
        self.overflows = Counter(
            "pay402_queue_overflows_total", "Notifications left to healing: queue full", registry=registry
        )
        self.not_yet = Counter(
            "pay402_transaction_not_yet_total",
            "getTransaction answered null and was retried",
            registry=registry,
        )
        self.fetch_failures = Counter(
            "pay402_fetch_failures_total",
            "Transactions that could not be fetched or decoded; their accounts are healed",
            ["reason"],
            registry=registry,
        )
        self.unexplained = Counter(
            "pay402_unexplained_total", "Balance changes that no instruction explains", registry=registry
        )
        self.refusals = Counter(
            "pay402_node_refusals_total",
            "Questions that nodes refuse and the indexer does without",
            ["what"],
            registry=registry,
        )
        self._logged_refusals: set[str] = set()
        self.disconnects = Counter("pay402_socket_disconnects_total", "Sockets that ended", registry=registry)
        self.followed = Gauge("pay402_followed_accounts", "Accounts on the watch list", registry=registry)
        self.watching = Gauge("pay402_subscribed_accounts", "Accounts subscribed right now", registry=registry)
        self.slot = Gauge("pay402_newest_slot", "Newest slot that a socket has shown", registry=registry)
        self.heals = Counter("pay402_heals_total", "Walks over an account's history", ["outcome"], registry=registry)
        self.healed = Counter(
            "pay402_healed_transactions_total",
            "Transactions that healing found and notifications had not brought",
            registry=registry,
        )
        self.heal_queue = Gauge("pay402_heal_queue_length", "Accounts that wait to be healed", registry=registry)
        self.witness_answers = Counter(
            "pay402_witness_answers_total",
            "What endpoints say of payments that another one has seen",
            ["endpoint", "outcome"],
            registry=registry,
        )
        self.awaiting_witness = Gauge(
            "pay402_transfers_awaiting_witness", "Transfers that too few nodes have seen", registry=registry
        )
        self.contested = Gauge(
            "pay402_transfers_contested", "Transfers that another node contradicts", registry=registry
        )
        self.slots_refused = Counter(
            "pay402_audit_slots_refused_total",
            "Answers to audits at a slot that enough nodes have not reached",
            ["endpoint"],
            registry=registry,
        )
        self.slots_corrected = Counter(
            "pay402_impossible_slots_corrected_total",
            "Accounts of which something was noted at a slot that the chain has not reached",
            registry=registry,
        )
        self.dust_waiting = Gauge(
            "pay402_dust_accounts_waiting",
            "Empty token accounts that are not followed until they are paid: their wallets have too many",
            registry=registry,
        )
        self.heal_failing = Gauge(
            "pay402_heal_failing_accounts",
            "Accounts whose healing failed several times in a row",
            registry=registry,
        )
        self.finalized = Counter(
            "pay402_transfers_finalized_total", "Transfers that can never be undone", registry=registry
        )
        self.orphaned = Counter(
            "pay402_transfers_orphaned_total", "Transfers whose fork was abandoned for good", registry=registry
        )
        self.claims_reversed = Counter(
            "pay402_claims_reversed_total", "Honoured claims whose payment a fork has undone", registry=registry
        )
        self.claims_restored = Counter(
            "pay402_claims_restored_total", "Reversed claims whose payment has landed again", registry=registry
        )
        self.audits = Counter("pay402_audits_total", "Audits of all accounts", ["outcome"], registry=registry)
        self.audit_findings = Counter(
            "pay402_audit_findings_total", "Accounts found to disagree with the chain", registry=registry
        )
        self.drifting = Gauge(
            "pay402_drifting_accounts", "Accounts whose balance is not the chain's", registry=registry
        )
        self.gaps = Gauge("pay402_ledger_gaps", "Breaks in the chains of balance changes", registry=registry)
        self.database_retries = Counter(
            "pay402_database_retries_total", "Writes repeated because the database failed", registry=registry
        )
        self.unrecordable = Counter(
            "pay402_unrecordable_total", "Transactions that the database refused", registry=registry
        )

    def done_without(self, what: str, error: RpcError) -> None:
        """Count a question that nodes refuse and that we can do without; each is logged once."""
        self.refusals.labels(what).inc()
        if what not in self._logged_refusals:
            self._logged_refusals.add(what)
            _log.warning("node_refuses", without=what, error=str(error))
