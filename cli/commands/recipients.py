"""`pay402 recipients`: the wallets to follow."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import asyncpg
import msgspec
import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from chain.addresses import parse_address
from chain.node import Node
from chain.rpc import RpcError, RpcLimits, RpcPool
from chain.wallets import NotAWalletError, slot_of_wallet
from cli.system.localnet_address import solana_endpoints
from ledger.recipients import followed_from
from ledger.sql import load_queries
from migrations.status import check_current
from runtime.database import open_connection
from runtime.embedded import servers as embedded
from runtime.errors import OperatorError
from runtime.logging import configure_logging
from runtime.settings import DatabaseSettings, SolanaSettings, load

app = typer.Typer(help="Wallets to follow: add, list, remove.", no_args_is_help=True, rich_markup_mode=None)

T = TypeVar("T")
_queries = load_queries("ledger", "recipients.sql")
_OPERATOR = "operator"
_ADDRESS_CHARACTERS = 44
_WIDTH_IN_FILES = 160
AsJson = Annotated[bool, typer.Option("--json", help="For scripts")]


class _CommandSettings(DatabaseSettings, SolanaSettings):
    pass


@app.command()
def add(
    address: Annotated[str, typer.Argument(help="The wallet that is paid, not one of its token accounts")],
    user: Annotated[str | None, typer.Option(help="The user (merchant) it belongs to; at first: operator")] = None,
    label: Annotated[str | None, typer.Option(help="A name for people")] = None,
    from_genesis: Annotated[
        bool, typer.Option("--from-genesis", help="Record its whole history, not only what comes from now on")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Follow a wallet. A running indexer takes it up at once.

    Example: pay402 recipients add 7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q --label "API sales"
    """
    settings = load(_CommandSettings)
    wallet = _wallet(address)  # before anything is opened for it

    async def work(connection: asyncpg.Connection) -> Any:
        return await register(connection, settings, wallet, user=user, label=label, from_genesis=from_genesis)

    row = _with_connection(settings, work)
    if as_json:
        fields = ("address", "user_id", "followed_from_slot", "is_new")
        typer.echo(msgspec.json.encode({name: row[name] for name in fields}).decode())
    else:
        typer.echo(f"{'Following' if row['is_new'] else 'Already known, following'} {row['address']}")
        typer.echo(f"from slot {row['followed_from_slot']} on, for user {row['user_id']}.")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the wallets, with what the ledger holds of each.

    Example: pay402 recipients list --json | jq '.[].address'
    """

    async def work(connection: asyncpg.Connection) -> list[Any]:
        return [row async for row in _queries.recipients(connection)]

    rows = _with_connection(load(DatabaseSettings), work)
    if as_json:
        typer.echo(msgspec.json.encode([dict(row) for row in rows]).decode())
        return
    if not rows:
        typer.echo("No wallets yet; add one with `pay402 recipients add ADDRESS`.")
        return
    # An address that is cut short is of no use.
    wallet = Column("wallet", no_wrap=True, min_width=_ADDRESS_CHARACTERS)
    table = Table(wallet, "user", "label", "followed", "accounts", "transfers", "note")
    for row in rows:
        since = f"from slot {row['followed_from_slot']}" if row["active"] else "no longer"
        counts = (str(row["accounts"]), str(row["transfers"]))
        # What people and nodes wrote is text, whatever brackets are in it.
        user, label, note = (Text(row[name] or "") for name in ("user_id", "label", "heal_reason"))
        table.add_row(row["address"], user, label, since, *counts, note)
    Console(width=None if sys.stdout.isatty() else _WIDTH_IN_FILES).print(table)


@app.command()
def remove(
    address: Annotated[str, typer.Argument(help="The wallet to stop following")], as_json: AsJson = False
) -> None:
    """Stop following a wallet; what the ledger holds of it stays.

    Example: pay402 recipients remove 7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q
    """

    async def work(connection: asyncpg.Connection) -> Any:
        return await _queries.remove_recipient(connection, address=address)

    if _with_connection(load(DatabaseSettings), work) is None:
        raise OperatorError(f"{address} is not followed; see `pay402 recipients list`.")
    typer.echo(msgspec.json.encode({"removed": address}).decode() if as_json else f"No longer following {address}.")


async def register(
    database: asyncpg.Connection | asyncpg.Pool,
    settings: SolanaSettings,
    address: str,
    *,
    user: str | None,
    label: str | None = None,
    from_genesis: bool = False,
) -> Any:
    """Follow the wallet `address` from the chain's newest slot on, or from its first transaction.

    Without a `user` it stays whose it was, or becomes the operator's.

    Raises:
        OperatorError: It is no address, no wallet, or another user's, or the chain cannot be asked.
    """
    wallet = _wallet(address)
    newest_slot = await _slot_of_wallet(settings, wallet)
    before = await _queries.recipient(database, address=wallet)
    row = await _queries.add_recipient(
        database,
        address=wallet,
        user_id=user or (before["user_id"] if before else _OPERATOR),
        label=label,
        followed_from_slot=0 if from_genesis else followed_from(newest_slot),
    )
    if row is None:
        owner = before["user_id"] if before else "somebody else"
        raise OperatorError(f"{wallet} belongs to the user {owner}; give --user {owner}, or another wallet.")
    return row


def _wallet(address: str) -> str:
    wallet = parse_address(address)
    if wallet is None:
        raise OperatorError(f"{address!r} is not a Solana address; give the base58 address of a wallet.")
    return wallet


async def _slot_of_wallet(settings: SolanaSettings, wallet: str) -> int:
    """The slot from which `wallet` is followed: the newest one. Refuses what cannot be a wallet."""
    urls, _ = solana_endpoints(settings)
    remedy = "correct SOLANA_RPC_URL or try again" if settings.rpc_urls else "start `pay402 up` again"
    limits = RpcLimits(
        answer_seconds=10.0, attempts=4, call_seconds=15.0, requests_per_second=settings.rpc_requests_per_second
    )
    try:
        async with RpcPool(urls, limits) as pool:
            return await slot_of_wallet(Node(pool), wallet)
    except NotAWalletError as error:
        raise OperatorError(str(error)) from None
    except RpcError as error:
        raise OperatorError(f"The wallet cannot be checked on chain: {error}; {remedy}.") from error


def _with_connection(settings: DatabaseSettings, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
    async def main() -> T:
        async with embedded.database(settings) as dsn:
            await check_current(dsn)
            async with open_connection(dsn) as connection:
                return await work(connection)

    configure_logging(settings)
    return asyncio.run(main())
