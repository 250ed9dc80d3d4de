"""What commands print: JSON for scripts, tables for people."""

import datetime as dt
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

_WIDTH_IN_FILES: Final = 160
_WIDTH_MAX: Final = 10_000
_SHORT_CHARACTERS: Final = 12

AsJson = Annotated[bool, typer.Option("--json", help="For scripts")]


def print_json(value: Any) -> None:
    """Print one JSON value on a line of its own."""
    typer.echo(msgspec.json.encode(value).decode())


def print_table(table: Table, *, names: Collection[str] = (), width_in_files: int = _WIDTH_IN_FILES) -> None:
    """Print a table so that nothing in it is cut, however narrow the terminal is.

    Where it is too wide, the columns `names`, of signatures and addresses, are shortened in the middle and the lines
    between cells are left out. Where that is too wide still, each row is printed as lines of a name and a value, whole.
    """
    output = console(width_in_files)
    for fitting in (table, _compact(table, names)):
        if Measurement.get(output, output.options.update(max_width=_WIDTH_MAX), fitting).maximum <= output.width:
            output.print(fitting)
            return
    _print_rows(output, table)


def _compact(table: Table, names: Collection[str]) -> Table:
    """The table without lines between its cells, and with its names shortened."""
    columns = [replace(column, _index=0, _cells=[], min_width=None) for column in table.columns]
    made = Table(*columns, title=table.title, box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for row in _rows(table):
        cells = zip(table.columns, row, strict=True)
        made.add_row(*(Text(short_name(cell.plain)) if column.header in names else cell for column, cell in cells))
    return made


def _rows(table: Table) -> Iterator[tuple[Text, ...]]:
    texts = [[one if isinstance(one, Text) else Text(str(one)) for one in column.cells] for column in table.columns]
    return zip(*texts, strict=True)


def _print_rows(output: Console, table: Table) -> None:
    headers = [str(column.header) for column in table.columns]
    widest = max(map(len, headers))
    if table.title:
        output.print(Text(str(table.title), style="italic"))
    for row in _rows(table):
        for header, cell in zip(headers, row, strict=True):
            if cell.plain:
                output.print(Text(f"{header:<{widest}}  {cell.plain}"), soft_wrap=True)
        output.print()


def console(width_in_files: int = _WIDTH_IN_FILES) -> Console:
    """Standard output, as wide as the terminal or, where there is none, as given."""
    return Console(width=None if sys.stdout.isatty() else width_in_files)


def amount_column(header: str) -> Column:
    """A column of amounts."""
    return Column(header, justify="right", no_wrap=True)


def short_name(name: str) -> str:
    """A signature or an address by its ends, as wallets show them; what is short is left whole."""
    return name if len(name) <= _SHORT_CHARACTERS else f"{name[:5]}…{name[-4:]}"


def printable(text: str) -> str:
    """Text that others wrote, without what would steer a terminal."""
    return "".join(one if one.isprintable() else "�" for one in text)


def time_text(moment: dt.datetime | None) -> str:
    """A moment in UTC, to the second."""
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}" if moment else "unknown"


@contextmanager
def shown_waiting(what: str) -> Iterator[Callable[[str], None]]:
    """Show a person at a terminal that `what` goes on, and for how long; yields what changes the text.

    It stands on standard error and leaves nothing behind. Where nobody watches, nothing is written.
    """
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    error = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    bars = Progress(
        *columns,
        console=error,
        transient=True,
        disable=not error.is_terminal,
        # What is printed meanwhile is somebody's file, and stays where it belongs.
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with bars:
        bar = bars.add_task(what, total=None)
        yield lambda said: bars.update(bar, description=said)


def print_counts(counts: Any, *, as_json: bool) -> None:
    """Print what a pass did: a dataclass of counts."""
    if as_json:
        print_json(counts)
        return
    for name, value in asdict(counts).items():
        typer.echo(f"{value:>8}  {name.replace('_', ' ')}")


def print_ready(metrics_port: int | None) -> None:
    """Print the line that says that a process works, for whoever started it."""
    print_json({"ready": True, "metricsPort": metrics_port})
