"""The indexer process: opens what it needs, runs until asked to stop, drains, closes in reverse."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from chain.pubsub import FeedLimits, LogsFeed
from indexer.context import Workbench, open_workbench
from indexer.discover import Discovery
from indexer.heal import Healer
from indexer.index_requests import RequestDesk
from indexer.metrics import IndexerMetrics
from indexer.pipeline import Pipeline
from runtime.heartbeat import SeenSlots, signs_of_life
from runtime.listener import Listener
from runtime.metrics import serving_metrics
from runtime.process import working
from runtime.settings import IndexerSettings

_log = structlog.get_logger(__name__)

_HEARTBEAT_SECONDS: Final = 2.0


class _Router:
    """Hands what the feed tells to the parts that act on it."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.discovery: Discovery

    def notified(self, account: str, signature: str, slot: int, *, failed: bool) -> None:
        """A failed transaction moves no tokens; only a wallet's own lamports can show its fee."""
        self._bench.metrics.notifications.inc()
        if not failed or self._bench.watchlist.is_wallet(account):
            self._bench.pipeline.notified(account, signature, slot)

    def subscribed(self, account: str, slot: int) -> None:
        """What happened before the subscription has to be healed, and new token accounts found."""
        self._bench.healer.want(account, min_context_slot=slot)
        if self._bench.watchlist.is_wallet(account):
            self.discovery.scan(account)

    def disconnected(self, endpoint: str, reason: str) -> None:
        """Count it; the feed reconnects by itself."""
        self._bench.metrics.disconnects.inc()
        _log.warning("socket_ended", endpoint=endpoint, reason=reason)


@dataclass(frozen=True, slots=True)
class Indexer:
    """A running indexer, for the process below and for tests."""

    pipeline: Pipeline
    healer: Healer
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
        bench = await stack.enter_async_context(open_workbench(settings, dsn, rpc_urls))
        router = _Router(bench)
        feed = LogsFeed(ws_urls, router, FeedLimits(settings.accounts_per_socket, settings.silence_seconds))
        router.discovery = discovery = Discovery(bench, feed)
        bench.pipeline.on_opened = discovery.opened
        requests = RequestDesk(bench)

        def look_again() -> None:
            discovery.recipients_changed()
            requests.wake()

        listener = Listener(
            dsn,
            {
                "recipients": lambda _: discovery.recipients_changed(),
                "index_requests": lambda _: requests.wake(),
            },
            after_gap=look_again,
            application="indexer",
            troubles=bench.metrics.troubles,
        )
        port = await stack.enter_async_context(
            serving_metrics(
                settings,
                bench.registry,
                before_scrape=partial(_refresh, bench, feed),
                checks=[bench.metrics.liveness.reasons],
            )
        )
        await stack.enter_async_context(feed)
        await discovery.load()
        await stack.enter_async_context(
            working(
                bench.healer.run(),
                discovery.run(),
                bench.finalizer.run(settings.finalize_seconds),
                bench.auditor.run(settings.audit_seconds, settings.sweep_seconds),
                _poll_unwatched(bench, feed),
                listener.run(),
                requests.run(),
            )
        )
        await stack.enter_async_context(
            signs_of_life(
                bench.database,
                "indexer",
                _HEARTBEAT_SECONDS,
                bench.metrics.troubles,
                slots=partial(_slots, bench, feed),
            )
        )
        _log.info("following", wallets=len(bench.watchlist.wallets), accounts=len(bench.watchlist.accounts))
        yield Indexer(bench.pipeline, bench.healer, feed, bench.metrics, port)


async def _poll_unwatched(bench: Workbench, feed: LogsFeed) -> None:
    """Walk the histories of accounts that no socket watches: a node without subscriptions costs time, not payments."""
    unwatched: set[str] = set()
    polled: set[str] = set()
    while True:
        await asyncio.sleep(bench.settings.silence_seconds)
        # Those that were not watched a while ago either; for the others a subscription is on its way.
        before, unwatched, polled_before = unwatched, set(feed.unwatched), polled
        polled = before & unwatched
        for account in polled:
            bench.healer.want(account)
        if polled and not polled_before:
            _log.warning("accounts_polled", accounts=len(polled), hint="until a socket watches them")


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
        # What is open now stays open: a full collection over all of it would hold up payments for 40 ms.
        gc.collect()
        gc.freeze()
        if ready is not None:
            ready(indexer.metrics_port)
        await stop.wait()
        _log.info("draining")


def _slots(bench: Workbench, feed: LogsFeed) -> SeenSlots:
    """What was heard before the oldest transaction that is still under way is recorded."""
    seen = feed.slot
    under_way = bench.pipeline.oldest_slot_under_way
    return SeenSlots(seen, seen if under_way is None else min(under_way - 1, seen))


def _refresh(bench: Workbench, feed: LogsFeed) -> None:
    bench.metrics.followed.set(len(bench.watchlist.accounts))
    bench.metrics.watching.set(feed.watching)
    bench.metrics.slot.set(feed.slot)
