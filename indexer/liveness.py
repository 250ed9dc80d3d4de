"""How long each loop of the indexer may go without success before `/health` names it as standing still."""

import asyncio
from typing import Final

import structlog

from chain.pubsub import LogsFeed
from indexer import audit, discover, finalize, index_requests, witness
from indexer.context import IndexerContext

_log = structlog.get_logger(__name__)

_INTERVALS: Final = 5
"""How often in a row a pass may fail before the process counts as unwell."""
_LIMIT_SECONDS_MIN: Final = 60.0
_LIMIT_SECONDS_MAX: Final = 24 * 3_600.0
_LOOK_SECONDS: Final = 1.0
_RECORD: Final = "record"
_SOCKETS: Final = "sockets"
_HEALING: Final = "healing"
# An account that could not be healed is tried again after so long at most.
_HEAL_SECONDS: Final = 60.0


def expect_work(context: IndexerContext) -> None:
    """Say how long each loop of the indexer may go without success; listener and heartbeat do so themselves."""
    settings, liveness = context.settings, context.metrics.liveness
    for loop, interval_seconds in (
        (discover.LOOP, settings.poll_seconds),
        # Many wallets are searched one after the other, so that a round takes longer than its seconds.
        (discover.SCAN_LOOP, settings.scan_seconds),
        (audit.LOOP, settings.audit_seconds),
        (finalize.LOOP, settings.finalize_seconds),
        # A transaction is asked for until the patience ends, and then left to healing.
        (_RECORD, settings.patience_seconds),
        (_SOCKETS, settings.silence_seconds),
        (_HEALING, _HEAL_SECONDS),
        (witness.LOOP, witness.CONTESTED_SECONDS),
        (index_requests.INDEX_LOOP, max(settings.poll_seconds, settings.patience_seconds)),
        (index_requests.BACKFILL_LOOP, max(settings.poll_seconds, settings.patience_seconds)),
    ):
        seconds = max(_INTERVALS * interval_seconds, _LIMIT_SECONDS_MIN)
        liveness.expect(loop, within_seconds=min(seconds, _LIMIT_SECONDS_MAX))


async def watch_progress(context: IndexerContext, feed: LogsFeed) -> None:
    """Note whether what runs no passes makes progress: recording and healing where work waits, and the sockets.

    Accounts that have to wait are logged.

    What was given up is not done: while one transaction after the other is, recording has no success until one is
    recorded, and so has healing with accounts. A single one that can never be done is no reason to restart; see
    `Pipeline.is_failing` and `HealQueue.is_failing`.
    """
    liveness, pipeline = context.metrics.liveness, context.pipeline
    recorded, healed, progressed_at = 0, (0, 0), 0.0
    known_to_wait: set[str] = set()
    while True:
        for wallet, accounts in context.watchlist.waiting_by_wallet.items() if context.watchlist.waiting else ():
            if wallet not in known_to_wait:
                # Once for each wallet: whoever opens accounts must not fill the log as well.
                hint = "strangers opened empty accounts for it; each is followed as soon as it is paid"
                _log.warning("dust_accounts_wait", wallet=wallet, accounts=accounts, hint=hint)
                known_to_wait.add(wallet)
        if not pipeline.is_failing and (pipeline.is_idle or pipeline.recorded > recorded):
            liveness.succeeded(_RECORD)
        healed_now = (context.heal_queue.tries, context.healer.pages)
        if context.heal_queue.is_idle or (healed_now != healed and not context.heal_queue.is_failing):
            liveness.succeeded(_HEALING)
        if not feed.sockets or feed.progressed_at > progressed_at:
            liveness.succeeded(_SOCKETS)
        recorded, healed, progressed_at = pipeline.recorded, healed_now, feed.progressed_at
        await asyncio.sleep(_LOOK_SECONDS)
