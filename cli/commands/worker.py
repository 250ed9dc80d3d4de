"""`pay402 worker`: one worker process."""

import asyncio
from typing import Annotated

import typer

from cli.printing import print_ready
from cli.running import settings_for
from cli.system.localnet_address import solana_endpoints
from runtime.embedded.servers import database_address, redis_address
from runtime.process import run_until_signal
from worker.main import work_until
from worker.settings import WorkerSettings


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line when ready")] = False,
) -> None:
    """Decide claims, move jobs on, send payouts and keep house, until SIGTERM. Several on one database are safe.

    Example: DATABASE_URL=postgresql://… REDIS_URL=redis://… SOLANA_RPC_URL=https://… pay402 worker
    """
    settings = settings_for(WorkerSettings, "worker")
    rpc_urls, _ = solana_endpoints(settings)

    async def main(stop: asyncio.Event) -> None:
        async with database_address(settings) as dsn, redis_address(settings) as redis_url:
            ready = print_ready if as_json else None
            await work_until(stop, settings, dsn, redis_url, rpc_urls, ready=ready)

    # The passes under way are given their own time to end, then the process its own to close.
    run_until_signal(main, drain_seconds=settings.drain_seconds + 5.0)
