"""Nodes that misbehave to order."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


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


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Let everything else run until `condition` holds; fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - it becomes true beyond a socket
            await asyncio.sleep(0.002)
