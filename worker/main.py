"""The worker process: opens what it needs, runs its passes until asked to stop, finishes them, closes in reverse."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from ledger.feed import FEED_CHANNEL
from ledger.transfers import TRANSFERS_CHANNEL
from runtime.cluster import watch_cluster
from runtime.heartbeat import signs_of_life
from runtime.listener import Listener
from runtime.metrics import serving_metrics
from runtime.process import instance_name, working
from worker.context import WorkerContext, open_worker_context
from worker.feed.publish import FeedPublisher
from worker.schedule import Schedule
from worker.settings import WorkerSettings
from worker.webhooks.delivery import WebhookSender

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
        port = await stack.enter_async_context(
            serving_metrics(settings, context.registry, checks=[context.metrics.liveness.reasons])
        )
        await stack.enter_async_context(
            signs_of_life(
                context.database,
                "worker",
                settings.heartbeat_seconds,
                context.metrics.troubles,
                liveness=context.metrics.liveness,
                take_back=True,
            )
        )
        await stack.enter_async_context(
            working(watch_cluster(context.database, rpc_urls, settings.solana_network, context.metrics.troubles))
        )
        publisher, sender = FeedPublisher(context), WebhookSender(context)
        listener = Listener(
            dsn,
            {TRANSFERS_CHANNEL: publisher.wake, FEED_CHANNEL: sender.wake},
            after_gap=publisher.wake,
            application="worker",
            troubles=context.metrics.troubles,
            liveness=context.metrics.liveness,
        )
        await stack.enter_async_context(working(listener.run(), publisher.run(), sender.run()))
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
    """Work until `stop` is set; `ready` is called with the port of the metrics."""
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
