"""Prometheus text over HTTP, for processes that serve nothing else. What is measured lives with its process."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from runtime.errors import OperatorError

_SHUTDOWN_SECONDS: Final = 2.0


def new_registry() -> CollectorRegistry:
    """A registry of its own, with the memory, CPU and open files of this process. No process shares a global one."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


@asynccontextmanager
async def serve_metrics(
    registry: CollectorRegistry,
    port: int,
    *,
    host: str = "127.0.0.1",
    before_scrape: Callable[[], None] = lambda: None,
    ailment: Callable[[], str | None] = lambda: None,
) -> AsyncIterator[int]:
    """Serve `GET /metrics` and `GET /health`; yields the port in use.

    Args:
        registry: What to show.
        port: Where; 0 picks a free one.
        host: On which address; loopback unless an operator opens it.
        before_scrape: Brings gauges up to date.
        ailment: What is wrong with the process, if anything: `/health` then answers 503 and says it.

    Raises:
        OperatorError: The port is taken.
    """

    async def metrics(_: web.Request) -> web.Response:
        before_scrape()
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def health(_: web.Request) -> web.Response:
        if (reason := ailment()) is not None:
            return web.json_response({"status": "unwell", "reason": reason}, status=503)
        return web.json_response({"status": "ok"})

    application = web.Application()
    application.add_routes([web.get("/metrics", metrics), web.get("/health", health)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise OperatorError(
                f"Metrics cannot be served on {host}:{port} ({error.strerror}); set METRICS_PORT to a free port, "
                "to 0 for any, or ENABLE_METRICS to false."
            ) from error
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
