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

from chain.addresses import NotAWalletError, parse_address, slot_of_wallet
from chain.node import Node
from chain.rpc import RpcError, RpcLimits, RpcPool
from cli.system.localnet_address import solana_endpoints
from ledger.recipients import (
    RecordedRecipient,
    Registration,
    all_recipients,
    find_recipient,
    followed_from,
    register_wallet,
    stop_following,
)
from migrations.status import check_current
from runtime.database import open_connection
from runtime.embedded import servers as embedded
from runtime.errors import OperatorError
from runtime.logging import configure_logging
from runtime.settings import DatabaseSettings, SolanaSettings, load

app = typer.Typer(help="Wallets to follow: add, list, remove.", no_args_is_help=True, rich_markup_mode=None)

T = TypeVar("T")
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

    async def work(connection: asyncpg.Connection) -> Registration:
        return await register(connection, settings, wallet, user=user, label=label, from_genesis=from_genesis)

    registration = _with_connection(settings, work)
    recipient = registration.recipient
    if as_json:
        fields = {name: getattr(recipient, name) for name in ("address", "user_id", "followed_from_slot")}
        typer.echo(msgspec.json.encode({**fields, "is_new": registration.is_new}).decode())
    else:
        typer.echo(f"{'Following' if registration.is_new else 'Already known, following'} {recipient.address}")
        typer.echo(f"from slot {recipient.followed_from_slot} on, for user {recipient.user_id}.")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the wallets, with what the ledger holds of each.

    Example: pay402 recipients list --json | jq '.[].address'
    """
    found = _with_connection(load(DatabaseSettings), all_recipients)
    if as_json:
        typer.echo(msgspec.json.encode([_listed(one) for one in found]).decode())
        return
    if not found:
        typer.echo("No wallets yet; add one with `pay402 recipients add ADDRESS`.")
        return
    # An address that is cut short is of no use.
    wallet = Column("wallet", no_wrap=True, min_width=_ADDRESS_CHARACTERS)
    table = Table(wallet, "user", "label", "followed", "accounts", "transfers", "note")
    for one in found:
        recipient = one.recipient
        since = f"from slot {recipient.followed_from_slot}" if recipient.is_active else "no longer"
        counts = (str(one.token_accounts), str(one.transfers))
        # What people and nodes wrote is text, whatever brackets are in it.
        user, label, note = (Text(text or "") for text in (recipient.user_id, recipient.label, one.heal_reason))
        table.add_row(recipient.address, user, label, since, *counts, note)
    Console(width=None if sys.stdout.isatty() else _WIDTH_IN_FILES).print(table)


def _listed(one: RecordedRecipient) -> dict[str, Any]:
    """The wallet for scripts."""
    recipient = one.recipient
    return {
        "address": recipient.address,
        "user_id": recipient.user_id,
        "label": recipient.label,
        "followed_from_slot": recipient.followed_from_slot,
        "active": recipient.is_active,
        "created_at": recipient.created_at,
        "accounts": one.token_accounts,
        "transfers": one.transfers,
        "heal_reason": one.heal_reason,
    }


@app.command()
def remove(
    address: Annotated[str, typer.Argument(help="The wallet to stop following")], as_json: AsJson = False
) -> None:
    """Stop following a wallet; what the ledger holds of it stays.

    Example: pay402 recipients remove 7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q
    """

    async def work(connection: asyncpg.Connection) -> bool:
        return await stop_following(connection, address)

    if not _with_connection(load(DatabaseSettings), work):
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
) -> Registration:
    """Follow the wallet `address` from the chain's newest slot on, or from its first transaction.

    Without a `user` it stays whose it was, or becomes the operator's.

    Raises:
        OperatorError: It is no address, no wallet, or another user's, or the chain cannot be asked.
    """
    wallet = _wallet(address)
    newest_slot = await _slot_of_wallet(settings, wallet)
    before = await find_recipient(database, wallet)
    registration = await register_wallet(
        database,
        address=wallet,
        user_id=user or (before.user_id if before else _OPERATOR),
        label=label,
        followed_from_slot=0 if from_genesis else followed_from(newest_slot),
    )
    if registration is None:
        owner = before.user_id if before else "somebody else"
        raise OperatorError(f"{wallet} belongs to the user {owner}; give --user {owner}, or another wallet.")
    return registration


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
