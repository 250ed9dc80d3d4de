"""`pay402 doctor`: everything a deployment stands on, and what to do about what is wrong."""

import asyncio
from typing import Annotated, Final

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from cli.diagnosis.diagnoses import Diagnosis
from cli.diagnosis.examination import examine
from cli.printing import AsJson, print_table, shown_waiting
from cli.running import settings_for
from runtime.logging import scrub
from runtime.settings import Settings

_COLOURS: Final = {"ok": "green", "warning": "yellow", "failure": "bold red"}


def command(
    at_rest: Annotated[
        bool, typer.Option("--at-rest", help="Before the first start, or after a restore: no indexer runs yet")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Examine settings, secrets, database, indexes, Redis, every Solana node, clocks and the ledger's own proof.

    Each failure says what to do next. The exit code is 1 when there is one; warnings leave it 0.

    Example: pay402 doctor --json | jq '.findings[] | select(.verdict != "ok")'
    """
    settings_for(Settings, level="error")
    with shown_waiting("examining settings, database, Redis and nodes"):
        diagnoses = asyncio.run(examine(at_rest=at_rest))
    failures = sum(one.verdict == "failure" for one in diagnoses)
    if as_json:
        typer.echo(scrub(msgspec.json.encode({"ok": not failures, "findings": diagnoses}).decode()))
    else:
        _print(diagnoses)
    if failures:
        raise typer.Exit(1)


def _print(diagnoses: list[Diagnosis]) -> None:
    table = Table("part", "check", "", "found", "what to do")
    for one in diagnoses:
        verdict = Text(one.verdict, style=_COLOURS[one.verdict])
        # What servers said is text, whatever brackets are in it.
        words = [Text(scrub(word)) for word in (one.part, one.check, one.detail, one.remedy)]
        table.add_row(words[0], words[1], verdict, words[2], words[3])
    print_table(table)
