"""`pay402 backup`: the whole database in one compressed, checksummed file."""

import asyncio
import datetime as dt
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from cli.backups.archive import Archive, Note, archives_in, take
from cli.backups.restoration import restore, scratch_database
from cli.backups.retention import DAILY, MONTHLY, WEEKLY, kept
from cli.stoppable import stoppable
from runtime.embedded import servers as embedded
from runtime.errors import OperatorError
from runtime.logging import configure_logging
from runtime.process import run_until_signal
from runtime.settings import DatabaseSettings, load


def command(
    to: Annotated[Path | None, typer.Option(help="The directory; default: backups below PAY402_HOME")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Restore it into a scratch database, compare every row, drop that again")
    ] = False,
    keep_all: Annotated[
        bool, typer.Option("--keep-all", help=f"Do not prune to {DAILY} daily, {WEEKLY} weekly, {MONTHLY} monthly")
    ] = False,
    metrics: Annotated[
        Path | None, typer.Option(help="Tell Prometheus, through a file in node_exporter's textfile directory")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts")] = False,
) -> None:
    """Write the whole database into one compressed file with its checksum, while everything keeps running.

    Older backups in the directory are pruned only after this one has succeeded.

    Example: pay402 backup --to /var/backups/pay402 --verify
    """
    settings = load(DatabaseSettings)
    configure_logging(settings)
    directory = to or settings.home / "backups"

    async def work() -> tuple[Archive, Note, list[Archive]]:
        async with embedded.database(settings) as dsn:
            archive, note = await take(dsn, directory, dt.datetime.now(dt.UTC).replace(microsecond=0))
            if verify:
                async with scratch_database(dsn) as scratch:
                    await restore(archive, scratch)
            return archive, note, [] if keep_all else await asyncio.to_thread(_prune, directory)

    done = run_until_signal(lambda stop: stoppable(stop, work(), "The backup"))
    assert done is not None
    archive, note, pruned = done
    told: dict[str, Any] = {
        "file": str(archive.dump),
        "bytes": archive.dump.stat().st_size,
        "schema": note.schema,
        "tables": len(note.tables),
        "rows": sum(table.rows for table in note.tables.values()),
        "verified": verify,
        "pruned": [str(one.dump) for one in pruned],
    }
    if metrics is not None:
        _tell_prometheus(metrics, archive, verified=verify)
    if as_json:
        typer.echo(msgspec.json.encode(told).decode())
    else:
        typer.echo(f"{archive.dump}: {told['rows']} rows of {told['tables']} tables in {told['bytes']} bytes")
        typer.echo("restored into a scratch database: the same, row by row" if verify else "not verified; see --verify")
        for one in pruned:
            typer.echo(f"pruned {one.dump.name}")


class BackupMetrics:
    """What is told of a backup that succeeded, on a registry of its own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.made = Gauge("pay402_backup_timestamp_seconds", "When the last backup was made", registry=registry)
        self.verified = Gauge("pay402_backup_verified", "1 where it was restored and compared", registry=registry)
        self.size = Gauge("pay402_backup_size_bytes", "Size of its dump", registry=registry)


def _tell_prometheus(file: Path, archive: Archive, *, verified: bool) -> None:
    registry = CollectorRegistry()
    figures = BackupMetrics(registry)
    figures.made.set(archive.made_at.timestamp())
    figures.verified.set(verified)
    figures.size.set(archive.dump.stat().st_size)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_to_textfile(str(file), registry)
        # node_exporter is another user; there is nothing secret in it.
        file.chmod(0o644)
    except OSError as error:
        raise OperatorError(
            f"The backup is made, but {file} cannot be written ({error.strerror}); correct --metrics."
        ) from error


def _prune(directory: Path) -> list[Archive]:
    archives = archives_in(directory)
    keep = kept(archive.made_at for archive in archives)
    old = [archive for archive in archives if archive.made_at not in keep]
    for archive in old:
        archive.remove()
    return old
