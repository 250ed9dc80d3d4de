"""The indexer process: opens what it needs, runs until asked to stop, drains, closes in reverse."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from pay402.chain.node import Node
from pay402.chain.pubsub import FeedLimits, LogsFeed
from pay402.chain.rpc import RpcPool
from pay402.indexer.discover import Discovery
from pay402.indexer.fetch import Pipeline
from pay402.indexer.heal import Healer
from pay402.indexer.metrics import IndexerMetrics
from pay402.indexer.record import Recorder
from pay402.indexer.watchlist import FollowedAccount, Watchlist
from pay402.migrations.status import check_current
from pay402.runtime.database import open_pool
from pay402.runtime.metrics import new_registry, serve_metrics
from pay402.runtime.settings import IndexerSettings
from pay402.runtime.sql import load_queries

_log = structlog.get_logger(__name__)


class _Router:
    """Hands what the feed tells to the parts that act on it."""

    def __init__(self, watchlist: Watchlist, metrics: IndexerMetrics) -> None:
        self._watchlist = watchlist
        self._metrics = metrics
        self.pipeline: Pipeline
        self.healer: Healer
        self.discovery: Discovery

    def notified(self, account: str, signature: str, slot: int, *, failed: bool) -> None:
        """A failed transaction moves no tokens; only a wallet's own lamports can show its fee."""
        self._metrics.notifications.inc()
        if not failed or self._watchlist.is_wallet(account):
            self.pipeline.notified(account, signature, slot)

    def subscribed(self, account: str, slot: int) -> None:
        """What happened before the subscription has to be healed, and new token accounts found."""
        self.healer.want(account, min_context_slot=slot)
        if self._watchlist.is_wallet(account):
            self.discovery.scan(account)

    def opened(self, accounts: tuple[FollowedAccount, ...]) -> None:
        """A recorded transaction opened accounts for a followed wallet."""
        self.discovery.opened(accounts)

    def disconnected(self, endpoint: str, reason: str) -> None:
        """Count it; the feed reconnects by itself."""
        self._metrics.disconnects.inc()
        _log.warning("socket_ended", endpoint=endpoint, reason=reason)


@dataclass(frozen=True, slots=True)
class Indexer:
    """A running indexer, for the process below and for tests."""

    pipeline: Pipeline
    healer: Healer
    feed: LogsFeed
    metrics: IndexerMetrics
    registry: CollectorRegistry
    metrics_port: int | None


@asynccontextmanager
async def running_indexer(
    settings: IndexerSettings, dsn: str, rpc_urls: Sequence[str], ws_urls: Sequence[str]
) -> AsyncIterator[Indexer]:
    """Everything that follows the chain, working until the context ends; then drained.

    Raises:
        OperatorError: The database or its schema is not usable.
    """
    await check_current(dsn)
    queries = load_queries("pay402.indexer", "record.sql", "accounts.sql")
    registry = new_registry()
    metrics = IndexerMetrics(registry)
    watchlist = Watchlist()
    router = _Router(watchlist, metrics)
    limits = FeedLimits(settings.accounts_per_socket, settings.silence_seconds)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_pool(dsn, application="indexer", min_size=2))
        rpc = await stack.enter_async_context(RpcPool(rpc_urls, on_call=metrics.rpc_call))
        node = Node(rpc)
        recorder = Recorder(database, queries, metrics, settings.batch_size)
        feed = LogsFeed(ws_urls, router, limits)
        router.pipeline = pipeline = Pipeline(
            node,
            watchlist,
            recorder,
            metrics,
            queue_size=settings.queue_size,
            workers=settings.fetch_workers,
            patience_seconds=settings.patience_seconds,
            on_lost=lambda account, _: router.healer.want(account),
            on_opened=router.opened,
        )
        router.healer = Healer(node, database, queries, watchlist, pipeline, metrics, settings.heal_workers)
        router.discovery = Discovery(
            node,
            database,
            queries,
            watchlist,
            feed,
            metrics,
            poll_seconds=settings.poll_seconds,
            scan_seconds=settings.scan_seconds,
        )
        port = None
        if settings.enable_metrics:
            port = await stack.enter_async_context(
                serve_metrics(
                    registry, settings.metrics_port, before_scrape=lambda: _refresh(metrics, watchlist, feed)
                )
            )
        await recorder.warm_up()
        await stack.enter_async_context(_working(recorder.run(), pipeline.run()))
        stack.push_async_callback(_drain, pipeline, settings.drain_seconds)
        await stack.enter_async_context(feed)
        await router.discovery.load()
        await stack.enter_async_context(_working(router.healer.run(), router.discovery.run()))
        _log.info("following", wallets=len(watchlist.wallets), accounts=len(watchlist.accounts))
        yield Indexer(pipeline, router.healer, feed, metrics, registry, port)


async def index_until(
    stop: asyncio.Event,
    settings: IndexerSettings,
    dsn: str,
    rpc_urls: Sequence[str],
    ws_urls: Sequence[str],
    *,
    ready: Callable[[int | None], None] | None = None,
) -> None:
    """Index until `stop` is set; `ready` is told the port of the metrics."""
    async with running_indexer(settings, dsn, rpc_urls, ws_urls) as indexer:
        if ready is not None:
            ready(indexer.metrics_port)
        await stop.wait()
        _log.info("draining")


def _refresh(metrics: IndexerMetrics, watchlist: Watchlist, feed: LogsFeed) -> None:
    metrics.followed.set(len(watchlist.accounts))
    metrics.watching.set(feed.watching)
    metrics.slot.set(feed.slot)


async def _drain(pipeline: Pipeline, seconds: float) -> None:
    if not await pipeline.drain(seconds):
        _log.warning("not_drained", hint="what was in flight is healed at the next start")


@asynccontextmanager
async def _working(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run background work; a defect in it ends the process instead of passing unnoticed."""
    owner = asyncio.current_task()
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None and owner is not None:
            owner.cancel()

    for task in tasks:
        task.add_done_callback(ended)
    try:
        yield
    except asyncio.CancelledError:
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error from None
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
