"""`pay402 indexer`: one indexer process."""

import asyncio
from typing import Annotated

import typer

from cli.system.localnet_address import solana_endpoints
from indexer.main import index_until
from runtime.embedded import servers as embedded
from runtime.logging import configure_logging
from runtime.process import run_until_signal
from runtime.settings import IndexerSettings, load


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line when ready")] = False,
) -> None:
    """Follow the recipients' wallets and write their transfers into the ledger, until SIGTERM.

    Example: DATABASE_URL=postgresql://… SOLANA_RPC_URL=https://… pay402 indexer
    """
    settings = load(IndexerSettings)
    configure_logging(settings, "indexer")
    rpc_urls, ws_urls = solana_endpoints(settings)

    async def main(stop: asyncio.Event) -> None:
        async with embedded.database(settings) as dsn:
            await index_until(stop, settings, dsn, rpc_urls, ws_urls, ready=_ready if as_json else None)

    run_until_signal(main)


def _ready(metrics_port: int | None) -> None:
    port = "null" if metrics_port is None else str(metrics_port)
    typer.echo(f'{{"ready": true, "metricsPort": {port}}}')
