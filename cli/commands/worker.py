"""`pay402 worker`: one worker process."""

import asyncio
from typing import Annotated

import typer

from cli.system.localnet_address import solana_endpoints
from runtime.embedded import servers as embedded
from runtime.logging import configure_logging
from runtime.process import run_until_signal
from runtime.settings import load
from worker.main import work_until
from worker.settings import WorkerSettings


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line when ready")] = False,
) -> None:
    """Decide claims, settle jobs and keep house, until SIGTERM. Several on one database are safe.

    Example: DATABASE_URL=postgresql://… REDIS_URL=redis://… SOLANA_RPC_URL=https://… pay402 worker
    """
    settings = load(WorkerSettings)
    configure_logging(settings, "worker")
    rpc_urls, _ = solana_endpoints(settings)

    async def main(stop: asyncio.Event) -> None:
        async with embedded.database(settings) as dsn, embedded.cache(settings) as redis_url:
            ready = _ready if as_json else None
            await work_until(stop, settings, dsn, redis_url, rpc_urls, ready=ready)

    # The passes under way are given their own time to end, then the process its own to close.
    run_until_signal(main, drain_seconds=settings.drain_seconds + 5.0)


def _ready(metrics_port: int | None) -> None:
    port = "null" if metrics_port is None else str(metrics_port)
    typer.echo(f'{{"ready": true, "metricsPort": {port}}}')
