"""`pay402 seed`: offer some examples on the marketplace."""

from typing import Annotated

import typer

from chain.programs import TOKENS
from cli.printing import AsJson, print_json
from cli.running import with_worker_context
from ledger.example_services import seed
from runtime.errors import OperatorError
from worker.context import WorkerContext

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

    async def work(context: WorkerContext) -> int:
        settings = context.settings
        if settings.is_production and not confirm:
            raise OperatorError("Examples do not belong into production; repeat it with --confirm if they do.")
        wallet = settings.settlement_wallet or (context.signer.address if context.signer else None)
        if wallet is None:
            raise OperatorError("The examples are paid to the settlement wallet; set SETTLEMENT_WALLET.")
        network = "devnet" if settings.solana_network == "localnet" else settings.solana_network
        mint = next((t.mint for t in TOKENS if t.symbol == _CURRENCY and t.network == network), None)
        if mint is None:
            raise OperatorError(f"There is no {_CURRENCY} on {network}; choose another SOLANA_NETWORK.")
        return await seed(context.database, mint=mint, currency=_CURRENCY, payout_address=wallet)

    added = with_worker_context(work)
    print_json({"added": added}) if as_json else typer.echo(f"{added} services were added.")
