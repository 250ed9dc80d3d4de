"""`pay402 seed`: offer some examples on the marketplace."""

from typing import Annotated

import asyncpg
import typer

from cli.printing import AsJson, print_json
from cli.running import settings_for, with_connection
from ledger.example_services import seed
from ledger.tokens import by_symbol, tokens_of_network
from runtime.cluster import check_network
from runtime.errors import OperatorError
from worker.settings import WorkerSettings
from worker.signer import load_signer

_CURRENCY = "USDC"


def command(
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Also in production, where examples seldom belong")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Offer some examples on the marketplace; those that are there already stay as they are.

    Example: pay402 seed
    """
    settings = settings_for(WorkerSettings, level="error")
    if settings.is_production and not confirm:
        raise OperatorError("Examples do not belong into production; repeat it with --confirm if they do.")
    signer = load_signer(settings)
    wallet = settings.settlement_wallet or (signer.address if signer else None)
    if wallet is None:
        raise OperatorError("The examples are paid to the settlement wallet; set SETTLEMENT_WALLET.")
    network = settings.solana_network

    async def work(connection: asyncpg.Connection) -> int:
        await check_network(connection, network)
        token = by_symbol(await tokens_of_network(connection, network)).get(_CURRENCY)
        if token is None:
            raise OperatorError(f"There is no {_CURRENCY} on {network}; choose another SOLANA_NETWORK.")
        return await seed(connection, mint=token.mint, currency=_CURRENCY, payout_address=wallet)

    added = with_connection(work)
    print_json({"added": added}) if as_json else typer.echo(f"{added} services were added.")
