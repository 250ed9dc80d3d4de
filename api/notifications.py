"""Waiting for payments that are on their way: the ledger notifies of each transaction that it records."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator


class TransferNotifications:
    """Which requests wait for which signature. A notification wakes them; without one they look again on their own."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return sum(map(len, self._waiting.values()))

    @contextlib.contextmanager
    def expected(self, signature: str) -> Iterator[asyncio.Event]:
        """An event that is set each time the ledger may have something new of `signature`."""
        event = asyncio.Event()
        self._waiting[signature].add(event)
        try:
            yield event
        finally:
            self._waiting[signature].discard(event)
            if not self._waiting[signature]:
                del self._waiting[signature]

    def wake(self, signatures: str) -> None:
        """Wake the requests that wait for one of these `signatures`, which are separated by spaces."""
        for signature in signatures.split():
            for event in self._waiting.get(signature, ()):
                event.set()

    def wake_all(self) -> None:
        """Wake every request that waits: notifications may have been missed."""
        for events in self._waiting.values():
            for event in events:
                event.set()
