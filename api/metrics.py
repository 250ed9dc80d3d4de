"""What an API process shows to Prometheus. Labels are bounded: never an address, a signature or a key."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from runtime.database_errors import DatabaseTroubles
from runtime.rpc_metrics import RpcMetrics

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class ApiMetrics:
    """All metrics of one API process, on their own registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.troubles = DatabaseTroubles(registry)
        self.rpc = RpcMetrics(registry)
        self.registry = registry
        self.requests = Counter(
            "pay402_http_requests_total", "HTTP requests answered", ["route", "method", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "pay402_http_request_seconds", "Duration of HTTP requests", ["route"], buckets=_BUCKETS, registry=registry
        )
        self.verifications = Counter(
            "pay402_verifications_total", "Answers to /verify: honoured, or the refusal", ["outcome"], registry=registry
        )
        self.verify_seconds = Histogram(
            "pay402_verify_seconds", "Duration of verifications that were answered", buckets=_BUCKETS, registry=registry
        )
        self.settlements = Counter(
            "pay402_x402_settlements_total",
            "Answers to /x402/settle: settled, or the reason",
            ["outcome"],
            registry=registry,
        )
        self.settle_seconds = Histogram(
            "pay402_x402_settle_seconds",
            "Duration of settlements that were answered",
            buckets=_BUCKETS,
            registry=registry,
        )
        self.pool = Gauge(
            "pay402_database_pool_connections", "Connections of the Postgres pool", ["state"], registry=registry
        )
        self.redis_up = Gauge("pay402_redis_up", "1 while Redis answers", registry=registry)
        self.redis_calls = Counter("pay402_redis_calls_total", "Calls of Redis", ["outcome"], registry=registry)
        self.rate_limited = Counter(
            "pay402_rate_limited_total", "Requests refused by a rate limit", ["limit"], registry=registry
        )
        self.key_cache = Counter("pay402_key_cache_total", "Look-ups of API keys", ["outcome"], registry=registry)
        self.streams = Gauge("pay402_event_streams", "Open streams of events", registry=registry)
        self.fee_payer_lamports = Gauge(
            "pay402_fee_payer_lamports", "What the poorest fee payer of x402 holds", registry=registry
        )
        self.fee_payer_low_lamports = Gauge(
            "pay402_fee_payer_low_lamports", "Below this a fee payer of x402 is to be given SOL", registry=registry
        )
        self.heartbeat_age = Gauge(
            "pay402_indexer_heartbeat_age_seconds", "Since the last sign of life of an indexer", registry=registry
        )
        self.lag_slots = Gauge(
            "pay402_ledger_lag_slots", "Slots between the newest one seen and what is recorded", registry=registry
        )
