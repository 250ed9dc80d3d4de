"""`pay402 migrate`: the schema, up and down."""

import asyncio
import sys
from typing import Annotated

import typer
from rich.console import Console

import migrations
from cli.errors import NOT_CURRENT
from cli.help_style import PLAIN_HELP
from cli.printing import AsJson, print_json, shown_waiting
from cli.running import with_database
from migrations import MigrationStatus
from runtime.errors import OperatorError
from runtime.settings import DatabaseSettings, LoginSettings, load

app = typer.Typer(help="The schema: up, down, status, roles, dump.", no_args_is_help=True, **PLAIN_HELP)


@app.command()
def up(
    target: Annotated[str, typer.Argument(help="head, a revision, or +1")] = "head", as_json: AsJson = False
) -> None:
    """Bring the schema up to date. Any number of replicas may do so at once.

    Where API_DATABASE_URL, INDEXER_DATABASE_URL or WORKER_DATABASE_URL are set, the login that each names is made, or
    given the password that stands there, with the rights of its process and no others.

    Example: DATABASE_URL=postgresql://… pay402 migrate up
    """
    addresses = load(LoginSettings).by_role

    async def work(dsn: str) -> MigrationStatus:
        found = await migrations.upgrade(dsn, target)
        if addresses and found.is_current:
            await migrations.give_logins(dsn, addresses)
        return found

    with shown_waiting("migrating"):
        found = with_database(work)
    _print(found, as_json=as_json)


@app.command()
def down(
    target: Annotated[
        str, typer.Option("--to", help="A revision, -1 for one step, or base for an empty database")
    ] = "-1",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; production demands it")] = False,
    as_json: AsJson = False,
) -> None:
    """Take the schema down, one step unless told otherwise. What the tables hold is lost.

    Example: pay402 migrate down --to base
    """
    if not yes:
        _confirm(f"This drops tables and everything in them, down to {target}.")
    _print(with_database(lambda dsn: migrations.downgrade(dsn, target)), as_json=as_json)


@app.command()
def status(
    as_json: AsJson = False,
    check: Annotated[bool, typer.Option("--check", help="Exit with 3 unless the schema is current")] = False,
) -> None:
    """Show where the database's schema stands. It lists what is still to be applied.

    Example: pay402 migrate status --check
    """
    found = with_database(migrations.status)
    _print(found, as_json=as_json)
    if check and not found.is_current:
        raise typer.Exit(NOT_CURRENT)


@app.command()
def roles() -> None:
    """Give the roles of our processes their rights again. `up` does so too.

    The exit code is 1 when one has none; what a database administrator has to run is printed then.

    Example: pay402 migrate roles && psql -c "CREATE ROLE bob LOGIN PASSWORD '…' IN ROLE pay402_analytics"
    """
    from migrations.roles import create_statements, grants

    without = with_database(migrations.give_rights)
    if without:
        typer.echo(create_statements(), nl=False)
        raise OperatorError(
            f"{', '.join(without)} have no rights here, for this login may not give them; "
            "let a database administrator run what is printed above, then run this again as the owner of the tables."
        )
    typer.echo(f"{', '.join(grants())} have their rights, and no others.")


@app.command()
def dump() -> None:
    """Write migrations/schema.sql anew. For developers; it starts a Postgres for the purpose.

    Example: pay402 migrate dump && git diff migrations/schema.sql
    """
    from migrations.dump import SCHEMA_FILE, current_schema

    schema = asyncio.run(current_schema())
    try:
        SCHEMA_FILE.write_text(schema, encoding="utf-8")
    except OSError as error:
        raise OperatorError(
            f"{SCHEMA_FILE} cannot be written ({error.strerror}); run this in a checkout of your own."
        ) from error
    Console().print(f"wrote {SCHEMA_FILE}", highlight=False, soft_wrap=True)


def _confirm(warning: str) -> None:
    """Ask a person at a terminal; a script goes on, except in production, where it has to say --yes."""
    if load(DatabaseSettings).is_production:
        raise OperatorError(f"{warning} In production, say --yes to mean it.")
    if sys.stdin.isatty():
        typer.confirm(f"{warning} Go on?", abort=True)


def _print(found: MigrationStatus, *, as_json: bool) -> None:
    if as_json:
        print_json({"current": found.current, "head": found.head, "pending": list(found.pending)})
        return
    console = Console(highlight=False)
    if found.is_current:
        console.print(f"The schema is at [bold green]{found.current}[/], which is current.")
    elif found.is_unknown:
        console.print(f"The schema is at [bold red]{found.current}[/], newer than this version knows ({found.head}).")
    else:
        where = f"at [bold]{found.current}[/]" if found.current else "[bold]missing[/]"
        console.print(f"The schema is {where}; to be applied: [bold yellow]{', '.join(found.pending)}[/].")
