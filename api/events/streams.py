"""Open streams of a process: the feed is read once, and each entry is handed to whoever it belongs to.

A reader that is too slow is dropped once `ENTRIES_WAITING_MAX` entries wait for it. It loses nothing: it connects
again, names the last event that it has, and reads on from there.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

import asyncpg
import structlog

from api.metrics import ApiMetrics
from ledger.feed import FeedEntry, feed_ends, page_of_feed
from runtime.database_errors import DATABASE_ERRORS

_log = structlog.get_logger(__name__)

ENTRIES_WAITING_MAX: Final = 1_000
_PAGE: Final = 1_000
# Notifications wake; this is for those that were lost with a connection.
_POLL_SECONDS: Final = 5.0


class Subscription:
    """What waits for one reader.

    Attributes:
        is_live: True once what comes is kept for it.
        is_ended: True once nothing more comes: the reader is too slow, or the process ends.
    """

    def __init__(self, user_id: str | None, types: Sequence[str] | None) -> None:
        self._user_id = user_id
        self._types = None if types is None else frozenset(types)
        self._waiting: deque[FeedEntry] = deque()
        self._changed = asyncio.Event()
        self.is_live = False
        self.is_ended = False

    def offer(self, entry: FeedEntry) -> None:
        """Keep an entry for the reader, if it is theirs and wanted."""
        if not self.is_live or self.is_ended:
            return
        if self._user_id not in {None, entry.user_id} or not (self._types is None or entry.type in self._types):
            return
        if len(self._waiting) >= ENTRIES_WAITING_MAX:
            self.end()
            return
        self._waiting.append(entry)
        self._changed.set()

    def end(self) -> None:
        """Hand out nothing more."""
        self._waiting.clear()
        self.is_ended = True
        self._changed.set()

    async def next_entries(self, *, wait_seconds: float) -> list[FeedEntry]:
        """What has come since; none after `wait_seconds` without anything."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_seconds):
                await self._changed.wait()
        self._changed.clear()
        entries = list(self._waiting)
        self._waiting.clear()
        return entries


class FeedStreams:
    """Every open stream of this process."""

    def __init__(
        self, database: asyncpg.Pool, metrics: ApiMetrics, *, streams_max: int, streams_per_user_max: int
    ) -> None:
        self._database = database
        self._metrics = metrics
        self._streams_max = streams_max
        self._streams_per_user_max = streams_per_user_max
        self._open: dict[Subscription, str] = {}
        self._woken = asyncio.Event()
        self._newest: int | None = None
        self._is_ending = False

    def wake(self, _: str = "") -> None:
        """Read on: something was published."""
        self._woken.set()

    @contextlib.contextmanager
    def subscribed(
        self, holder: str, user_id: str | None, types: Sequence[str] | None
    ) -> Iterator[Subscription | None]:
        """A place among the streams, or `None` where there is none left for all or for this `holder`."""
        held = sum(one == holder for one in self._open.values())
        if self._is_ending or len(self._open) >= self._streams_max or held >= self._streams_per_user_max:
            yield None
            return
        subscription = Subscription(user_id, types)
        self._open[subscription] = holder
        self._metrics.streams.set(len(self._open))
        try:
            yield subscription
        finally:
            del self._open[subscription]
            self._metrics.streams.set(len(self._open))

    def end_all(self) -> None:
        """End every stream; their readers come again, to another process."""
        self._is_ending = True
        for subscription in self._open:
            subscription.end()

    async def run(self) -> None:
        """Hand out what is published, until cancelled. A database that is away is waited for."""
        while True:
            self._woken.clear()
            pause_seconds = _POLL_SECONDS
            try:
                await self._read_on()
            except DATABASE_ERRORS as error:
                pause_seconds = self._metrics.troubles.note("reading the feed", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_seconds):
                    await self._woken.wait()

    async def _read_on(self) -> None:
        if self._newest is None or not self._open:
            # Without a reader nothing is read; a new reader reads for itself up to where this begins.
            self._newest = (await feed_ends(self._database)).newest
        while self._open:
            entries = await page_of_feed(self._database, after=self._newest, user_id=None, limit=_PAGE)
            for entry in entries:
                for subscription in tuple(self._open):
                    subscription.offer(entry)
            if entries:
                self._newest = entries[-1].number
            if len(entries) < _PAGE:
                return
