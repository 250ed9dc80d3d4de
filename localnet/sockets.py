"""One PubSub connection: what is sent, how much may wait, and what goes wrong on the way."""

import asyncio
from typing import Final

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from localnet.faults import Hazard

# A reader that falls this many messages behind is disconnected, as a node does.
WAITING_MESSAGES_MAX: Final = 10_000


class Socket:
    """A WebSocket with a bounded outgoing queue, and the faults of its hazard.

    `send` and `notify` never block: they are called while the chain is ticking.
    """

    def __init__(self, connection: ServerConnection, hazard: Hazard, max_waiting: int) -> None:
        self._connection = connection
        self._hazard = hazard
        # JSON in UTF-8, and None for the end.
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(max_waiting)
        self._held: list[bytes] = []
        self._deaf = False
        self.silent = False
        """Half-open: nothing is sent any more, and what arrives is not looked at."""
        self.closed = False

    def send(self, message: bytes) -> None:
        """Queue an answer, which is JSON."""
        self._put(message)

    def notify(self, message: bytes, kind: str) -> None:
        """Queue a notification of `kind`, such as `logsNotification`, unless a fault strikes."""
        if self.closed or self.silent or self._deaf:
            return
        hazard, faults = self._hazard, self._hazard.faults
        if hazard.strikes(faults.sockets_closed, kind):
            self._put(None)  # what was sent before still arrives
            self._deaf = True
        elif hazard.strikes(faults.sockets_silent, kind):
            self.silent = True
        elif hazard.strikes(faults.sockets_deaf, kind):
            self._deaf = True
        elif hazard.strikes(faults.notifications_lost, kind):
            pass
        elif hazard.strikes(faults.notifications_late, kind):
            self._send_late(message, faults.notifications_late.amount)
        elif hazard.strikes(faults.notifications_out_of_order, kind):
            self._held.append(message)
        else:
            self._put(message)
            if hazard.strikes(faults.notifications_doubled, kind):
                self._put(message)
            held, self._held = self._held, []
            for older in held:
                self._put(older)

    def cut(self) -> None:
        """Drop the TCP connection at once, with no closing handshake."""
        self.closed = True
        self._connection.transport.abort()
        self._stop_writing()

    async def write(self) -> None:
        """Send what is queued until the connection closes."""
        while (message := await self._queue.get()) is not None:
            if self.silent:
                continue
            try:
                await self._connection.send(message, text=True)
            except ConnectionClosed:
                break
        if not self.closed:
            self.cut()

    async def read(self) -> bytes | None:
        """The next message of the client; None when it has gone."""
        try:
            return await self._connection.recv(decode=False)
        except ConnectionClosed:
            return None

    def release(self) -> None:
        """The connection is over: let go of everything that waits."""
        self.closed = True
        self._stop_writing()

    def _put(self, message: bytes | None) -> None:
        if self.closed:
            return
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self.cut()

    def _send_late(self, message: bytes, seconds: float) -> None:
        def send() -> None:
            if not self.silent and not self._deaf:
                self._put(message)

        asyncio.get_running_loop().call_later(seconds, send)

    def _stop_writing(self) -> None:
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)
