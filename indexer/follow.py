"""Follow the chain: what sockets report goes to the pipeline, and what they may have missed is healed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog

from chain.pubsub import FeedLimits, LogsFeed
from indexer.context import IndexerContext
from indexer.discover import Discovery, WalletScans
from runtime.process import working

_log = structlog.get_logger(__name__)


class _FeedListener:
    """Hands what the feed reports to those who act on it."""

    def __init__(self, context: IndexerContext, scans: WalletScans) -> None:
        self._context = context
        self._scans = scans

    def notified(self, account: str, signature: str, slot: int, *, failed: bool) -> None:
        """Queue the transaction. One that failed moved no tokens; only a wallet's own lamports can show its fee."""
        self._context.metrics.notifications.inc()
        if not failed or self._context.watchlist.is_wallet(account):
            self._context.pipeline.notified(account, signature, slot)

    def subscribed(self, account: str, slot: int) -> None:
        """Have what happened before the subscription healed, and a wallet's new token accounts found."""
        self._context.heal_queue.want(account, min_context_slot=slot)
        if self._context.watchlist.is_wallet(account):
            self._scans.want(account)

    def disconnected(self, endpoint: str, reason: str) -> None:
        """Count it; the feed reconnects by itself."""
        self._context.metrics.disconnects.inc()
        _log.warning("socket_ended", endpoint=endpoint, reason=reason)


@asynccontextmanager
async def following(
    context: IndexerContext, ws_urls: Sequence[str], recipients_changed: asyncio.Event
) -> AsyncIterator[LogsFeed]:
    """Follow every account of the watch list, which is kept to what database and chain say.

    The recipients are read again whenever `recipients_changed` is set.
    """
    settings, scans = context.settings, WalletScans()
    limits = FeedLimits(settings.accounts_per_socket, settings.silence_seconds)
    async with LogsFeed(ws_urls, _FeedListener(context, scans), limits) as feed:
        discovery = Discovery(context, feed, scans, recipients_changed)
        await discovery.load()
        async with working(discovery.run(), _poll_unwatched(context, feed)):
            yield feed


async def _poll_unwatched(context: IndexerContext, feed: LogsFeed) -> None:
    """Walk the histories of accounts that no socket watches: a node without subscriptions costs time, not payments."""
    unwatched: set[str] = set()
    polled: set[str] = set()
    while True:
        await asyncio.sleep(context.settings.silence_seconds)
        # Those that were not watched a while ago either; for the others a subscription is on its way.
        before, unwatched, polled_before = unwatched, set(feed.unwatched), polled
        polled = before & unwatched
        for account in polled:
            context.heal_queue.want(account)
        if polled and not polled_before:
            _log.warning("accounts_polled", accounts=len(polled), hint="until a socket watches them")
