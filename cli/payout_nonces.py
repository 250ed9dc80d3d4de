"""`pay402 payouts nonce`: accounts by which a payout can be signed days after it was exported."""

import asyncio
from typing import Annotated, Final

import typer
from rich.table import Table
from solders.keypair import Keypair
from solders.transaction import Transaction

from chain.lifetimes import latest_blockhash_of_all
from chain.nonces import NONCE_BYTES, creation, nonce_state
from chain.sending import offer_everywhere, rent_exempt_lamports
from cli.contexts import with_worker_context
from cli.help_style import PLAIN_HELP
from cli.printing import AsJson, print_json, print_table, time_text
from cli.registration import wallet_address
from runtime.errors import OperatorError
from runtime.keypairs import read_keypair
from worker.context import WorkerContext
from worker.payouts.exports import void_nonce
from worker.payouts.nonces import NonceUnusableError, seen_nonces
from worker.payouts.rows import NonceUse, uses_of_nonce

app = typer.Typer(
    help="Nonce accounts, so that a signature may take days: create, show, void. "
    "Example: pay402 payouts nonce create --payer payer.json",
    no_args_is_help=True,
    **PLAIN_HELP,
)

_SHOWN: Final = 20
_SECONDS: Final = 60
Account = Annotated[str, typer.Argument(help="The address of the nonce account")]


@app.command()
def create(
    payer: Annotated[str, typer.Option(help="The key that pays its rent, 0.0015 SOL: a file that you alone read")],
    authority: Annotated[str | None, typer.Option(help="Who is to use it; SETTLEMENT_WALLET without it")] = None,
    as_json: AsJson = False,
) -> None:
    """Open a nonce account. One serves one payout at a time, and again once that has settled.

    The payer can neither use nor close it: the settlement wallet alone can.

    Example: pay402 payouts nonce create --payer payer.json
    """
    key, account = read_keypair(payer, "--payer"), Keypair()

    async def work(context: WorkerContext) -> str:
        owner = authority or context.settings.settlement_wallet
        if owner is None:
            raise OperatorError("Nobody is named to use it; set SETTLEMENT_WALLET or give --authority.")
        pool, address = context.node.pool, str(account.pubkey())
        lamports = await rent_exempt_lamports(pool, NONCE_BYTES)
        lifetime = await latest_blockhash_of_all(pool)
        if lifetime is None:
            raise OperatorError("Too few nodes answer; mend the one that is away, or set RPC_WITNESSES=1.")
        message = creation(key, account, wallet_address(owner), lamports, lifetime.blockhash)
        # Before it can exist, so that it is known whatever happens then.
        typer.echo(f"opening the nonce account {address}", err=True)
        wire = bytes(Transaction([key, account], message, message.recent_blockhash))
        await offer_everywhere(pool, wire, preflight=True)
        for _ in range(_SECONDS):
            seen = (await seen_nonces(context.node, [address]))[address]
            if len(seen) >= pool.agreeing_min and all(one.state is not None for one in seen):
                return address
            await asyncio.sleep(1.0)
        raise OperatorError(f"The nonce account {address} is not final yet; see `pay402 payouts nonce show {address}`.")

    address = with_worker_context(work)
    if as_json:
        print_json({"nonceAccount": address})
    else:
        typer.echo(address)


@app.command()
def show(account: Account, as_json: AsJson = False) -> None:
    """Show what a nonce account holds, and which payouts were exported under it.

    Example: pay402 payouts nonce show "$NONCE_ACCOUNT"
    """
    address = wallet_address(account)

    async def work(context: WorkerContext) -> tuple[str, str, list[NonceUse]]:
        _, found = await context.node.account(address, commitment="finalized")
        state = nonce_state(found)
        if state is None:
            raise OperatorError(f"{address} is no nonce account; create one by `pay402 payouts nonce create`.")
        return state.authority, state.value, await uses_of_nonce(context.database, address, limit=_SHOWN)

    authority, value, uses = with_worker_context(work)
    if as_json:
        print_json({"nonceAccount": address, "authority": authority, "value": value, "uses": uses})
        return
    typer.echo(f"authority  {authority}\nvalue      {value}")
    if uses:
        table = Table("payout", "exported", "signed", "can land")
        for use in uses:
            can_land = "yes" if use.nonce_value == value else "no"
            table.add_row(str(use.payout_id), time_text(use.created_at), "yes" if use.signature else "no", can_land)
        print_table(table)


@app.command()
def void(
    account: Account,
    _as_json: Annotated[bool, typer.Option("--json", help="For scripts; the line is JSON without it too")] = False,
) -> None:
    """Print a line to sign by which nothing exported under a nonce account can land any more.

    It goes the way of payouts, through `sign` and `import`. Where the payout lands first, it is paid.

    Example: pay402 payouts nonce void "$NONCE_ACCOUNT" > to-sign.jsonl
    """
    address = wallet_address(account)

    async def work(context: WorkerContext) -> tuple[str, str]:
        try:
            return await void_nonce(context, address)
        except NonceUnusableError as error:
            raise OperatorError(f"{address} cannot be advanced: {error}; see `pay402 payouts nonce show`.") from None

    wallet, transaction = with_worker_context(work)
    print_json({"void": address, "wallet": wallet, "transaction": transaction})
