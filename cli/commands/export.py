"""`pay402 export`: transfers, claims or payouts of a time range, as CSV or Parquet."""

import asyncio
import datetime as dt
import os
import sys
from typing import Annotated, Final

import typer

from cli.exports.export import Format, Subject, Wanted, export
from cli.exports.output import written
from cli.exports.parquet import require_pyarrow
from cli.moments import as_utc
from cli.running import settings_for
from runtime.embedded.servers import database_address
from runtime.errors import OperatorError
from runtime.process import run_until_signal
from runtime.settings import DatabaseSettings

_BEGINNING: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_BROKEN_PIPE: Final = 141  # as of a program that SIGPIPE ended


def command(
    subject: Annotated[Subject, typer.Argument(help="What to export")],
    output: Annotated[str, typer.Option("--output", "-o", help="A file, or - for standard output")] = "-",
    format_: Annotated[Format, typer.Option("--format", help="Parquet needs pyarrow; the image has it")] = Format.CSV,
    since: Annotated[dt.datetime | None, typer.Option(help="First moment, UTC; default: the beginning")] = None,
    until: Annotated[dt.datetime | None, typer.Option(help="First moment that is left out, UTC; default: now")] = None,
    user: Annotated[str | None, typer.Option(help="Only this merchant's")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if there is one")] = False,
) -> None:
    """Export transfers, claims or payouts of a time range, oldest first, as one moment knows them.

    Amounts are base units, exact, beside the figure in units of the token as text. Any number of rows takes the same
    memory. A file appears when it is whole, and not before.

    Example: pay402 export claims --since 2026-01-01 --until 2026-02-01 --format parquet -o january.parquet
    """
    settings = settings_for(DatabaseSettings)
    if format_ is Format.PARQUET:
        require_pyarrow()
    wanted = Wanted(as_utc(since) or _BEGINNING, as_utc(until) or dt.datetime.now(dt.UTC), user)
    if wanted.since >= wanted.until:
        raise OperatorError("The range is empty, for --until is not after --since; correct one of them.")

    async def main(_: asyncio.Event) -> int:
        with written(output, force=force) as file:
            async with database_address(settings) as dsn:
                return await export(dsn, subject, format_, wanted, file)

    try:
        # Nothing is worth finishing when a signal comes: an export is whole or not there.
        rows = run_until_signal(main, drain_seconds=0.0)
    except BrokenPipeError:
        # Whoever read standard output has enough; nothing more is to be flushed there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(_BROKEN_PIPE) from None
    place = "standard output" if output == "-" else output
    typer.echo(f"export: {rows} {subject.value} to {place}", err=True)
