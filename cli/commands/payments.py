"""`pay402 payments`: the transfers that wallets received, each with the claim that took it."""

import asyncio
import datetime as dt
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any, Final

import asyncpg
import typer

from cli.help_style import PLAIN_HELP
from cli.moments import as_utc
from cli.payment_lines import Tokens, one_line, payment_json, print_list, print_one
from cli.printing import AsJson, print_json
from cli.registration import wallet_address
from cli.running import run_to_end, settings_for, with_connection, with_pool
from ledger.sql import Database
from ledger.tokens import tokens_of_mints
from ledger.transfers import (
    TRANSFERS_CHANNEL,
    RecordedTransfer,
    TransferFilter,
    page_of_transfers,
    settled_signatures,
    signatures_beginning_with,
    transfers_of_transaction,
)
from migrations.status import check_current
from runtime.database import open_connection
from runtime.embedded.servers import database_address
from runtime.errors import OperatorError
from runtime.settings import DatabaseSettings

app = typer.Typer(help="What wallets received: list, show, watch.", no_args_is_help=True, **PLAIN_HELP)

_BEGINNING_CHARACTERS_MIN: Final = 6
_WAITING_MAX: Final = 10_000
_SHOWN_MAX: Final = 10_000
_LOOKED_AT_MAX: Final = 1_000
_LOOK_SECONDS: Final = 1.0

User = Annotated[str | None, typer.Option(help="Of one user's (merchant's) wallets alone")]


