"""Prometheus text over HTTP, for processes that serve nothing else."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from pay402.runtime.errors import OperatorError


@asynccontextmanager
async def serve_metrics(
    registry: CollectorRegistry,
    port: int,
    *,
    host: str = "127.0.0.1",
    before_scrape: Callable[[], None] = lambda: None,
) -> AsyncIterator[int]:
    """Serve `GET /metrics` and `GET /health`; yields the port in use (`port` 0 picks a free one).

    `before_scrape` may bring gauges up to date.

    Raises:
        OperatorError: The port is taken.
    """

    async def metrics(_: web.Request) -> web.Response:
        before_scrape()
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    application = web.Application()
    application.add_routes([web.get("/metrics", metrics), web.get("/health", health)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise OperatorError(
                f"Port {port} for metrics is taken ({error.strerror}); set METRICS_PORT to a free one, "
                "or to 0 for any."
            ) from error
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
