"""`pay402 recipients`: the wallets to follow."""

from typing import Annotated, Any, Final

import asyncpg
import typer
from rich.table import Table
from rich.text import Text

from cli.help_style import PLAIN_HELP
from cli.printing import AsJson, print_json, print_table
from cli.running import with_connection
from ledger.recipients import (
    MovedToTests,
    RecordedRecipient,
    Registration,
    all_recipients,
    move_to_tests,
    stop_following,
)
from runtime.errors import OperatorError
from runtime.settings import SolanaSettings, load

app = typer.Typer(help="Wallets to follow: add, list, for-tests, remove.", no_args_is_help=True, **PLAIN_HELP)


@app.command()
def add(
    address: Annotated[str, typer.Argument(help="The wallet that is paid, not one of its token accounts")],
    user: Annotated[str | None, typer.Option(help="The user (merchant) it belongs to; at first: operator")] = None,
    label: Annotated[str | None, typer.Option(help="A name for people")] = None,
    from_genesis: Annotated[
        bool, typer.Option("--from-genesis", help="Record its whole history, not only what comes from now on")
    ] = False,
    environment: Annotated[str, typer.Option(help="live, or test: for payments that test keys verify")] = "live",
    as_json: AsJson = False,
) -> None:
    """Follow a wallet. A running indexer takes it up at once.

    Example: pay402 recipients add 7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q --label "API sales"
    """
    # Late: only this subcommand asks the chain, whose libraries take longer to import than the others to answer.
    from cli.registration import register, wallet_address

    if environment not in {"live", "test"}:
        raise OperatorError(f"{environment!r} is no environment; give live or test.")
    settings = load(SolanaSettings)
    wallet = wallet_address(address)  # before anything is opened for it

    async def work(connection: asyncpg.Connection) -> Registration:
        return await register(
            connection,
            settings,
            wallet,
            user=user,
            label=label,
            from_genesis=from_genesis,
            environment=environment,
        )

    registration = with_connection(work)
    recipient = registration.recipient
    if as_json:
        fields = {name: getattr(recipient, name) for name in ("address", "user_id", "followed_from_slot")}
        print_json({**fields, "is_new": registration.is_new})
    else:
        typer.echo(f"{'Following' if registration.is_new else 'Already known, following'} {recipient.address}")
        typer.echo(f"from slot {recipient.followed_from_slot} on, for user {recipient.user_id}.")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the wallets, with what the ledger holds of each.

    Example: pay402 recipients list --json | jq '.[].address'
    """
    found = with_connection(all_recipients)
    if as_json:
        print_json([_listed(one) for one in found])
        return
    if not found:
        typer.echo("No wallets yet; add one with `pay402 recipients add ADDRESS`.")
        return
    table = Table("wallet", "user", "label", "followed", "accounts", "transfers", "note")
    for one in found:
        recipient = one.recipient
        since = f"from slot {recipient.followed_from_slot}" if recipient.is_active else "no longer"
        since += ", for tests" if recipient.environment == "test" else ""
        counts = (str(one.token_accounts), str(one.transfers))
        # What people and nodes wrote is text, whatever brackets are in it.
        user, label, note = (Text(text or "") for text in (recipient.user_id, recipient.label, one.heal_reason))
        table.add_row(recipient.address, user, label, since, *counts, note)
    print_table(table)


def _listed(one: RecordedRecipient) -> dict[str, Any]:
    """The wallet for scripts."""
    recipient = one.recipient
    return {
        "address": recipient.address,
        "user_id": recipient.user_id,
        "label": recipient.label,
        "followed_from_slot": recipient.followed_from_slot,
        "active": recipient.is_active,
        "environment": recipient.environment,
        "created_at": recipient.created_at,
        "accounts": one.token_accounts,
        "transfers": one.transfers,
        "heal_reason": one.heal_reason,
    }


_HELD_BY: Final = {
    "payments": "live payments to it were honoured, which count in its user's live totals; give another wallet",
    "claims": "live claims of payments to it are pending; wait until they are decided",
    "requests": "live payment requests to it can still be paid, or perhaps were in time and that is not recorded yet; "
    "wait until they have been expired for WORKER_LATE_SECONDS",
    "settlements": "live payments to it over x402 are under way; wait until they are decided",
    "jobs": "live jobs are paid to it; wait until their money has left it",
}


@app.command()
def for_tests(
    address: Annotated[str, typer.Argument(help="A wallet that is registered as live")], as_json: AsJson = False
) -> None:
    """Make a live wallet one for tests, so that test keys take payments to it. Refused while anything live needs it.

    `pay402 recipients add` makes it live again.

    Example: pay402 recipients for-tests 7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q
    """
    # Late: only this subcommand needs them.
    from worker.settings import WorkerSettings

    late_seconds = load(WorkerSettings).late_seconds

    async def work(connection: asyncpg.Connection) -> MovedToTests | None:
        return await move_to_tests(connection, address.strip(), late_seconds=late_seconds)

    moved = with_connection(work)
    if moved is None:
        raise OperatorError(f"{address} was never registered; see `pay402 recipients list`.")
    if moved.held_by is not None:
        raise OperatorError(f"{address} stays live: {_HELD_BY[moved.held_by]}.")
    if as_json:
        print_json({"address": address.strip(), "environment": "test", "is_moved": moved.is_moved})
    else:
        typer.echo(f"{address.strip()} is {'for tests from now on' if moved.is_moved else 'for tests already'}.")


@app.command()
def remove(
    address: Annotated[str, typer.Argument(help="The wallet to stop following")], as_json: AsJson = False
) -> None:
    """Stop following a wallet; what the ledger holds of it stays.

    Example: pay402 recipients remove 7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q
    """

    async def work(connection: asyncpg.Connection) -> bool:
        return await stop_following(connection, address)

    if not with_connection(work):
        raise OperatorError(f"{address} is not followed; see `pay402 recipients list`.")
    print_json({"removed": address}) if as_json else typer.echo(f"No longer following {address}.")
