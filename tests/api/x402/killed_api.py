"""`python -m tests.api.x402.killed_api POINT`: an API process that kills itself with SIGKILL at a step of settling.

Settings come from the environment, as for `pay402 api`. It prints its address when it is ready.
"""

import asyncio
import os
import signal
import sys

from api.main import serve_until
from api.settings import ApiSettings
from runtime.crash_points import watch_steps


async def main(point: str) -> None:
    async def on_step(reached: str) -> None:
        if reached == point:
            os.kill(os.getpid(), signal.SIGKILL)

    settings = ApiSettings()
    addresses = settings.database_url.get_secret_value(), settings.redis_url.get_secret_value(), settings.rpc_urls

    def ready(url: str) -> None:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()

    with watch_steps(on_step):
        await serve_until(asyncio.Event(), settings, *addresses, ready=ready)


asyncio.run(main(sys.argv[1]))
