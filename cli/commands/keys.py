"""`pay402 keys`: API keys, for operators. The first admin key comes from here."""

import datetime as dt
from typing import Annotated

import asyncpg
import typer
from rich.table import Table
from rich.text import Text

from api.access.key_ring import NewKey, make_key
from cli.help_style import PLAIN_HELP
from cli.printing import AsJson, print_json, print_table
from cli.running import with_connection
from ledger.api_keys import (
    PERMISSIONS,
    ApiKey,
    NewApiKey,
    add_key,
    hold_key,
    list_keys,
    replace_key,
    revoke_key,
)
from runtime.errors import OperatorError

app = typer.Typer(help="Keys of the API: create, list, rotate, revoke.", no_args_is_help=True, **PLAIN_HELP)


@app.command()
def create(
    name: Annotated[str, typer.Option(help="A name for people")] = "operator",
    user: Annotated[str, typer.Option(help="The user (merchant) whose key it is")] = "operator",
    environment: Annotated[str, typer.Option(help="live or test")] = "live",
    admin: Annotated[bool, typer.Option("--admin", help="May see and do everything")] = False,
    read_only: Annotated[bool, typer.Option("--read-only", help="May read only")] = False,
    final_only: Annotated[
        bool, typer.Option("--final-only", help="Its claims are honoured by finalized payments only")
    ] = False,
    require_proof: Annotated[
        int, typer.Option("--require-proof-version", help="2: proofs must sign recipient and transaction", min=1, max=2)
    ] = 1,
    days: Annotated[int | None, typer.Option(help="Expires after so many days", min=1, max=36500)] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it. It is shown this once.

    Example: pay402 keys create --admin --name "Operations"
    """
    if environment not in {"live", "test"}:
        raise OperatorError(f"{environment!r} is no environment; give live or test.")
    if admin and read_only:
        raise OperatorError("A key is for admins or read-only, not both; leave one of the two out.")
    if not name.strip() or not user.strip():
        raise OperatorError("A key needs a name and a user; give both.")
    permissions = list(PERMISSIONS) if admin else ["read"] if read_only else ["read", "write"]
    new = make_key(environment)

    expires_at = dt.datetime.now(dt.UTC) + dt.timedelta(days=days) if days else None
    stored = NewApiKey(
        new.prefix, new.hash, user, name, environment, permissions, final_only, expires_at, proof_version=require_proof
    )

    async def work(connection: asyncpg.Connection) -> ApiKey | None:
        return await add_key(connection, stored)

    with_connection(work)
    if as_json:
        made = {"apiKey": new.key, "keyPrefix": new.prefix, "userId": user, "permissions": permissions}
        print_json(made)
    else:
        typer.echo(new.key)
        typer.echo(f"for {user}, may {', '.join(permissions)}; store it now, it is not shown again.", err=True)


@app.command("list")
def list_(
    user: Annotated[str | None, typer.Option(help="Only the keys of this user")] = None, as_json: AsJson = False
) -> None:
    """List the keys. Nobody can see a key itself again.

    Example: pay402 keys list --user operator
    """

    async def work(connection: asyncpg.Connection) -> list[ApiKey]:
        return await list_keys(connection, user)

    keys = with_connection(work)
    if as_json:
        print_json(keys)
        return
    table = Table("key", "name", "user", "environment", "may", "last used", "expires", "revoked")
    for key in keys:
        table.add_row(
            key.key_prefix,
            Text(key.name),
            Text(key.user_id),
            key.environment,
            ", ".join(key.permissions),
            *(f"{at:%Y-%m-%d %H:%M}" if at else "" for at in (key.last_used, key.expires_at)),
            "yes" if key.revoked else "",
        )
    print_table(table)


@app.command()
def rotate(
    key_prefix: Annotated[str, typer.Argument(help="The public beginning of the key")],
    grace_hours: Annotated[
        int, typer.Option(help="How long the old key stays good beside the new one", min=0, max=24 * 30)
    ] = 24,
    as_json: AsJson = False,
) -> None:
    """Make a key like this one and print it. The old one ends after the hours of grace.

    Example: pay402 keys rotate sk_live_0123456789 --grace-hours 1
    """

    async def work(connection: asyncpg.Connection) -> tuple[NewKey, ApiKey]:
        async with connection.transaction():
            old = await hold_key(connection, key_prefix)
            if old is None:
                raise OperatorError(f"There is no key {key_prefix!r}; see `pay402 keys list`.")
            if old.revoked_at is not None or not old.is_good:
                raise OperatorError(
                    f"The key {key_prefix} is revoked, replaced or expired; create one with `pay402 keys create`."
                )
            new = make_key(old.environment)
            stored = await replace_key(
                connection, old, new.prefix, new.hash, expires_at=old.expires_at, old_until=_in_hours(grace_hours)
            )
            return new, stored

    new, stored = with_connection(work)
    if as_json:
        print_json({"apiKey": new.key, "keyPrefix": new.prefix, "userId": stored.user_id, "replaces": key_prefix})
    else:
        typer.echo(new.key)
        until = f"{_in_hours(grace_hours):%Y-%m-%d %H:%M} UTC"
        typer.echo(
            f"replaces {key_prefix}, which is good until {until}; store it now, it is not shown again.", err=True
        )


def _in_hours(hours: int) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)


@app.command()
def revoke(
    key_prefix: Annotated[str, typer.Argument(help="The public beginning of the key")], as_json: AsJson = False
) -> None:
    """Revoke a key; every replica refuses it within 5 seconds.

    Example: pay402 keys revoke sk_live_0123456789
    """

    async def work(connection: asyncpg.Connection) -> bool:
        return await revoke_key(connection, key_prefix, dt.datetime.now(dt.UTC))

    if not with_connection(work):
        raise OperatorError(f"There is no key {key_prefix!r}; see `pay402 keys list`.")
    print_json({"revoked": key_prefix}) if as_json else typer.echo(f"Revoked {key_prefix}.")
