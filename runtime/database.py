"""Postgres through asyncpg: amounts as exact integers, JSON as Python values, failures as sentences."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final, TypeVar

import asyncpg
import msgspec

from chain.backoff import Backoff
from runtime.connection_string import UNCLEAR, ConnectionString, place, read_connection_string
from runtime.database_connection import at_the_database, connect_to_database
from runtime.database_errors import (
    DATABASE_ERRORS,
    NO_SUCH_SETTING,
    POOLED_SESSIONS,
    WRONG_LOGIN,
    DatabaseTrouble,
    sqlstate_of,
    trouble_of,
)
from runtime.errors import OperatorError
from runtime.logging import scrub
from runtime.pooling import SHARED_SESSIONS, refuse_shared_sessions

T = TypeVar("T")

_CONNECT_SECONDS: Final = 10.0
_PATIENCE_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 5.0
_BACKOFF: Final = Backoff(0.05, 1.0)
# A pool whose server is read-only connects anew this often: the address may lead to the new primary by now.
_READ_ONLY_SECONDS: Final = 5.0
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

OLDEST_POSTGRES: Final = 16
"""The oldest major version that the ledger's statements run on."""
READ_ONLY: Final = "The database at {place} is read-only (a replica, or failed over); give DATABASE_URL of the primary."
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

    A server that becomes read-only, as one that was failed over, is left within seconds for whichever the address leads
    to, without a restart.

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
        OperatorError: The database cannot be reached, is too old, or is reached through a pooler that shares
            sessions.
    """
    address = read_connection_string(dsn)
    settings = _session_settings(statement_timeout_seconds) | address.server_settings
    setting = set_statement(settings | (_BY_KEYS_ALONE if by_keys_alone else {}))

    async def prepare(connection: "asyncpg.Connection[Any]") -> None:
        refuse_if_old(connection)
        with at_the_database():
            await prepare_connection(connection)
            await connection.execute(setting)

    pool: asyncpg.Pool[Any]
    left_at = -_READ_ONLY_SECONDS

    async def clean(connection: "asyncpg.Connection[Any]") -> None:
        nonlocal left_at
        if is_read_only(connection) and time.monotonic() - left_at >= _READ_ONLY_SECONDS:
            left_at = time.monotonic()
            await pool.expire_connections()
        if not by_keys_alone:
            # What asyncpg does by itself, and in the same round trip our settings, which that has reset.
            await connection.execute(f"{connection.get_reset_query()}\n{setting}")

    async def connect() -> "asyncpg.Pool[Any]":
        nonlocal pool
        pool = await asyncpg.create_pool(
            address.dsn,
            min_size=min_size,
            max_size=max_size,
            timeout=address.connect_timeout_seconds or _CONNECT_SECONDS,
            command_timeout=statement_timeout_seconds + _COMMAND_GRACE_SECONDS,
            init=prepare,
            reset=clean,
            server_settings=_named(application),
            ssl=address.tls,
            connect=connect_to_database,
        )
        try:
            async with pool.acquire() as connection:
                await refuse_shared_sessions(address, connection)
        except BaseException:
            pool.terminate()
            raise
        return pool

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
    address = read_connection_string(dsn)

    async def connect() -> "asyncpg.Connection[Any]":
        connection = await connect_plainly(
            address, application, command_timeout_seconds=statement_timeout_seconds + _COMMAND_GRACE_SECONDS
        )
        try:
            refuse_if_old(connection)
            await refuse_shared_sessions(address, connection)
            await prepare_connection(connection)
            settings = _session_settings(statement_timeout_seconds) | address.server_settings
            await connection.execute(set_statement(settings))
        except BaseException:
            connection.terminate()
            raise
        return connection

    connection = await reach(dsn, connect, patience_seconds=patience_seconds)
    try:
        yield connection
    finally:
        try:
            await connection.close(timeout=_CLOSE_SECONDS)
        except TimeoutError:
            connection.terminate()


async def connect_plainly(
    address: ConnectionString, application: str, *, command_timeout_seconds: float | None = None
) -> "asyncpg.Connection[Any]":
    """A connection as the server gives it, without types or settings of ours.

    Poolers refuse most settings in the first message of a connection, so they are set afterwards.
    """
    return await connect_to_database(
        address.dsn,
        timeout=address.connect_timeout_seconds or _CONNECT_SECONDS,
        command_timeout=command_timeout_seconds,
        server_settings=_named(application),
        ssl=address.tls,
    )


def refuse_if_old(connection: "asyncpg.Connection[Any]") -> None:
    """Pass when the server is of a version that the ledger can use.

    Raises:
        OperatorError: It is older.
    """
    version = connection.get_server_version()
    if version.major < OLDEST_POSTGRES:
        raise OperatorError(
            f"The database is Postgres {version.major}, but the ledger needs {OLDEST_POSTGRES} or newer; "
            "upgrade the server, or give DATABASE_URL of another."
        )


def is_read_only(connection: "asyncpg.Connection[Any]") -> bool:
    """True when the server takes no writes, by what it last reported of itself; nothing is asked."""
    reported = connection.get_settings()
    return "on" in (
        getattr(reported, "in_hot_standby", None),
        getattr(reported, "default_transaction_read_only", None),
    )


def _named(application: str) -> dict[str, str]:
    return {"application_name": f"pay402-{application}"}


def _session_settings(statement_timeout_seconds: float) -> dict[str, str]:
    milliseconds = str(int(statement_timeout_seconds * 1000))
    return {
        "statement_timeout": milliseconds,
        # Whoever falls silent inside a transaction must not hold its locks for ever.
        "idle_in_transaction_session_timeout": milliseconds,
        "timezone": "UTC",
        # Our statements are short; compiling one costs more than it can ever save.
        "jit": "off",
    }


def set_statement(settings: Mapping[str, str]) -> str:
    """One statement that sets all of `settings` for the session."""
    return "".join(f"SET {_identifier(name)} = {_literal(value)};" for name, value in settings.items())


def _identifier(name: str) -> str:
    return ".".join('"{}"'.format(part.replace('"', '""')) for part in name.split("."))


def _literal(text: str) -> str:
    # A list, such as a search path, is several values; none of ours or of an address needs more than words.
    return ", ".join("'{}'".format(one.strip().strip('"').replace("'", "''")) for one in text.split(","))


async def reach(dsn: str, connect: Callable[[], Awaitable[T]], *, patience_seconds: float = 0.0) -> T:
    """The result of `connect`, tried again while the database is only starting, full or out of reach.

    Raises:
        OperatorError: It cannot be reached. The sentence names its place, never its password.
    """
    deadline = time.monotonic() + patience_seconds
    pauses = iter(_BACKOFF)
    while True:
        pause_seconds = next(pauses)
        try:
            with at_the_database():
                return await connect()
        except _MALFORMED as error:
            # Its own words quote the address, so only those about its parameters are shown.
            is_about_parameters = isinstance(error, asyncpg.ClientConfigurationError) and place(dsn) != UNCLEAR
            reason = f" ({_reason(error)})" if is_about_parameters else ""
            raise OperatorError(
                f"DATABASE_URL is no usable address of a database{reason}; write it as "
                "postgresql://user:password@host:port/database, with / # ? and @ in a password as %2F %23 %3F %40."
            ) from None
        except DATABASE_ERRORS as error:
            if trouble_of(error) is not DatabaseTrouble.AWAY or time.monotonic() + pause_seconds > deadline:
                raise OperatorError(_cannot_connect(dsn, error)) from error
        await asyncio.sleep(pause_seconds)


def _cannot_connect(dsn: str, error: BaseException) -> str:
    code, reason = sqlstate_of(error), _reason(error)
    if code in POOLED_SESSIONS:
        return SHARED_SESSIONS.format(place=place(dsn))
    if code == NO_SUCH_SETTING:
        return f"DATABASE_URL has a parameter that the server refuses ({reason}); leave it out."
    if code in WRONG_LOGIN and "no encryption" in reason:
        return f"The database at {place(dsn)} refuses a connection without TLS; add sslmode=require to DATABASE_URL."
    if "rejected SSL upgrade" in reason:
        return f"The database at {place(dsn)} speaks no TLS; turn it on there, or leave sslmode out of DATABASE_URL."
    if code in WRONG_LOGIN:
        return f"The database at {place(dsn)} refuses the login ({reason}); correct user and password in DATABASE_URL."
    return f"The database at {place(dsn)} cannot be reached ({reason}); start it or correct DATABASE_URL."


def _reason(error: BaseException) -> str:
    return scrub(str(error)).partition("\n")[0].rstrip(".") or type(error).__name__
