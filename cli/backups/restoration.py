"""Restoring a backup: into an empty database, or into a scratch database only to see that it can be done."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import asyncpg
import structlog

from cli.backups import postgres_client
from cli.backups.archive import Archive, Note, contents
from ledger.sql import load_queries
from runtime.connection_string import joined, place
from runtime.database import open_connection
from runtime.database_errors import DATABASE_ERRORS
from runtime.errors import OperatorError

_log = structlog.get_logger(__name__)
_queries = load_queries("cli.backups", "restoration.sql")
_WHOLE_SECONDS: Final = 12 * 3600.0


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back: tables and rows, each compared with the note of the backup."""

    tables: int
    rows: int
    schema: str | None


async def restore(archive: Archive, dsn: str) -> Restored:
    """Restore into the empty database at `dsn`, all or nothing, and compare every table with the note.

    Raises:
        OperatorError: The backup is damaged, the database is not empty, or what came back is not what was dumped.
    """
    note = archive.checked_note()
    async with open_connection(dsn, application="restore", statement_timeout_seconds=_WHOLE_SECONDS) as connection:
        if count := await _queries.objects_in_the_way(connection):
            raise OperatorError(
                f"The database at {place(dsn)} is not empty: it holds {count} objects that a restore could collide "
                "with; create another and give its address."
            )
        server = connection.get_server_version().major
        if server < note.server:
            raise OperatorError(
                f"The backup is from Postgres {note.server}, but {place(dsn)} is {server}; "
                f"restore into Postgres {note.server} or newer."
            )
        await postgres_client.run(
            await postgres_client.program("pg_restore", server),
            "--single-transaction",
            "--exit-on-error",
            # The roles of the original need not exist here: what is restored belongs to whoever restores it.
            "--no-owner",
            "--no-privileges",
            str(archive.dump),
            dsn=dsn,
        )
        await _compare(archive, note, connection)
        # The planner knows nothing of tables that were just filled.
        await connection.execute("ANALYZE")
    return Restored(len(note.tables), sum(table.rows for table in note.tables.values()), note.schema)


async def _compare(archive: Archive, note: Note, connection: "asyncpg.Connection") -> None:
    found = await contents(connection)
    differing = sorted(name for name in note.tables.keys() | found.keys() if found.get(name) != note.tables.get(name))
    if differing:
        raise OperatorError(
            f"What came back from {archive.dump} is not what was dumped: {', '.join(differing)} differ; "
            "take another backup and keep this one for a closer look."
        )


@asynccontextmanager
async def scratch_database(dsn: str) -> AsyncIterator[str]:
    """A new, empty database beside the one at `dsn`, dropped at the end; those that killed runs left are dropped first.

    A run holds a lock, in the database at `dsn`, on the name of its own. Whose lock is free is dead, however young. As
    locks are of one database, the name has that one's number in it, and no run touches the others'.

    Raises:
        OperatorError: The user may not create databases.
    """
    async with open_connection(dsn, application="verify") as guard:
        prefix = f"pay402_verify_{await _queries.own_number(guard)}_"
        await _drop_leftovers(guard, dsn, prefix)
        name = f"{prefix}{secrets.token_hex(6)}"
        await _queries.hold_name(guard, name=name)
        try:
            await guard.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        except asyncpg.InsufficientPrivilegeError as error:
            raise OperatorError(
                f"The user of {place(dsn)} may not create a scratch database; give it CREATEDB, or verify on another "
                "server with DATABASE_URL."
            ) from error
        try:
            yield joined(urlsplit(dsn)._replace(path=f"/{name}"))
        finally:
            await _drop(dsn, name)


async def _drop_leftovers(guard: "asyncpg.Connection", dsn: str, prefix: str) -> None:
    for name in [row["name"] async for row in _queries.databases_named(guard, prefix=prefix)]:
        if await _queries.try_to_hold_name(guard, name=name):
            _log.warning("scratch_database_found", name=name, hint="a run that was killed has left it; it is dropped")
            await _drop(dsn, name)
            await _queries.let_name_go(guard, name=name)


async def _drop(dsn: str, name: str) -> None:
    try:
        async with open_connection(dsn, application="verify", patience_seconds=10.0) as connection:
            # What a killed run started, such as pg_restore, may still be at work in it.
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    except (OperatorError, *DATABASE_ERRORS) as error:
        _log.warning("scratch_database_left", name=name, error=str(error), hint="the next run drops it")
