"""`pay402 export`: transfers, claims or payouts of a time range, as CSV or Parquet."""

import asyncio
import datetime as dt
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from tempfile import mkstemp
from typing import Annotated, Any, BinaryIO, Final

import typer
from rich.console import Console

from cli.exports.parquet import require_pyarrow, write_parquet
from ledger.sql import load_queries
from migrations.status import check_current
from runtime.database import open_connection
from runtime.embedded import servers as embedded
from runtime.errors import OperatorError
from runtime.logging import configure_logging
from runtime.process import run_until_signal
from runtime.settings import DatabaseSettings, load

_queries = load_queries("cli.exports", "export.sql")
_STATEMENT_SECONDS: Final = 4 * 3600.0
_BEGINNING: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MEGABYTE: Final = 1_000_000
_BROKEN_PIPE: Final = 141  # as of a program that SIGPIPE ended


class Subject(StrEnum):
    """What can be exported."""

    TRANSFERS = "transfers"
    CLAIMS = "claims"
    PAYOUTS = "payouts"


class Format(StrEnum):
    """How it is written."""

    CSV = "csv"
    PARQUET = "parquet"


# Each takes the first moment, the moment after the last, and a merchant, in this order.
_STATEMENTS: Final = {
    Subject.TRANSFERS: _queries.export_transfers.sql,
    Subject.CLAIMS: _queries.export_claims.sql,
    Subject.PAYOUTS: _queries.export_payouts.sql,
}


def command(
    subject: Annotated[Subject, typer.Argument(help="What to export")],
    output: Annotated[str, typer.Option("--output", "-o", help="A file, or - for standard output")] = "-",
    format_: Annotated[Format, typer.Option("--format", help="Parquet needs the extra pay402[parquet]")] = Format.CSV,
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
    settings = load(DatabaseSettings)
    configure_logging(settings)
    if format_ is Format.PARQUET:
        require_pyarrow()
    wanted = (_utc(since) or _BEGINNING, _utc(until) or dt.datetime.now(dt.UTC), user)
    if wanted[0] >= wanted[1]:
        raise OperatorError("The range is empty, for --until is not after --since; correct one of them.")

    async def main(_: asyncio.Event) -> int:
        with _written(output, force=force) as file:
            return await _export(settings, subject, format_, wanted, file)

    try:
        # Nothing is worth finishing when a signal comes: an export is whole or not there.
        rows = run_until_signal(main, drain_seconds=0.0)
    except BrokenPipeError:
        # Whoever read standard output has enough; nothing more is to be flushed there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(_BROKEN_PIPE) from None
    place = "standard output" if output == "-" else output
    typer.echo(f"export: {rows} {subject.value} to {place}", err=True)


async def _export(
    settings: DatabaseSettings, subject: Subject, format_: Format, wanted: tuple[Any, ...], file: BinaryIO
) -> int:
    async with (
        embedded.database(settings) as dsn,
        open_connection(dsn, application="export", statement_timeout_seconds=_STATEMENT_SECONDS) as connection,
    ):
        await check_current(connection)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            if format_ is Format.PARQUET:
                statement = await connection.prepare(_STATEMENTS[subject])
                with _progress("rows") as told:
                    return await write_parquet(statement, wanted, file, told)
            with _progress("MB") as told:

                async def take(chunk: bytes) -> None:
                    file.write(chunk)
                    told(len(chunk) / _MEGABYTE)

                status = await connection.copy_from_query(
                    _STATEMENTS[subject].rstrip("; \n"), *wanted, output=take, format="csv", header=True
                )
    return int(status.split()[-1])


@contextmanager
def _written(output: str, *, force: bool) -> Iterator[BinaryIO]:
    """Standard output, or a file that takes its name when it is whole and is gone when it will not be."""
    if output == "-":
        if sys.stdout.isatty() and sys.stdout.buffer is None:
            raise OperatorError("Standard output takes no bytes; name a file with --output.")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(output)
    if target.exists() and not force:
        raise OperatorError(f"{output} exists already; give another file, or replace it with --force.")
    try:
        handle, unfinished = mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _give_usual_rights(unfinished)
            Path(unfinished).replace(target)
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OperatorError(
            f"{output} cannot be written ({error.strerror or error}); free the disk or name another file."
        ) from error


def _give_usual_rights(path: str) -> None:
    """Temporary files are for their owner alone; a file of this process is for whom its umask says."""
    mask = os.umask(0)
    os.umask(mask)
    Path(path).chmod(0o666 & ~mask)


@contextmanager
def _progress(unit: str) -> Iterator[Callable[[float], None]]:
    """Tell a person, and nobody else, how much is written."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("export"), TextColumn("{task.completed:,.0f} " + unit), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task("export", total=None)
        yield lambda more: bars.advance(bar, more)


def _utc(moment: dt.datetime | None) -> dt.datetime | None:
    return moment.replace(tzinfo=moment.tzinfo or dt.UTC) if moment else None
