"""What a process asks of its nodes, as Prometheus scrapes it."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class RpcMetrics:
    """Counts the answers of nodes; an `RpcPool` takes it as `on_call`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counter(
            "pay402_rpc_calls_total", "RPC calls by outcome", ["endpoint", "method", "outcome"], registry=registry
        )
        self.seconds = Histogram(
            "pay402_rpc_call_seconds", "RPC call duration", ["method"], buckets=_SECONDS, registry=registry
        )

    def __call__(self, endpoint: str, method: str, outcome: str, seconds: float) -> None:
        """Count one answer: `outcome` is `ok` or what went wrong."""
        self.calls.labels(endpoint, method, outcome).inc()
        self.seconds.labels(method).observe(seconds)
