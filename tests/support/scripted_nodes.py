"""Nodes that misbehave to order, and pools that ask them."""

import asyncio
import itertools
import json
from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from chain.rpc import RetryableRpcError, RpcLimits, RpcPool

# For nodes that leave a call without an answer.
QUICK = RpcLimits(answer_seconds=0.3, attempts=2, call_seconds=5.0)
# For nodes that answer: however long this machine takes to let them.
PATIENT = RpcLimits(answer_seconds=30.0, attempts=2, call_seconds=60.0)


@dataclass
class Reply:
    """An HTTP answer; `result` or `error` make a JSON-RPC one with the id that was asked for."""

    result: Any = "fine"
    error: dict | None = None
    status: int = 200
    headers: dict = field(default_factory=dict)
    body: str | bytes | None = None
    content_type: str = "application/json"
    id: Any = None
    stall: bool = False


@dataclass
class ScriptedNode:
    """Gives one reply of its script after the other, then the last one for ever; remembers what it was asked.

    A fake, because no real node of ours can be made to do it: error pages, redirects, foreign ids and stalls are the
    doing of proxies and providers in front of a node. What a node does by itself is tested on the localnet.
    """

    script: list[Reply] = field(default_factory=lambda: [Reply()])
    asked: list[Any] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    @property
    def methods(self) -> list[str]:
        return [question["method"] for question in self.asked]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        question = json.loads(await request.read())
        self.asked.append(question)
        reply = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if reply.stall:
            try:
                await asyncio.sleep(60)
            finally:
                self.hung_up.set()
        body = reply.body
        if body is None:
            said = {"error": reply.error} if reply.error else {"result": reply.result}
            body = json.dumps({"jsonrpc": "2.0", "id": reply.id or question["id"], **said})
        raw = body.encode() if isinstance(body, str) else body
        return web.Response(body=raw, status=reply.status, headers=reply.headers, content_type=reply.content_type)


@asynccontextmanager
async def serving(handler: Callable, *, method: str = "POST", path: str = "/{any:.*}"):
    """The address of an HTTP server that gives every request to `handler`."""
    application = web.Application()
    application.router.add_route(method, path, handler)
    runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def scripted(*scripts: list[Reply]):
    """A node for each script."""
    async with AsyncExitStack() as stack:
        nodes = [ScriptedNode(list(script)) for script in scripts]
        for node in nodes:
            node.url = await stack.enter_async_context(serving(node.answer))
        yield nodes


@dataclass
class Connection:
    """One socket of a `PubSubNode`: what it was asked, and what it is subscribed to, accounts by subscription."""

    socket: ServerConnection
    asked: list[dict] = field(default_factory=list)
    watched: dict[int, str] = field(default_factory=dict)
    slots: bool = False
    is_open: bool = True


@dataclass
class PubSubNode:
    """PubSub of a node that follows its whims.

    A fake, because the localnet keeps every promise of the protocol: this one may refuse slots or single accounts,
    leave questions unanswered, answer late, and talk rubbish. `room` bounds the accounts of one socket. With
    `shares_ids` it gives one id to the same subscription asked for twice, as Agave does.
    """

    slot_seconds: float = 0.02
    refuses_slots: bool = False
    shares_ids: bool = True
    room: int | None = None
    refused: set[str] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)
    delay: Callable[[], float] = lambda: 0.0
    status: int | None = None
    connections: list[Connection] = field(default_factory=list)
    greeting: Callable[[Connection], Any] | None = None
    slot: int = 100
    url: str = ""
    ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def watched(self) -> list[str]:
        """Accounts watched by sockets that are still open, once for each subscription."""
        return sorted(a for one in self.connections if one.is_open for a in one.watched.values())

    def refuse(self, socket: ServerConnection, _: Request) -> Response | None:
        return None if self.status is None else socket.respond(self.status, "")

    async def serve(self, socket: ServerConnection) -> None:
        connection = Connection(socket)
        self.connections.append(connection)
        ticking = asyncio.create_task(self._tick(connection))
        try:
            if self.greeting is not None:
                await self.greeting(connection)
            async for message in socket:
                question = json.loads(message)
                connection.asked.append(question)
                # One after the other, as a node works, but each after a while.
                await asyncio.sleep(self.delay())
                await self._answer(connection, question)
        finally:
            connection.is_open = False
            ticking.cancel()

    async def notify(self, connection: Connection, subscription: int, signature: str, slot: int) -> None:
        result = {"context": {"slot": slot}, "value": {"signature": signature, "err": None, "logs": []}}
        await self.notify_of(connection, "logsNotification", subscription, result)

    @staticmethod
    async def notify_of(connection: Connection, method: str, subscription: int, result: Any) -> None:
        params = {"result": result, "subscription": subscription}
        await connection.socket.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}))

    async def _answer(self, connection: Connection, question: dict) -> None:
        said: dict[str, Any] = {"result": True}
        match question["method"], question["params"]:
            case "slotSubscribe", _:
                connection.slots = not self.refuses_slots
                said = {"result": 0} if connection.slots else {"error": {"code": -32601, "message": "no slots here"}}
            case "logsSubscribe", [{"mentions": [account]}, _]:
                if account in self.ignored:
                    return
                if account in self.refused or len(connection.watched) == self.room:
                    said = {"error": {"code": -32602, "message": "not this one"}}
                else:
                    known = {watched: at for at, watched in connection.watched.items() if self.shares_ids}
                    said = {"result": known.get(account) or next(self.ids)}
                    connection.watched[said["result"]] = account
            case "logsUnsubscribe", [subscription]:
                connection.watched.pop(subscription, None)
        with suppress(ConnectionClosed):
            await connection.socket.send(json.dumps({"jsonrpc": "2.0", "id": question["id"], **said}))

    async def _tick(self, connection: Connection) -> None:
        with suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(self.slot_seconds)
                self.slot += 1
                if connection.slots:
                    result = {"slot": self.slot, "parent": self.slot - 1, "root": self.slot - 32}
                    await self.notify_of(connection, "slotNotification", 0, result)


@asynccontextmanager
async def gossiping(node: PubSubNode):
    """The node, listening at its `url`."""
    async with serve(node.serve, "127.0.0.1", 0, process_request=node.refuse, close_timeout=0.1) as server:
        node.url = url_of(server)
        yield node


def url_of(server: Server) -> str:
    return f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Let everything else run until `condition` holds; fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - it becomes true beyond a socket
            await asyncio.sleep(0.002)


def refusal(code, status=200):
    return Reply(error={"code": code, "message": "no"}, status=status)


@asynccontextmanager
async def pooled(*scripts, limits=PATIENT, **options):
    """Nodes with a script each, and a pool of them."""
    async with scripted(*scripts) as nodes, RpcPool([node.url for node in nodes], limits, **options) as pool:
        yield nodes, pool


async def ask(pool, method="getSlot", result_type=str, **options):
    return await pool.call(method, [], result_type, **options)


async def failure(pool, error=RetryableRpcError, **options):
    with pytest.raises(error) as raised:
        await ask(pool, **options)
    return raised.value
