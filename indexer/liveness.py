"""How long each loop of the indexer may go without success before `/health` names it as standing still."""

import asyncio
from typing import Final

import structlog

from chain.pubsub import LogsFeed
from indexer import audit, discover, finalize
from indexer.context import IndexerContext

_log = structlog.get_logger(__name__)

_INTERVALS: Final = 5
"""How often in a row a pass may fail before the process counts as unwell."""
_LIMIT_SECONDS_MIN: Final = 60.0
_LIMIT_SECONDS_MAX: Final = 24 * 3_600.0
_LOOK_SECONDS: Final = 1.0
_RECORD: Final = "record"
_SOCKETS: Final = "sockets"


def expect_work(context: IndexerContext) -> None:
    """Say how long each loop of the indexer may go without success."""
    settings, liveness = context.settings, context.metrics.liveness
    for loop, interval_seconds in (
        (discover.LOOP, settings.poll_seconds),
        (audit.LOOP, settings.audit_seconds),
        (finalize.LOOP, settings.finalize_seconds),
        # A transaction is asked for until the patience ends, and then left to healing.
        (_RECORD, settings.patience_seconds),
        (_SOCKETS, settings.silence_seconds),
    ):
        seconds = max(_INTERVALS * interval_seconds, _LIMIT_SECONDS_MIN)
        liveness.expect(loop, within_seconds=min(seconds, _LIMIT_SECONDS_MAX))


async def watch_progress(context: IndexerContext, feed: LogsFeed) -> None:
    """Note whether recording and the sockets make progress, which run no passes; log accounts that have to wait."""
    liveness = context.metrics.liveness
    recorded, progressed_at = 0, 0.0
    known_to_wait: set[str] = set()
    while True:
        for wallet, accounts in context.watchlist.waiting_by_wallet.items() if context.watchlist.waiting else ():
            if wallet not in known_to_wait:
                # Once for each wallet: whoever opens accounts must not fill the log as well.
                hint = "strangers opened empty accounts for it; each is followed as soon as it is paid"
                _log.warning("dust_accounts_wait", wallet=wallet, accounts=accounts, hint=hint)
                known_to_wait.add(wallet)
        if context.pipeline.is_idle or context.pipeline.recorded > recorded:
            liveness.succeeded(_RECORD)
        if not feed.sockets or feed.progressed_at > progressed_at:
            liveness.succeeded(_SOCKETS)
        recorded, progressed_at = context.pipeline.recorded, feed.progressed_at
        await asyncio.sleep(_LOOK_SECONDS)
