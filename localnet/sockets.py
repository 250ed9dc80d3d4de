"""One PubSub connection: what is sent, how much may wait, and what goes wrong on the way."""

import asyncio
from typing import Final

from aiohttp import WSMsgType, web

from localnet.faults import Hazard

# A reader that falls this many messages behind is disconnected, as a node does.
MAX_WAITING_MESSAGES: Final = 10_000


class Socket:
    """A WebSocket with a bounded outgoing queue, and the faults of its hazard.

    `send` and `notify` never block: they are called while the chain is ticking.
    """

    def __init__(self, request: web.Request, response: web.WebSocketResponse, hazard: Hazard, max_waiting: int) -> None:
        self._request = request
        self._response = response
        self._hazard = hazard
        # Texts, pongs (bytes), and None for the end.
        self._queue: asyncio.Queue[str | bytes | None] = asyncio.Queue(max_waiting)
        self._held: list[str] = []
        self._silent = False
        self._deaf = False
        self.closed = False

    def send(self, text: str) -> None:
        """Queue an answer."""
        self._put(text)

    def notify(self, text: str, kind: str) -> None:
        """Queue a notification of `kind`, such as `logsNotification`, unless a fault strikes."""
        if self.closed or self._silent or self._deaf:
            return
        hazard, faults = self._hazard, self._hazard.faults
        if hazard.strikes(faults.sockets_closed, kind):
            self._put(None)  # what was told before still arrives
            self._deaf = True
        elif hazard.strikes(faults.sockets_silent, kind):
            self._silent = True
        elif hazard.strikes(faults.sockets_deaf, kind):
            self._deaf = True
        elif hazard.strikes(faults.notifications_lost, kind):
            pass
        elif hazard.strikes(faults.notifications_late, kind):
            self._send_late(text, faults.notifications_late.amount)
        elif hazard.strikes(faults.notifications_out_of_order, kind):
            self._held.append(text)
        else:
            self._put(text)
            if hazard.strikes(faults.notifications_doubled, kind):
                self._put(text)
            held, self._held = self._held, []
            for older in held:
                self._put(older)

    def cut(self) -> None:
        """Drop the TCP connection at once, with no closing handshake."""
        self.closed = True
        if self._request.transport is not None:
            self._request.transport.abort()
        self._stop_writing()

    async def write(self) -> None:
        """Send what is queued until the connection closes."""
        while (message := await self._queue.get()) is not None:
            if self._silent:
                continue
            try:
                if isinstance(message, bytes):
                    await self._response.pong(message)
                else:
                    await self._response.send_str(message)
            except ConnectionError:
                break
        if not self.closed:
            self.cut()

    async def read(self) -> str | bytes | None:
        """The next text the client sends, pings answered on the way; None when it has gone."""
        while True:
            message = await self._response.receive()
            if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                data: str | bytes = message.data
                return data
            if message.type is WSMsgType.PING:
                self._put(bytes(message.data))
            elif message.type is not WSMsgType.PONG:
                return None

    def release(self) -> None:
        """The connection is over: let go of everything that waits."""
        self.closed = True
        self._stop_writing()

    def _put(self, message: str | bytes | None) -> None:
        if self.closed:
            return
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self.cut()

    def _send_late(self, text: str, seconds: float) -> None:
        def send() -> None:
            if not self._silent and not self._deaf:
                self._put(text)

        asyncio.get_running_loop().call_later(seconds, send)

    def _stop_writing(self) -> None:
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)
