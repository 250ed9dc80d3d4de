"""The two faces of the node on the wire: JSON-RPC over HTTP, and PubSub over WebSocket."""

import asyncio
from typing import Any, Final

import msgspec
from aiohttp import WSCloseCode, web

from localnet.control_methods import PREFIX
from localnet.errors import INVALID_REQUEST, RpcError
from localnet.faults import Fault, Hazard
from localnet.pubsub import PubSub
from localnet.rpc import Rpc, failure, id_of, parse, read_request, success
from localnet.sockets import Socket

MAX_BODY_BYTES: Final = 50 * 1024
MAX_BATCH: Final = 1_000
_JSON: Final = "application/json"
_CLOSE_SECONDS: Final = 0.5
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
        if not 0 < len(raw) <= MAX_BATCH:
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
        self._open: set[web.WebSocketResponse] = set()

    async def stop(self) -> None:
        """Close every connection, going away."""
        await asyncio.gather(*(one.close(code=WSCloseCode.GOING_AWAY) for one in self._open))

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection until either side has gone."""
        response = web.WebSocketResponse(
            timeout=_CLOSE_SECONDS, autoping=False, compress=False, max_msg_size=MAX_BODY_BYTES
        )
        if not response.can_prepare(request).ok:
            return web.Response(status=405, text="Used HTTP Method is not allowed. POST is required")
        try:
            await response.prepare(request)
        except ConnectionError:
            # Whoever asked has gone already.
            return response
        self._open.add(response)
        socket = Socket(request, response, self._hazard, self._max_waiting)
        self._pubsub.opened(socket)
        writing = asyncio.create_task(socket.write())
        try:
            while (text := await socket.read()) is not None:
                self._answer(socket, text)
        finally:
            self._open.discard(response)
            self._pubsub.gone(socket)
            socket.release()
            await writing
        return response

    def _answer(self, socket: Socket, text: str | bytes) -> None:
        raw: Any = None
        try:
            raw = parse(text)
            request = read_request(raw)
            result, subscription = self._pubsub.call(socket, request)
        except RpcError as error:
            socket.send(msgspec.json.encode(failure(id_of(raw), error)).decode())
            return
        socket.send(msgspec.json.encode(success(request.id, result)).decode())
        if subscription is not None:
            self._pubsub.catch_up(subscription)


def _methods(raw: Any) -> list[str]:
    """The methods that faults may hit: the localnet's own always get through."""
    calls = raw if isinstance(raw, list) else [raw]
    names = [str(one.get("method")) for one in calls if isinstance(one, dict)]
    return [name for name in names if not name.startswith(PREFIX)]


def _json(answer: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), content_type=_JSON, status=status)
