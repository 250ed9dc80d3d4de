"""`pay402 migrate`: the schema, up and down."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import msgspec
import typer
from rich.console import Console

from pay402 import migrations
from pay402.migrations import MigrationStatus
from pay402.migrations.dump import SCHEMA_FILE, dump_schema
from pay402.runtime import embedded
from pay402.runtime.logging import configure_logging
from pay402.runtime.settings import DatabaseSettings, load

app = typer.Typer(help="The schema: up, down, status, dump.", no_args_is_help=True, rich_markup_mode=None)

T = TypeVar("T")


@app.command()
def up(target: Annotated[str, typer.Argument(help="A version")] = "head") -> None:
    """Bring the schema up to date. Any number of replicas may do so at once.

    Example: DATABASE_URL=postgresql://… pay402 migrate up
    """
    _print(_with_database(lambda dsn: migrations.upgrade(dsn, target)))


@app.command()
def down(
    target: Annotated[str, typer.Argument(help="A version, -1 for one step, or base for nothing")] = "-1",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
) -> None:
    """Take the schema down; what the versions hold is lost.

    Example: pay402 migrate down -- -1
    """
    if not yes:
        typer.confirm(f"This drops tables and everything in them, down to {target}. Go on?", abort=True)
    _print(_with_database(lambda dsn: migrations.downgrade(dsn, target)))


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="For scripts")] = False) -> None:
    """Show where the database stands; exit code 3 when versions are pending."""
    found = _with_database(migrations.status)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        _print(found)
    if not found.is_current:
        raise typer.Exit(3)


@app.command()
def dump() -> None:
    """Write the readable schema file from the database, which must be migrated."""

    async def made(dsn: str) -> str:
        await migrations.check_current(dsn)
        return await asyncio.to_thread(dump_schema, dsn)

    SCHEMA_FILE.write_text(_with_database(made), encoding="utf-8")
    typer.echo(f"wrote {SCHEMA_FILE.name}")


def _with_database(work: Callable[[str], Awaitable[T]]) -> T:
    async def main() -> T:
        async with embedded.database(settings) as dsn:
            return await work(dsn)

    settings = load(DatabaseSettings)
    configure_logging(settings.log_level)
    return asyncio.run(main())


def _print(found: MigrationStatus) -> None:
    console = Console()
    if found.is_current:
        console.print(f"The schema is at {found.current}, which is current.")
    elif not found.known:
        console.print(f"The schema is at {found.current}, which this version of pay402 does not know.")
    else:
        console.print(f"The schema is at {found.current or 'nothing'}; pending: {', '.join(found.pending)}.")
