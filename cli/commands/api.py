"""`pay402 api`: one API process."""

import asyncio
from typing import Annotated

import typer

from api.main import serve_until
from api.settings import ApiSettings
from cli.printing import print_json
from cli.running import settings_for
from cli.system.localnet_address import solana_endpoints
from runtime.embedded.servers import database_address, redis_address
from runtime.process import freeze_startup_objects, run_until_signal


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line when ready")] = False,
    any_if_taken: Annotated[
        bool, typer.Option("--any-if-taken", help="Listen on any free port when PORT is taken")
    ] = False,
    reuse_port: Annotated[
        bool, typer.Option("--reuse-port", help="Share the port with other API processes of this machine")
    ] = False,
) -> None:
    """Serve the HTTP API until SIGTERM; what is under way then is answered.

    Example: DATABASE_URL=postgresql://… REDIS_URL=redis://… SOLANA_RPC_URL=https://… pay402 api
    """
    settings = settings_for(ApiSettings, "api")
    rpc_urls, _ = solana_endpoints(settings)

    def ready(url: str) -> None:
        freeze_startup_objects()
        if as_json:
            print_json({"ready": True, "api": url})

    async def main(stop: asyncio.Event) -> None:
        async with database_address(settings) as dsn, redis_address(settings) as redis_url:
            await serve_until(
                stop,
                settings,
                dsn,
                redis_url,
                rpc_urls,
                reuse_port=reuse_port,
                any_if_taken=any_if_taken,
                ready=ready,
            )

    run_until_signal(main, drain_seconds=settings.drain_seconds + 5)
