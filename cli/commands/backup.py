"""`pay402 backup`: the whole database in one compressed, checksummed file."""

import asyncio
import datetime as dt
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.backups.archive import Archive, Note, prune, take
from cli.backups.metrics import write_metrics
from cli.backups.restoration import restore, scratch_database
from cli.backups.retention import DAILY, MONTHLY, WEEKLY
from cli.printing import AsJson, print_json, shown_waiting
from cli.running import run_stoppable, settings_for
from runtime.embedded.servers import database_address
from runtime.settings import DatabaseSettings


def command(
    to: Annotated[Path | None, typer.Option(help="The directory; default: backups below PAY402_HOME")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Restore it into a scratch database, compare every row, drop that again")
    ] = False,
    keep_all: Annotated[
        bool, typer.Option("--keep-all", help=f"Do not prune to {DAILY} daily, {WEEKLY} weekly, {MONTHLY} monthly")
    ] = False,
    metrics: Annotated[
        Path | None, typer.Option(help="Report to Prometheus, through a file in node_exporter's textfile directory")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the whole database into one compressed file with its checksum, while everything keeps running.

    Older backups in the directory are pruned only after this one has succeeded.

    Example: pay402 backup --to /var/backups/pay402 --verify
    """
    settings = settings_for(DatabaseSettings)
    directory = to or settings.home / "backups"

    async def work(say: Callable[[str], None]) -> tuple[Archive, Note, list[Archive]]:
        async with database_address(settings) as dsn:
            archive, note = await take(dsn, directory, dt.datetime.now(dt.UTC).replace(microsecond=0))
            if verify:
                say("restoring it into a scratch database, to compare every row")
                async with scratch_database(dsn) as scratch:
                    await restore(archive, scratch)
            return archive, note, [] if keep_all else await asyncio.to_thread(prune, directory)

    with shown_waiting("writing the backup") as say:
        archive, note, pruned = run_stoppable(partial(work, say), "The backup")
    summary: dict[str, Any] = {
        "file": str(archive.dump),
        "bytes": archive.dump.stat().st_size,
        "schema": note.schema,
        "tables": len(note.tables),
        "rows": sum(table.rows for table in note.tables.values()),
        "verified": verify,
        "pruned": [str(one.dump) for one in pruned],
    }
    if metrics is not None:
        write_metrics(metrics, archive, verified=verify)
    if as_json:
        print_json(summary)
    else:
        typer.echo(f"{archive.dump}: {summary['rows']} rows of {summary['tables']} tables in {summary['bytes']} bytes")
        typer.echo("restored into a scratch database: the same, row by row" if verify else "not verified; see --verify")
        for one in pruned:
            typer.echo(f"pruned {one.dump.name}")
