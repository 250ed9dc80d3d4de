"""Keeps the feed up to date: what is committed is published within a moment, by whichever worker is first."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from ledger.feed import FeedEntry, anything_to_publish, publish_events
from ledger.sql import DatabaseConnection
from ledger.webhooks import add_deliveries
from runtime.passes import repeat
from worker.context import WorkerContext

_LOOP: Final = "publish_feed"


async def publish(context: WorkerContext) -> int:
    """Publish what is committed by now, in short transactions; returns how many entries that makes.

    Returns at once where another worker publishes: it does the same.
    """
    count, settings = 0, context.settings
    while True:
        async with context.database.acquire() as connection:

            async def deliver(entries: Sequence[FeedEntry], connection: DatabaseConnection = connection) -> None:
                await add_deliveries(connection, [entry.number for entry in entries])

            published = await publish_events(connection, events_max=settings.feed_events_per_pass, then=deliver)
        if published is None:
            return count
        count += len(published.entries)
        context.metrics.feed_entries.inc(len(published.entries))
        if not published.is_behind:
            return count


class FeedPublisher:
    """Publishes as soon as something is recorded, and looks by itself in between, until it is cancelled."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._woken = asyncio.Event()
        settings = context.settings
        grace_seconds = settings.pass_grace_seconds + settings.feed_poll_seconds
        context.metrics.liveness.expect(_LOOP, within_seconds=grace_seconds)

    def wake(self, _: str = "") -> None:
        """Look now: something was recorded."""
        self._woken.set()

    async def run(self) -> None:
        """Publish until cancelled. Whatever fails is tried again: what is not published waits, and is not lost."""
        metrics = self._context.metrics
        await repeat(
            self._publish_if_any,
            "publishing the feed",
            every_seconds=self._context.settings.feed_poll_seconds,
            troubles=metrics.troubles,
            succeeded=partial(metrics.liveness.succeeded, _LOOP),
            woken=self._woken,
        )

    async def _publish_if_any(self) -> None:
        if await anything_to_publish(self._context.database):
            await publish(self._context)
