"""The worker process: opens what it needs, runs its passes until asked to stop, finishes them, closes in reverse."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from runtime.database import DATABASE_AWAY
from runtime.errors import OperatorError
from runtime.metrics import serve_metrics
from runtime.process import instance_name, working
from worker.context import WorkerContext, open_worker_context
from worker.gauges import ROLE, beat
from worker.schedule import Schedule
from worker.settings import WorkerSettings

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RunningWorker:
    """A running worker, for the process below and for tests."""

    context: WorkerContext
    schedule: Schedule
    metrics_port: int | None


@asynccontextmanager
async def running_worker(
    settings: WorkerSettings, dsn: str, redis_url: str, rpc_urls: Sequence[str]
) -> AsyncIterator[RunningWorker]:
    """All passes on their schedule until the context ends; then what is under way is finished.

    Raises:
        OperatorError: The database, its schema or the settlement key is not usable.
    """
    async with AsyncExitStack() as stack:
        context = await stack.enter_async_context(open_worker_context(settings, dsn, rpc_urls))
        port = await stack.enter_async_context(_metrics(context)) if settings.enable_metrics else None
        await stack.enter_async_context(_alive(context))
        schedule = Schedule(context, redis_url)
        await stack.enter_async_context(_scheduled(schedule, settings.drain_seconds))
        _log.info("working", instance=instance_name(), signs_as=context.signer.address if context.signer else None)
        yield RunningWorker(context, schedule, port)


async def work_until(
    stop: asyncio.Event,
    settings: WorkerSettings,
    dsn: str,
    redis_url: str,
    rpc_urls: Sequence[str],
    *,
    ready: Callable[[int | None], None] | None = None,
) -> None:
    """Work until `stop` is set; `ready` is told the port of the metrics."""
    async with running_worker(settings, dsn, redis_url, rpc_urls) as worker:
        if ready is not None:
            ready(worker.metrics_port)
        await stop.wait()
        _log.info("draining")


@asynccontextmanager
async def _scheduled(schedule: Schedule, drain_seconds: float) -> AsyncIterator[None]:
    """Run the schedule; a defect in it ends the process instead of passing unnoticed."""
    stop, owner = asyncio.Event(), asyncio.current_task()
    task = asyncio.create_task(schedule.run(stop))

    def ended(_: asyncio.Task[None]) -> None:
        if not stop.is_set() and owner is not None:
            owner.cancel()

    task.add_done_callback(ended)
    try:
        yield
    except asyncio.CancelledError:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise error from None
        raise
    finally:
        stop.set()
        await asyncio.wait({task}, timeout=drain_seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def _alive(context: WorkerContext) -> AsyncIterator[None]:
    """Give signs of life meanwhile, and none afterwards."""

    async def for_ever() -> None:
        while True:
            with contextlib.suppress(*DATABASE_AWAY):
                await beat(context)
            await asyncio.sleep(context.settings.heartbeat_seconds)

    async with working(for_ever()):
        yield
    with contextlib.suppress(*DATABASE_AWAY):
        await context.queries.stop_beating(context.database, role=ROLE, instance=instance_name())


@asynccontextmanager
async def _metrics(context: WorkerContext) -> AsyncIterator[int]:
    """Serve the metrics; where only the usual port is taken, by another worker say, on any free one."""
    settings = context.settings
    async with AsyncExitStack() as stack:
        try:
            serving = serve_metrics(context.registry, settings.metrics_port, host=settings.metrics_host)
            port = await stack.enter_async_context(serving)
        except OperatorError:
            if "metrics_port" in settings.model_fields_set:
                raise
            port = await stack.enter_async_context(serve_metrics(context.registry, 0, host=settings.metrics_host))
            _log.warning("metrics_moved", port=port, hint="set METRICS_PORT to choose the port")
        yield port
