"""The indexer process: opens what it needs, runs until asked to stop, drains, closes in reverse."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from chain.pubsub import LogsFeed
from indexer.context import IndexerContext, open_context
from indexer.follow import following
from indexer.heal_queue import HealQueue
from indexer.index_requests import IndexRequests
from indexer.liveness import expect_work, watch_progress
from indexer.metrics import IndexerMetrics
from indexer.pipeline import Pipeline
from indexer.settings import IndexerSettings
from ledger.index_requests import INDEX_REQUESTS_CHANNEL
from ledger.recipients import RECIPIENTS_CHANNEL
from runtime.cluster import watch_cluster
from runtime.heartbeat import SeenSlots, signs_of_life
from runtime.listener import Listener
from runtime.metrics import serving_metrics
from runtime.process import freeze_startup_objects, working

_log = structlog.get_logger(__name__)

_HEARTBEAT_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Indexer:
    """A running indexer, for the process below and for tests."""

    pipeline: Pipeline
    heal_queue: HealQueue
    feed: LogsFeed
    metrics: IndexerMetrics
    metrics_port: int | None


@asynccontextmanager
async def running_indexer(
    settings: IndexerSettings, dsn: str, rpc_urls: Sequence[str], ws_urls: Sequence[str]
) -> AsyncIterator[Indexer]:
    """Everything that follows the chain, working until the context ends; then drained.

    Raises:
        OperatorError: The database or its schema is not usable.
    """
    async with AsyncExitStack() as stack:
        context = await stack.enter_async_context(open_context(settings, dsn, rpc_urls))
        metrics, recipients_changed, requests = context.metrics, asyncio.Event(), IndexRequests(context)

        def look_again() -> None:
            recipients_changed.set()
            requests.wake()

        listener = Listener(
            dsn,
            {RECIPIENTS_CHANNEL: lambda _: recipients_changed.set(), INDEX_REQUESTS_CHANNEL: lambda _: requests.wake()},
            after_gap=look_again,
            application="indexer",
            troubles=metrics.troubles,
            liveness=metrics.liveness,
        )
        feed = await stack.enter_async_context(following(context, ws_urls, recipients_changed))
        expect_work(context)
        port = await stack.enter_async_context(
            serving_metrics(
                settings,
                context.registry,
                before_scrape=partial(_refresh, context, feed),
                checks=[metrics.liveness.reasons],
            )
        )
        await stack.enter_async_context(
            working(
                context.healer.run(),
                context.finalizer.run(settings.finalize_seconds),
                context.witnesses.run(),
                context.auditor.run(settings.audit_seconds, settings.sweep_seconds),
                listener.run(),
                requests.run(),
                watch_cluster(context.database, rpc_urls, settings.solana_network, metrics.troubles),
                watch_progress(context, feed),
            )
        )
        await stack.enter_async_context(
            signs_of_life(
                context.database,
                "indexer",
                _HEARTBEAT_SECONDS,
                metrics.troubles,
                liveness=metrics.liveness,
                slots=partial(_slots, context, feed),
            )
        )
        _log.info("following", wallets=len(context.watchlist.wallets), accounts=len(context.watchlist.accounts))
        yield Indexer(context.pipeline, context.heal_queue, feed, metrics, port)


async def index_until(
    stop: asyncio.Event,
    settings: IndexerSettings,
    dsn: str,
    rpc_urls: Sequence[str],
    ws_urls: Sequence[str],
    *,
    ready: Callable[[int | None], None] | None = None,
) -> None:
    """Index until `stop` is set; `ready` is called with the port of the metrics."""
    async with running_indexer(settings, dsn, rpc_urls, ws_urls) as indexer:
        freeze_startup_objects()
        if ready is not None:
            ready(indexer.metrics_port)
        await stop.wait()
        _log.info("draining")


def _slots(context: IndexerContext, feed: LogsFeed) -> SeenSlots:
    """What was heard before the oldest transaction that is still under way is recorded."""
    seen = feed.slot
    under_way = context.pipeline.oldest_slot_under_way
    recorded = seen if under_way is None else min(under_way - 1, seen)
    return SeenSlots(seen, recorded, context.watchlist.waiting)


def _refresh(context: IndexerContext, feed: LogsFeed) -> None:
    context.metrics.followed.set(len(context.watchlist.accounts))
    context.metrics.watching.set(feed.watching)
    context.metrics.slot.set(feed.slot)
    context.metrics.dust_waiting.set(context.watchlist.waiting)
    context.metrics.heal_failing.set(context.heal_queue.failing)
