"""What commands print: JSON for scripts, tables for people."""

import sys
from dataclasses import asdict
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

_WIDTH_IN_FILES: Final = 160

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
