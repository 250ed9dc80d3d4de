"""Waiting for payments that are on their way: one connection listens for all requests of the process."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import structlog

from runtime.database import DATABASE_AWAY, open_connection
from runtime.errors import OperatorError

_log = structlog.get_logger(__name__)

_RETRY_SECONDS: Final = 0.5
_PROBE_SECONDS: Final = 5.0

TRANSFERS_CHANNEL: Final = "transfers"
KEYS_CHANNEL: Final = "api_keys"


class Arrivals:
    """Who waits for which signature. Notifications wake them; without the listener they look again by themselves."""

    def __init__(self, dsn: str, on_keys_changed: Callable[[], None]) -> None:
        self._dsn = dsn
        self._on_keys_changed = on_keys_changed
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self.is_listening = False

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
        """Listen until cancelled; a connection that is lost is made again."""
        while True:
            try:
                async with self._connection() as connection:
                    self.is_listening = True
                    # What came while nobody listened is looked for again.
                    self._wake_all()
                    self._on_keys_changed()
                    while not connection.is_closed():
                        await asyncio.sleep(_PROBE_SECONDS)
                        await connection.execute("SELECT 1")
            except (OperatorError, *DATABASE_AWAY) as error:
                _log.warning("not_listening", error=str(error) or type(error).__name__)
            finally:
                self.is_listening = False
            await asyncio.sleep(_RETRY_SECONDS)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        async with open_connection(self._dsn, application="api-listener") as connection:
            await connection.add_listener(TRANSFERS_CHANNEL, self._notified)
            await connection.add_listener(KEYS_CHANNEL, lambda *_: self._on_keys_changed())
            yield connection

    def _notified(self, _connection: Any, _process: int, _channel: str, payload: object) -> None:
        for signature in str(payload).split():
            for event in self._waiting.get(signature, ()):
                event.set()

    def _wake_all(self) -> None:
        for events in self._waiting.values():
            for event in events:
                event.set()
