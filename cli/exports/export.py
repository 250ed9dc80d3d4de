"""Transfers, claims or payouts of a time range, streamed from one snapshot of the ledger."""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import BinaryIO, Final, NamedTuple

from rich.console import Console

from cli.exports.parquet import write_parquet
from ledger.sql import load_queries
from migrations.status import check_current
from runtime.database import open_connection

_queries = load_queries("cli.exports", "export.sql")
_STATEMENT_SECONDS: Final = 4 * 3600.0
_MEGABYTE: Final = 1_000_000


class Wanted(NamedTuple):
    """The parameters of every statement, in their order."""

    since: dt.datetime
    """The first moment."""
    until: dt.datetime
    """The first moment that is left out."""
    user: str | None
    """Whose rows; everybody's without one."""


class Subject(StrEnum):
    """What can be exported."""

    TRANSFERS = "transfers"
    CLAIMS = "claims"
    PAYOUTS = "payouts"


class Format(StrEnum):
    """How it is written."""

    CSV = "csv"
    PARQUET = "parquet"


_STATEMENTS: Final = {
    Subject.TRANSFERS: _queries.export_transfers.sql,
    Subject.CLAIMS: _queries.export_claims.sql,
    Subject.PAYOUTS: _queries.export_payouts.sql,
}


async def export(dsn: str, subject: Subject, format_: Format, wanted: Wanted, file: BinaryIO) -> int:
    """Write to `file` what is wanted, as one moment knows it; returns how many rows.

    Raises:
        OperatorError: The database cannot be reached or its schema is not current.
    """
    async with open_connection(dsn, application="export", statement_timeout_seconds=_STATEMENT_SECONDS) as connection:
        await check_current(connection)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            if format_ is Format.PARQUET:
                statement = await connection.prepare(_STATEMENTS[subject])
                with _progress("rows") as advance:
                    return await write_parquet(statement, wanted, file, advance)
            with _progress("MB") as advance:

                async def take(chunk: bytes) -> None:
                    file.write(chunk)
                    advance(len(chunk) / _MEGABYTE)

                status = await connection.copy_from_query(
                    _STATEMENTS[subject].rstrip("; \n"), *wanted, output=take, format="csv", header=True
                )
    return int(status.split()[-1])


@contextmanager
def _progress(unit: str) -> Iterator[Callable[[float], None]]:
    """Show a person at a terminal how much is written."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("export"), TextColumn("{task.completed:,.0f} " + unit), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task("export", total=None)
        yield lambda more: bars.advance(bar, more)