@app.command("list")
def list_(
    user: User = None,
    to: Annotated[str | None, typer.Option(help="To this wallet alone")] = None,
    payer: Annotated[str | None, typer.Option("--from", help="From this wallet alone")] = None,
    token: Annotated[str | None, typer.Option(help="In this mint alone, by its address")] = None,
    final_only: Annotated[bool, typer.Option("--final", help="Only what is final")] = False,
    since: Annotated[dt.datetime | None, typer.Option(help="Recorded from this moment on, UTC")] = None,
    until: Annotated[dt.datetime | None, typer.Option(help="Recorded before this moment, UTC")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most")] = 20,
    as_json: AsJson = False,
) -> None:
    """List payments, newest first. Where the terminal is narrow, signatures and wallets are shortened in the middle.

    Example: pay402 payments list --user merchant --limit 50
    """
    wanted = TransferFilter(
        user_id=user,
        recipient=wallet_address(to) if to else None,
        payer=wallet_address(payer) if payer else None,
        mint=wallet_address(token) if token else None,
        finalities=["finalized"] if final_only else None,
        since=as_utc(since),
        until=as_utc(until),
    )

    async def work(pool: "asyncpg.Pool[Any]") -> tuple[list[RecordedTransfer], Tokens]:
        found = await page_of_transfers(pool, wanted, after=None, limit=limit)
        return found, await _tokens(pool, found)

    transfers, tokens = with_pool(work)
    if as_json:
        print_json([payment_json(one, tokens) for one in transfers])
    elif not transfers:
        typer.echo("No such payments; `pay402 recipients list` shows which wallets are followed.")
    else:
        print_list(transfers, tokens)


@app.command()
def show(
    signature: Annotated[str, typer.Argument(help="The transaction's signature, or the beginning of it")],
    as_json: AsJson = False,
) -> None:
    """Show all that one transaction paid to followed wallets.

    Example: pay402 payments show 5KtPn1LGuxhFiwjxErkxTb3XHXbD4nyx
    """

    async def work(connection: asyncpg.Connection) -> tuple[list[RecordedTransfer], Tokens]:
        found = await transfers_of_transaction(connection, await _whole(connection, signature), user_id=None)
        return found, await _tokens(connection, found)

    transfers, tokens = with_connection(work)
    if not transfers:
        raise OperatorError(
            f"The transaction {signature} paid nothing to a wallet that is followed; see `pay402 payments list`."
        )
    if as_json:
        print_json([payment_json(one, tokens) for one in transfers])
        return
    for one in transfers:
        print_one(one, tokens)


@app.command()
def watch(user: User = None, as_json: AsJson = False) -> None:
    """Print payments as they are recorded. Each is printed again when it is final; Ctrl-C ends it.

    Example: pay402 payments watch --user merchant
    """
    settings = settings_for(DatabaseSettings, level="error")

    async def main(stop: asyncio.Event) -> None:
        async with database_address(settings) as dsn:
            await check_current(dsn)
            async with open_connection(dsn) as connection:
                watching = asyncio.ensure_future(_Watch(connection, user, as_json=as_json).run())
                stopping = asyncio.ensure_future(stop.wait())
                await asyncio.wait({watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
                stopping.cancel()
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching

    run_to_end(main)


class _Changes:
    """The signatures of which the ledger has something new, in order, as the database notifies of them."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._signatures: asyncio.Queue[str] = asyncio.Queue()

    async def listen(self) -> None:
        """Take what the database notifies of from now on."""
        await self._connection.add_listener(TRANSFERS_CHANNEL, self._notified)

    def _notified(self, _connection: object, _pid: int, _channel: str, signatures: object) -> None:
        for signature in str(signatures).split():
            self._signatures.put_nowait(signature)

    async def next(self) -> str | None:
        """The next signature; `None` after a second without any.

        Raises:
            OperatorError: The connection is lost, or they arrive faster than they are taken.
        """
        if self._connection.is_closed():
            raise OperatorError("The connection to the database was lost; run the same command again.")
        if self._signatures.qsize() > _WAITING_MAX:
            raise OperatorError("Payments arrive faster than they can be printed; watch one user with --user.")
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS):
                return await self._signatures.get()
        return None


class _Watch:
    """Prints each payment when it is recorded, and again when it is final or reversed."""

    def __init__(self, connection: asyncpg.Connection, user: str | None, *, as_json: bool) -> None:
        self._connection, self._user, self._as_json = connection, user, as_json
        # By signature and path, in the order in which they were recorded: the finality that was printed.
        self._printed: OrderedDict[tuple[str, str], str] = OrderedDict()

    async def run(self) -> None:
        """Print until cancelled."""
        changes = _Changes(self._connection)
        await changes.listen()
        if not self._as_json:
            typer.echo("Watching; Ctrl-C ends it.", err=True)
        looked_at = time.monotonic()
        while True:
            signature = await changes.next()
            if signature is not None:
                await self._print(signature)
            # The ledger notifies of what is new, and not of what has become final.
            if time.monotonic() - looked_at >= _LOOK_SECONDS:
                for one in await self._settled():
                    await self._print(one)
                looked_at = time.monotonic()

    async def _settled(self) -> list[str]:
        waiting = [
            signature for (signature, _), finality in self._printed.items() if finality in {"pending", "confirmed"}
        ]
        return await settled_signatures(self._connection, waiting[:_LOOKED_AT_MAX]) if waiting else []

    async def _print(self, signature: str) -> None:
        transfers = await transfers_of_transaction(self._connection, signature, user_id=self._user)
        tokens = await _tokens(self._connection, transfers)
        for one in transfers:
            # Of one that was printed as it stands, only the claim has changed.
            if self._printed.get((one.signature, one.path)) != one.finality:
                self._printed[one.signature, one.path] = one.finality
                print_json(payment_json(one, tokens)) if self._as_json else typer.echo(one_line(one, tokens))
        while len(self._printed) > _SHOWN_MAX:
            self._printed.popitem(last=False)


async def _whole(connection: asyncpg.Connection, beginning: str) -> str:
    """The signature that begins so.

    Raises:
        OperatorError: There is none, or more than one.
    """
    if len(beginning) < _BEGINNING_CHARACTERS_MIN:
        raise OperatorError(f"{beginning!r} is too short; give {_BEGINNING_CHARACTERS_MIN} characters of it or more.")
    found = await signatures_beginning_with(connection, beginning, limit=2)
    if not found:
        raise OperatorError(
            f"No recorded transaction's signature begins with {beginning!r}; see `pay402 payments list`."
        )
    if len(found) > 1:
        raise OperatorError(f"More than one signature begins with {beginning!r}; give more of it.")
    return found[0]


async def _tokens(database: Database, transfers: Sequence[RecordedTransfer]) -> Tokens:
    return await tokens_of_mints(database, {one.mint for one in transfers})
