"""Receivers of webhooks in a process of their own: one that answers at once, and some that misbehave.

Prints its address, and answers at `/taken` when each event arrived first, by its subject.
"""

import asyncio
import json
import sys
import time
from typing import Final

import uvloop
from aiohttp import web

_LONG_ANSWER: Final = b"x" * 1_000_000
_SLOW_SECONDS: Final = 3.0

_taken: dict[str, float] = {}


async def _well(request: web.Request) -> web.Response:
    at = time.time()
    event = json.loads(await request.read())
    _taken.setdefault(event["data"]["keyPrefix"], at)
    return web.Response(status=204)


async def _hang(_: web.Request) -> web.Response:
    await asyncio.sleep(3_600)
    return web.Response()


async def _fail(_: web.Request) -> web.Response:
    return web.Response(status=500, text="no")


async def _close(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _slow(_: web.Request) -> web.Response:
    await asyncio.sleep(_SLOW_SECONDS)
    return web.Response(status=204)


async def _long(_: web.Request) -> web.Response:
    return web.Response(status=500, body=_LONG_ANSWER)


async def _show(_: web.Request) -> web.Response:
    return web.json_response(_taken)


async def _count(_: web.Request) -> web.Response:
    return web.json_response(len(_taken))


async def _serve() -> None:
    application = web.Application()
    for name, handler in {
        "well": _well, "hang": _hang, "fail": _fail, "close": _close, "slow": _slow, "long": _long
    }.items():  # fmt: skip
        application.router.add_post(f"/{name}", handler)
    application.router.add_get("/taken", _show)
    application.router.add_get("/count", _count)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"http://127.0.0.1:{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
