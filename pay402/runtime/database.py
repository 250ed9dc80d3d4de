"""Postgres through asyncpg: amounts as exact integers, JSON as Python values, errors as sentences."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import asyncpg
import msgspec

from pay402.runtime.errors import OperatorError

_CONNECT_SECONDS: Final = 10.0
_STATEMENT_MILLISECONDS: Final = 60_000

CannotConnect: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    ValueError,
)


async def prepare_connection(connection: asyncpg.Connection) -> None:
    """Teach a connection our types: amounts are `int`, never float and never Decimal."""
    await connection.set_type_codec(
        "numeric", schema="pg_catalog", encoder=str, decoder=_integer, format="text"
    )
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: msgspec.json.encode(value).decode(),
        decoder=msgspec.json.decode,
        format="text",
    )


def _integer(text: str) -> int:
    # Every numeric column of the schema has scale 0; a sum over them has too.
    return int(text)


@asynccontextmanager
async def open_pool(
    dsn: str, *, application: str, min_size: int = 1, max_size: int = 10
) -> AsyncIterator[asyncpg.Pool]:
    """A pool of prepared connections.

    Raises:
        OperatorError: The database cannot be reached.
    """

    async def open_it() -> asyncpg.Pool:
        return await asyncpg.create_pool(
            dsn,
            min_size=min_size,
            max_size=max_size,
            timeout=_CONNECT_SECONDS,
            init=prepare_connection,
            server_settings={
                "application_name": f"pay402-{application}",
                "statement_timeout": str(_STATEMENT_MILLISECONDS),
                # Whoever vanishes inside a transaction must not hold its locks for ever.
                "idle_in_transaction_session_timeout": "60000",
            },
        )

    pool = await reached(dsn, open_it)
    try:
        yield pool
    finally:
        # A connection that never comes back must not keep the process from ending.
        try:
            async with asyncio.timeout(5.0):
                await pool.close()
        except TimeoutError:
            pool.terminate()


@asynccontextmanager
async def open_connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """One prepared connection, for commands. Raises OperatorError as `open_pool` does."""
    connection = await reached(dsn, lambda: asyncpg.connect(dsn, timeout=_CONNECT_SECONDS))
    try:
        await prepare_connection(connection)
        yield connection
    finally:
        await connection.close()


async def reached(dsn: str, connect: Callable[[], Awaitable[Any]]) -> Any:
    """The result of `connect`, or one sentence about why the database cannot be reached."""
    try:
        return await connect()
    except CannotConnect as error:
        reason = str(error).split("\n", 1)[0] or type(error).__name__
        raise OperatorError(
            f"The database at {_where(dsn)} cannot be reached ({reason}); start it or correct DATABASE_URL."
        ) from error


def _where(dsn: str) -> str:
    """Host, port and database of a DSN; never its password."""
    try:
        parts = urlsplit(dsn)
        host = parts.hostname or parse_qs(parts.query).get("host", ["localhost"])[0]
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the given address"
    return f"{host}{port}{parts.path}"
