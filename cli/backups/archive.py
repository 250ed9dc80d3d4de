"""A backup: a dump in Postgres' custom format, a note of what is in it, and a checksum over both.

The three lie side by side: `pay402-20251119T031500Z.dump`, the same with `.json`, and with `.sha256` for
`sha256sum --check`. The note has, for every table, its rows and a digest over what they hold, taken in the very
snapshot that was dumped; so a restore can be compared row by row without the original.
"""

import datetime as dt
import hashlib
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec

from cli.backups import postgres_client
from cli.backups.retention import kept
from ledger.sql import load_queries
from migrations.status import read_status
from runtime.database import open_connection
from runtime.errors import OperatorError

_queries = load_queries("cli.backups", "archive.sql")
# A large ledger takes long to read; the snapshot has to last for all of it.
_WHOLE_SECONDS: Final = 12 * 3600.0
_LOCK_WAIT: Final = "60s"
_NAME: Final = re.compile(r"pay402-(\d{8}T\d{6}Z)\.dump")
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_CHUNK_BYTES: Final = 1 << 20
_DIGEST: Final = "coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint), 0)::text"


class TableNote(msgspec.Struct, frozen=True):
    """What a table held: its rows, and the sum of a hash of each, which no order of rows changes."""

    rows: int
    digest: str


class Note(msgspec.Struct, frozen=True):
    """What a backup holds. `schema` is the migrations' revision, `server` the major version it was taken from."""

    made_at: dt.datetime
    schema: str | None
    server: int
    tables: dict[str, TableNote]


@dataclass(frozen=True, slots=True)
class Archive:
    """A backup by the path of its dump."""

    dump: Path

    @property
    def note_file(self) -> Path:
        """What is in it."""
        return self.dump.with_name(f"{self.dump.name}.json")

    @property
    def checksum_file(self) -> Path:
        """Checksums of dump and note, as sha256sum writes them."""
        return self.dump.with_name(f"{self.dump.name}.sha256")

    @property
    def made_at(self) -> dt.datetime:
        """When it was made, by its name."""
        match = _NAME.fullmatch(self.dump.name)
        assert match is not None
        return dt.datetime.strptime(match[1], _STAMP).replace(tzinfo=dt.UTC)

    def remove(self) -> None:
        """Delete it, the checksum first: what is left by a crash meanwhile cannot be taken for whole."""
        for file in (self.checksum_file, self.note_file, self.dump):
            file.unlink(missing_ok=True)

    def checked_note(self) -> Note:
        """The note, once dump and note were found to be what the checksums say. Reads all of the dump.

        Raises:
            OperatorError: They are not, or one is missing.
        """
        remedy = "take another backup, or copy it from its origin again"
        try:
            lines = self.checksum_file.read_text(encoding="utf-8").splitlines()
            expected = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
            for file in (self.dump, self.note_file):
                if expected.get(file.name) != _sha256(file):
                    raise OperatorError(f"{file} is not what its checksum says; {remedy}.")
            return msgspec.json.decode(self.note_file.read_bytes(), type=Note)
        except OSError as error:
            raise OperatorError(
                f"{error.filename} cannot be read ({error.strerror}), but a backup is its dump, its .dump.json and its "
                ".dump.sha256; give the path of the dump with both beside it."
            ) from error
        except (ValueError, UnicodeDecodeError, msgspec.MsgspecError):
            raise OperatorError(f"What lies beside {self.dump} is not ours; {remedy}.") from None


def archives_in(directory: Path) -> list[Archive]:
    """The complete backups in a directory, oldest first; other files are left alone."""
    dumps = [path for path in directory.iterdir() if _NAME.fullmatch(path.name)]
    return [archive for archive in map(Archive, sorted(dumps)) if archive.checksum_file.exists()]


def prune(directory: Path) -> list[Archive]:
    """Remove the backups in `directory` that need not be kept; returns them."""
    archives = archives_in(directory)
    keep = kept(archive.made_at for archive in archives)
    old = [archive for archive in archives if archive.made_at not in keep]
    for archive in old:
        archive.remove()
    return old


async def take(dsn: str, directory: Path, now: dt.datetime) -> tuple[Archive, Note]:
    """Dump the database at `dsn` into `directory`; a backup that was not finished leaves nothing behind.

    Raises:
        OperatorError: The database cannot be reached or dumped, or the directory not be written.
    """
    try:
        archive = _begin(directory, now)
        try:
            note = await _dump(dsn, archive, now)
            _seal(archive)
        except BaseException:
            with suppress(OSError):
                archive.remove()
            raise
    except OSError as error:
        raise OperatorError(
            f"The backup cannot be written to {directory} ({error.strerror}); free the disk or choose another place."
        ) from error
    return archive, note


def _begin(directory: Path, now: dt.datetime) -> Archive:
    """A name of this second, or of the next one that is free: two backups may begin at once."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        archive = Archive(directory / f"pay402-{now.strftime(_STAMP)}.dump")
        try:
            archive.dump.touch(mode=0o600, exist_ok=False)
        except FileExistsError:
            now += dt.timedelta(seconds=1)
        else:
            return archive


async def _dump(dsn: str, archive: Archive, now: dt.datetime) -> Note:
    async with (
        open_connection(dsn, application="backup", statement_timeout_seconds=_WHOLE_SECONDS) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        server = connection.get_server_version().major
        snapshot = await _queries.export_snapshot(connection)
        await postgres_client.run(
            await postgres_client.program("pg_dump", server),
            "--format=custom",
            f"--snapshot={snapshot}",
            f"--lock-wait-timeout={_LOCK_WAIT}",
            f"--file={archive.dump}",
            dsn=dsn,
        )
        note = Note(now, (await read_status(connection)).current, server, await contents(connection))
    archive.note_file.touch(mode=0o600)
    archive.note_file.write_bytes(msgspec.json.format(msgspec.json.encode(note)) + b"\n")
    return note


def _seal(archive: Archive) -> None:
    """Make everything durable; the checksum makes it a backup, so it comes last, and whole."""
    sums = "".join(f"{_sha256(file)}  {file.name}\n" for file in (archive.dump, archive.note_file))
    unfinished = archive.checksum_file.with_suffix(".new")
    unfinished.write_text(sums, encoding="utf-8")
    for file in (archive.dump, archive.note_file, unfinished):
        _make_durable(file)
    unfinished.replace(archive.checksum_file)
    _make_durable(archive.dump.parent)


async def contents(connection: "asyncpg.Connection[Any]") -> dict[str, TableNote]:
    """What every table holds, as the connection's transaction sees it. Reads all of it."""
    found = {}
    for name in [row["name"] async for row in _queries.tables_to_count(connection)]:
        # A table's name cannot be a parameter; this one comes quoted from the catalog.
        row = await connection.fetchrow(f"SELECT count(*) AS rows, {_DIGEST} AS digest FROM {name} AS t")  # noqa: S608
        assert row is not None
        found[name] = TableNote(row["rows"], row["digest"])
    return found


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _make_durable(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
