"""`python -m tests.worker.payouts.killed POINT`: a worker's pass that kills itself with SIGKILL at a point of a payout.

Settings come from the environment, as for `pay402 worker`. Ends with 0 when the point was not reached.
"""

import asyncio
import os
import signal
import sys

from worker.claims.decide import reconcile
from worker.context import open_worker_context
from worker.escrow import move_jobs_and_payouts
from worker.payouts.crash_points import watch_steps
from worker.settings import WorkerSettings


async def main(point: str) -> None:
    async def on_step(reached: str) -> None:
        if reached == point:
            os.kill(os.getpid(), signal.SIGKILL)

    settings = WorkerSettings()
    dsn = settings.database_url.get_secret_value()
    async with open_worker_context(settings, dsn, settings.rpc_urls) as context:
        await reconcile(context)
        with watch_steps(on_step):
            await move_jobs_and_payouts(context)


asyncio.run(main(sys.argv[1]))
