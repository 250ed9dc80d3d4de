"""`pay402 indexer`: one indexer process."""

import asyncio
from typing import Annotated

import typer

from cli.printing import print_ready
from cli.running import settings_for
from cli.system.localnet_address import solana_endpoints
from indexer.main import index_until
from indexer.settings import IndexerSettings
from runtime.embedded.servers import database_address
from runtime.process import run_until_signal


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line when ready")] = False,
) -> None:
    """Follow the recipients' wallets and write their transfers into the ledger, until SIGTERM.

    Example: DATABASE_URL=postgresql://… SOLANA_RPC_URL=https://… pay402 indexer
    """
    settings = settings_for(IndexerSettings, "indexer")
    rpc_urls, ws_urls = solana_endpoints(settings)

    async def main(stop: asyncio.Event) -> None:
        async with database_address(settings) as dsn:
            await index_until(stop, settings, dsn, rpc_urls, ws_urls, ready=print_ready if as_json else None)

    run_until_signal(main)
