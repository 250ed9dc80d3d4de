"""What commands print: JSON for scripts, tables for people."""

import datetime as dt
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Column, Table

_WIDTH_IN_FILES: Final = 160
_WIDTH_FOR_WHOLE_NAMES: Final = 200
_SHORT_CHARACTERS: Final = 12

AsJson = Annotated[bool, typer.Option("--json", help="For scripts")]


def print_json(value: Any) -> None:
    """Print one JSON value on a line of its own."""
    typer.echo(msgspec.json.encode(value).decode())


def print_table(table: Table, *, width_in_files: int = _WIDTH_IN_FILES) -> None:
    """Print a table as wide as the terminal or, where there is none, wide enough for its columns."""
    console(width_in_files).print(table)


def console(width_in_files: int = _WIDTH_IN_FILES) -> Console:
    """Standard output, as wide as the terminal or, where there is none, as given."""
    return Console(width=None if sys.stdout.isatty() else width_in_files)


def amount_column(header: str, amounts: Iterable[str]) -> Column:
    """A column that is as wide as its longest amount: one that is cut short is a wrong amount."""
    widest = max((len(amount) for amount in amounts), default=0)
    return Column(header, justify="right", no_wrap=True, overflow="ignore", min_width=widest)


def name_shortener(output: Console) -> Callable[[str], str]:
    """Return what to do with signatures and addresses: shorten them in the middle, unless there is room for them."""
    return str if output.width >= _WIDTH_FOR_WHOLE_NAMES else short_name


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
