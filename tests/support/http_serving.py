"""An HTTP server of one handler, in place of a node that a test scripts."""

from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def serving(handler):
    """The address of an HTTP server that answers every POST with `handler`."""
    application = web.Application()
    application.router.add_post("/", handler)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
