"""Signs of life: that this indexer lives, what it has been told of, and up to where all of that is recorded."""

import asyncio
from typing import Final

import structlog

from chain.pubsub import LogsFeed
from indexer.context import Workbench
from runtime.database import DATABASE_AWAY
from runtime.process import instance_name

_log = structlog.get_logger(__name__)

_SECONDS: Final = 2.0


async def beat(bench: Workbench, feed: LogsFeed) -> None:
    """Write a sign of life every other second until cancelled."""
    instance = instance_name()
    while True:
        seen = feed.slot
        under_way = bench.pipeline.oldest_slot_under_way
        recorded = seen if under_way is None else min(under_way - 1, seen)
        try:
            await bench.ledger_queries.beat(
                bench.database, role="indexer", instance=instance, seen_slot=seen, recorded_slot=recorded
            )
        except DATABASE_AWAY as error:
            _log.warning("no_sign_of_life", error=str(error) or type(error).__name__)
        await asyncio.sleep(_SECONDS)
