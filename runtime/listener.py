"""The one loop that listens to the database's notifications, on a connection of its own."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import asyncpg

from runtime.database import is_read_only, open_connection
from runtime.database_errors import DATABASE_ERRORS, DatabaseTroubles
from runtime.errors import OperatorError
from runtime.liveness import Liveness

_PROBE_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 0.5
_LOOP: Final = "listener"
_LIMIT_SECONDS: Final = 60.0


class Listener:
    """Passes notifications on, and says when some may have been missed.

    Attributes:
        is_listening: True while notifications arrive.
    """

    def __init__(
        self,
        dsn: str,
        channels: Mapping[str, Callable[[str], None]],
        *,
        after_gap: Callable[[], None],
        application: str,
        troubles: DatabaseTroubles,
        liveness: Liveness | None = None,
    ) -> None:
        """Nothing is opened yet; `run` does.

        Args:
            dsn: Where the database is.
            channels: By channel, what is called with the text of each notification. It must not raise or wait.
            after_gap: Called each time listening begins, the first time included. Notifications from before are lost,
                so it has to look for what they were about.
            application: The process, as operators see it in `pg_stat_activity`: `pay402-<application>-listener`.
            troubles: Where failures are counted.
            liveness: Where it is shown that the connection works, notified of anything or not.
        """
        self._dsn = dsn
        self._channels = channels
        self._after_gap = after_gap
        self._application = f"{application}-listener"
        self._troubles = troubles
        self._liveness = liveness
        if liveness is not None:
            liveness.expect(_LOOP, within_seconds=_LIMIT_SECONDS)
        self.is_listening = False

    async def run(self) -> None:
        """Listen until cancelled; a connection that is lost is made again."""
        while True:
            pause_seconds = _RETRY_SECONDS
            try:
                await self._listen()
            except (OperatorError, *DATABASE_ERRORS) as error:
                pause_seconds = max(pause_seconds, self._troubles.note("listening", error))
            finally:
                self.is_listening = False
            await asyncio.sleep(pause_seconds)

    async def _listen(self) -> None:
        async with open_connection(self._dsn, application=self._application) as connection:
            closed = asyncio.Event()
            connection.add_termination_listener(lambda _: closed.set())
            for channel, notified in self._channels.items():
                await connection.add_listener(channel, _passing_on(notified))
            self.is_listening = True
            self._after_gap()
            self._succeeded(connection)
            while not closed.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PROBE_SECONDS):
                        await closed.wait()
                if not closed.is_set():
                    # A connection that a firewall has dropped ends only when it is used.
                    await connection.execute("SELECT 1")
                    if is_read_only(connection):
                        # Whoever writes has gone to another server, which notifies nobody here.
                        return
                    self._succeeded(connection)

    def _succeeded(self, connection: "asyncpg.Connection[Any]") -> None:
        if self._liveness is not None and not is_read_only(connection):
            self._liveness.succeeded(_LOOP)


def _passing_on(notified: Callable[[str], None]) -> Callable[[object, int, str, object], None]:
    def on_notification(_connection: object, _process: int, _channel: str, payload: object) -> None:
        notified(str(payload))

    return on_notification
