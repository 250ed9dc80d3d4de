"""Prometheus text and liveness over HTTP, for processes that serve nothing else.

What is measured lives with its process.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from runtime.errors import OperatorError
from runtime.settings import MetricsSettings

_log = structlog.get_logger(__name__)

_SHUTDOWN_SECONDS: Final = 2.0

LivenessCheck = Callable[[], Iterable[str]]
"""Answers one sentence for each thing that is wrong with the process, and nothing when all is well."""


def new_registry() -> CollectorRegistry:
    """A registry of its own, with the memory, CPU and open files of this process. No process shares a global one."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


@asynccontextmanager
async def serving_metrics(
    settings: MetricsSettings,
    registry: CollectorRegistry,
    *,
    before_scrape: Callable[[], None] = lambda: None,
    checks: Sequence[LivenessCheck] = (),
) -> AsyncIterator[int | None]:
    """Serve `GET /metrics` and `GET /health` as `settings` say; yields the port, or `None` where they are off.

    Where nobody chose the port and the usual one is taken, by another process of the kind say, any free one is used.
    The other arguments are those of `serve_metrics`.

    Raises:
        OperatorError: The port that was chosen is taken.
    """
    if not settings.enable_metrics:
        yield None
        return
    serve = partial(serve_metrics, registry, host=settings.metrics_host, before_scrape=before_scrape, checks=checks)
    async with AsyncExitStack() as stack:
        try:
            port = await stack.enter_async_context(serve(settings.metrics_port))
        except OperatorError:
            if "metrics_port" in settings.model_fields_set:
                raise
            port = await stack.enter_async_context(serve(0))
            _log.warning("metrics_moved", port=port, hint="set METRICS_PORT to choose the port")
        yield port


@asynccontextmanager
async def serve_metrics(
    registry: CollectorRegistry,
    port: int,
    *,
    host: str = "127.0.0.1",
    before_scrape: Callable[[], None] = lambda: None,
    checks: Sequence[LivenessCheck] = (),
) -> AsyncIterator[int]:
    """Serve `GET /metrics` and `GET /health`; yields the port in use.

    Args:
        registry: What to show.
        port: Where; 0 picks a free one.
        host: On which address; loopback unless an operator opens it.
        before_scrape: Brings gauges up to date.
        checks: What is wrong with the process, if anything: `/health` then answers 503 with the reasons.

    Raises:
        OperatorError: The port is taken.
    """

    async def metrics(_: web.Request) -> web.Response:
        before_scrape()
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def health(_: web.Request) -> web.Response:
        if reasons := [reason for check in checks for reason in check()]:
            return web.json_response({"status": "unwell", "reasons": reasons}, status=503)
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
