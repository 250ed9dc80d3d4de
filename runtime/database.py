"""Postgres through asyncpg: amounts as exact integers, JSON as Python values, failures as sentences."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, urlsplit

import asyncpg
import msgspec

from runtime.database_errors import DATABASE_ERRORS, DatabaseTrouble, trouble_of
from runtime.errors import OperatorError
from runtime.logging import scrub

T = TypeVar("T")

_CONNECT_SECONDS: Final = 10.0
_PATIENCE_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 5.0
_UNCLEAR: Final = "the address that is set"
# The server ends a statement; the client gives up a little later, in case the server is beyond reach.
_COMMAND_GRACE_SECONDS: Final = 5.0

# Planning such a statement costs more than running it, and a plan made while a table was empty would read all of it
# when it is not.
_BY_KEYS_ALONE: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_material": "off",
}

_JSONB_VERSION: Final = b"\x01"  # what `jsonb` begins with on the wire; the rest is JSON
# What asyncpg raises about an address that it cannot take apart.
_MALFORMED: Final = (ValueError, OverflowError)


async def prepare_connection(connection: "asyncpg.Connection[Any]") -> None:
    """Teach a connection our types.

    `numeric`, and with it the domain `base_units` and arrays of it, is `int`: encoding refuses anything else,
    decoding gives `Decimal` only for what has a fraction, such as an average. `json` and `jsonb` are Python values.
    """
    await connection.set_type_codec(
        "numeric", schema="pg_catalog", encoder=_encode_integer, decoder=_decode_number, format="text"
    )
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=msgspec.json.encode, decoder=msgspec.json.decode, format="binary"
    )
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_encode_jsonb, decoder=_decode_jsonb, format="binary"
    )


def _encode_integer(value: object) -> str:
    if type(value) is not int:
        raise TypeError(f"an amount is an int in base units, not {type(value).__name__}")
    return str(value)


def _decode_number(text: str) -> int | Decimal:
    try:
        return int(text)
    except ValueError:
        return Decimal(text)


def _encode_jsonb(value: object) -> bytes:
    return _JSONB_VERSION + msgspec.json.encode(value)


def _decode_jsonb(data: bytes) -> Any:
    return msgspec.json.decode(data[len(_JSONB_VERSION) :])


@asynccontextmanager
async def open_pool(
    dsn: str,
    *,
    application: str,
    min_size: int = 1,
    max_size: int = 10,
    statement_timeout_seconds: float = 30.0,
    patience_seconds: float = _PATIENCE_SECONDS,
    by_keys_alone: bool = False,
) -> AsyncIterator["asyncpg.Pool[Any]"]:
    """A pool of prepared connections, seen by operators as `pay402-<application>`.

    Args:
        dsn: Where the database is, as libpq writes it.
        application: The process: indexer, worker, api.
        min_size: Connections kept open, at least.
        max_size: Connections open at once, at most.
        statement_timeout_seconds: What a statement, or a wait inside a transaction, may take.
        patience_seconds: How long a database that is starting, full or out of reach is tried again.
        by_keys_alone: For a few short statements, run very often, that find every row by a key. They are planned once,
            by their indexes whatever the tables hold at that moment, and leave nothing in the session to clean up.

    Raises:
        OperatorError: The database cannot be reached.
    """

    async def connect() -> "asyncpg.Pool[Any]":
        return await asyncpg.create_pool(
            dsn,
            min_size=min_size,
            max_size=max_size,
            timeout=_CONNECT_SECONDS,
            command_timeout=statement_timeout_seconds + _COMMAND_GRACE_SECONDS,
            init=prepare_connection,
            reset=_leave_as_it_is if by_keys_alone else None,
            server_settings=_server_settings(application, statement_timeout_seconds)
            | (_BY_KEYS_ALONE if by_keys_alone else {}),
        )

    pool = await reach(dsn, connect, patience_seconds=patience_seconds)
    try:
        yield pool
    finally:
        # A connection that never comes back must not keep the process from ending.
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await pool.close()
        except TimeoutError:
            pool.terminate()


@asynccontextmanager
async def open_connection(
    dsn: str,
    *,
    application: str = "command",
    statement_timeout_seconds: float = 30.0,
    patience_seconds: float = 0.0,
) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """One prepared connection, for commands. Arguments and errors are those of `open_pool`."""

    async def connect() -> "asyncpg.Connection[Any]":
        return await asyncpg.connect(
            dsn,
            timeout=_CONNECT_SECONDS,
            command_timeout=statement_timeout_seconds + _COMMAND_GRACE_SECONDS,
            server_settings=_server_settings(application, statement_timeout_seconds),
        )

    connection = await reach(dsn, connect, patience_seconds=patience_seconds)
    try:
        await prepare_connection(connection)
        yield connection
    finally:
        try:
            await connection.close(timeout=_CLOSE_SECONDS)
        except TimeoutError:
            connection.terminate()


async def _leave_as_it_is(_: "asyncpg.Connection[Any]") -> None:
    return


def _server_settings(application: str, statement_timeout_seconds: float) -> dict[str, str]:
    milliseconds = str(int(statement_timeout_seconds * 1000))
    return {
        "application_name": f"pay402-{application}",
        "statement_timeout": milliseconds,
        # Whoever falls silent inside a transaction must not hold its locks for ever.
        "idle_in_transaction_session_timeout": milliseconds,
        "timezone": "UTC",
        # Our statements are short; compiling one costs more than it can ever save.
        "jit": "off",
    }


async def reach(dsn: str, connect: Callable[[], Awaitable[T]], *, patience_seconds: float = 0.0) -> T:
    """The result of `connect`, tried again while the database is only starting, full or out of reach.

    Raises:
        OperatorError: It cannot be reached. The sentence names its place, never its password.
    """
    deadline = time.monotonic() + patience_seconds
    pause_seconds = 0.05
    while True:
        try:
            return await connect()
        except _MALFORMED as error:
            # Its own words quote the address, so only those about its parameters are told.
            told = isinstance(error, asyncpg.ClientConfigurationError) and place(dsn) != _UNCLEAR
            reason = f" ({_reason(error)})" if told else ""
            raise OperatorError(
                f"DATABASE_URL is no usable address of a database{reason}; write it as "
                "postgresql://user:password@host:port/database, with / # ? and @ in a password as %2F %23 %3F %40."
            ) from None
        except DATABASE_ERRORS as error:
            if trouble_of(error) is not DatabaseTrouble.AWAY or time.monotonic() + pause_seconds > deadline:
                raise OperatorError(
                    f"The database at {place(dsn)} cannot be reached ({_reason(error)}); "
                    "start it or correct DATABASE_URL."
                ) from error
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 2, 1.0)


def _reason(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    return scrub(str(error)).partition("\n")[0].rstrip(".") or type(error).__name__


def place(dsn: str) -> str:
    """Host, port and database of a DSN, for people; never user or password."""
    try:
        parts = urlsplit(dsn)
        query = parse_qs(parts.query)
    except ValueError:
        return _UNCLEAR
    # An @ after the host is what an unescaped sign in the password leaves: its pieces are no place.
    if not parts.scheme or ("@" not in parts.netloc and "@" in f"{parts.path}{parts.query}{parts.fragment}"):
        return _UNCLEAR
    host = parts.netloc.rpartition("@")[2] or query.get("host", ["localhost"])[0]
    return f"{host}{parts.path}"
