"""The two faces of the node on the wire: JSON-RPC over HTTP, and PubSub over WebSocket."""

import asyncio
from typing import Any, ClassVar, Final, cast

import msgspec
from aiohttp import web
from websockets.asyncio.server import ServerConnection

from localnet.control_methods import PREFIX
from localnet.errors import INVALID_REQUEST, RpcError
from localnet.faults import Fault, Hazard
from localnet.pubsub import PubSub
from localnet.rpc import Rpc, failure, id_of, parse, read_request, success
from localnet.sockets import Socket

BODY_BYTES_MAX: Final = 50 * 1024
BATCH_MAX: Final = 1_000
_JSON: Final = "application/json"
_HEAD_BYTES_MAX: Final = 16 * 1024
_DEFAULT_SERVER_ERROR: Final = 503
_DEFAULT_RETRY_AFTER_SECONDS: Final = 1


class HttpFront:
    """JSON-RPC over HTTP POST, with the faults of the node's answers.

    `accept_batches` False answers every batch with HTTP 400, as some providers do.
    """

    def __init__(self, rpc: Rpc, hazard: Hazard, *, accept_batches: bool = True) -> None:
        self._rpc = rpc
        self._hazard = hazard
        self._accept_batches = accept_batches
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Let go of the answers that a fault holds back."""
        self._stopping.set()

    async def post(self, request: web.Request) -> web.Response:
        """Answer one request or one batch."""
        try:
            raw = parse(await request.read())
        except RpcError as error:
            return _json(failure(None, error))
        methods = _methods(raw)
        faults = self._hazard.faults
        if self._strikes(faults.latency_seconds, methods):
            await self._pause(faults.latency_seconds.amount)
        if isinstance(raw, list) and (not self._accept_batches or self._strikes(faults.batches_rejected, methods)):
            refusal = RpcError(INVALID_REQUEST, "Batch requests are not supported")
            return _json(failure(None, refusal), status=400)
        if self._strikes(faults.too_many_requests, methods):
            seconds = faults.too_many_requests.amount or _DEFAULT_RETRY_AFTER_SECONDS
            return web.Response(status=429, headers={"Retry-After": f"{seconds:g}"}, text="Too many requests")
        if self._strikes(faults.server_errors, methods):
            return web.Response(status=int(faults.server_errors.amount or _DEFAULT_SERVER_ERROR))
        body = self._answer(raw)
        if self._strikes(faults.timeouts, methods):
            await self._pause(faults.timeouts.amount or None)
        if self._strikes(faults.malformed_answers, methods):
            body = body[: len(body) // 2]
        return web.Response(body=body, content_type=_JSON)

    def _answer(self, raw: Any) -> bytes:
        if not isinstance(raw, list):
            answer = self._rpc.answer(raw)
            return b"" if answer is None else msgspec.json.encode(answer)
        if not 0 < len(raw) <= BATCH_MAX:
            return msgspec.json.encode(failure(None, RpcError(INVALID_REQUEST, "Invalid request")))
        answers = [answer for one in raw if (answer := self._rpc.answer(one)) is not None]
        return msgspec.json.encode(answers) if answers else b""

    def _strikes(self, fault: Fault, methods: list[str]) -> bool:
        return any(self._hazard.strikes(fault, method) for method in methods)

    async def _pause(self, seconds: float | None) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
        raise web.HTTPServiceUnavailable


class SocketFront:
    """PubSub over WebSocket."""

    def __init__(self, pubsub: PubSub, hazard: Hazard, max_waiting: int) -> None:
        self._pubsub = pubsub
        self._hazard = hazard
        self._max_waiting = max_waiting

    async def serve(self, connection: ServerConnection) -> None:
        """Serve one connection until either side has gone."""
        assert isinstance(connection, FrontConnection), "the server makes no other"
        connection.socket = socket = Socket(connection, self._hazard, self._max_waiting)
        self._pubsub.opened(socket)
        writing = asyncio.create_task(socket.write())
        try:
            while (message := await socket.read()) is not None:
                self._answer(socket, message)
        finally:
            self._pubsub.gone(socket)
            socket.release()
            await writing

    def _answer(self, socket: Socket, message: bytes) -> None:
        raw: Any = None
        try:
            raw = parse(message)
            request = read_request(raw)
            result, subscription = self._pubsub.call(socket, request)
        except RpcError as error:
            socket.send(msgspec.json.encode(failure(id_of(raw), error)))
            return
        socket.send(msgspec.json.encode(success(request.id, result)))
        if subscription is not None:
            self._pubsub.catch_up(subscription)


class FrontConnection(ServerConnection):
    """A connection to a port that serves both: it becomes a WebSocket, or is handed over to the HTTP server.

    The request line and headers decide. A WebSocket is always asked for on a connection of its own.
    """

    http: ClassVar[web.Server]
    undecided: ClassVar[set["FrontConnection"]]
    socket: Socket | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.raw_transport: asyncio.Transport
        self._head = b""

    @classmethod
    def beside(cls, http: web.Server) -> type["FrontConnection"]:
        """Connections that hand over to `http` what asks for no WebSocket."""
        return type(cls.__name__, (cls,), {"http": http, "undecided": set()})

    @classmethod
    def drop_undecided(cls) -> None:
        """End the connections that have asked for nothing yet."""
        for connection in cls.undecided:
            connection.raw_transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the request before deciding what this is."""
        self.raw_transport = cast("asyncio.Transport", transport)
        self.undecided.add(self)

    def data_received(self, data: bytes) -> None:
        """Decide by the request's head; a silent socket looks at nothing any more."""
        if self not in self.undecided:
            if self.socket is None or not self.socket.silent:
                super().data_received(data)
            return
        self._head += data
        if b"\r\n\r\n" not in self._head and self._head.startswith(b"GET ") and len(self._head) < _HEAD_BYTES_MAX:
            return
        self.undecided.discard(self)
        if _asks_for_a_socket(self._head):
            super().connection_made(self.raw_transport)
            super().data_received(self._head)
        else:
            protocol = self.http()
            self.raw_transport.set_protocol(protocol)
            protocol.connection_made(self.raw_transport)
            protocol.data_received(self._head)

    def eof_received(self) -> None:
        """Nobody has asked for anything yet, or the WebSocket ends."""
        if self not in self.undecided:
            super().eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody has asked for anything yet, or the WebSocket has ended."""
        if self in self.undecided:
            self.undecided.discard(self)
        else:
            super().connection_lost(error)


def _asks_for_a_socket(head: bytes) -> bool:
    request, *headers = head.lower().split(b"\r\n")
    return request.startswith((b"get / ", b"get /?")) and any(
        header.startswith(b"upgrade:") and b"websocket" in header for header in headers
    )


def _methods(raw: Any) -> list[str]:
    """The methods that faults may hit: the localnet's own always get through."""
    calls = raw if isinstance(raw, list) else [raw]
    names = [str(one.get("method")) for one in calls if isinstance(one, dict)]
    return [name for name in names if not name.startswith(PREFIX)]


def _json(answer: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), content_type=_JSON, status=status)
