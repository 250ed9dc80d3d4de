"""Waiting for payments that are on their way: one connection listens for all requests of the process."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

from runtime.database_errors import DatabaseTroubles
from runtime.listener import Listener

TRANSFERS_CHANNEL: Final = "transfers"
KEYS_CHANNEL: Final = "api_keys"


class Arrivals:
    """Who waits for which signature. Notifications wake them; without the listener they look again by themselves."""

    def __init__(self, dsn: str, on_keys_changed: Callable[[], None], troubles: DatabaseTroubles) -> None:
        self._on_keys_changed = on_keys_changed
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._listener = Listener(
            dsn,
            {TRANSFERS_CHANNEL: self._notified, KEYS_CHANNEL: lambda _: on_keys_changed()},
            after_gap=self._after_gap,
            application="api",
            troubles=troubles,
        )

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return sum(map(len, self._waiting.values()))

    @contextlib.contextmanager
    def expected(self, signature: str) -> Any:
        """An event that is set each time the ledger may have something new of `signature`."""
        event = asyncio.Event()
        self._waiting[signature].add(event)
        try:
            yield event
        finally:
            self._waiting[signature].discard(event)
            if not self._waiting[signature]:
                del self._waiting[signature]

    async def listen(self) -> None:
        """Listen until cancelled."""
        await self._listener.run()

    @property
    def is_listening(self) -> bool:
        """True while notifications arrive; otherwise whoever waits looks again by itself."""
        return self._listener.is_listening

    def _after_gap(self) -> None:
        self._wake_all()
        self._on_keys_changed()

    def _notified(self, payload: str) -> None:
        for signature in payload.split():
            for event in self._waiting.get(signature, ()):
                event.set()

    def _wake_all(self) -> None:
        for events in self._waiting.values():
            for event in events:
                event.set()
