"""Poolers between us and Postgres: one that keeps a session for its client is fine, one that shares sessions is not.

We prepare statements, set time-outs, hold advisory locks and listen; each belongs to a session. A pooler in
transaction mode, such as PgBouncer's, hands every transaction to another session, where none of that is there, without
a word.
"""

import asyncio
import secrets
from enum import StrEnum
from typing import Any, Final

import asyncpg

from runtime.connection_string import ConnectionString, place
from runtime.database_connection import connect_to_database
from runtime.database_errors import DatabaseAwayError
from runtime.errors import OperatorError

SHARED_SESSIONS: Final = (
    "The database at {place} is reached through a pooler that shares sessions (PgBouncer in transaction mode); "
    "set its pool_mode to session, or give the address of Postgres itself."
)

_PROBE_SECONDS: Final = 5.0


class Pooling(StrEnum):
    """What stands between us and Postgres."""

    NONE = "none"
    SESSION = "session"
    TRANSACTION = "transaction"


async def refuse_shared_sessions(address: ConnectionString, connection: "asyncpg.Connection[Any] | Any") -> None:
    """Pass when the session of `connection`, which was made to `address`, is ours alone.

    Raises:
        OperatorError: A pooler shares it with others.
    """
    if await pooling_of(address, connection) is Pooling.TRANSACTION:
        raise OperatorError(SHARED_SESSIONS.format(place=place(address.dsn)))


async def pooling_of(address: ConnectionString, connection: "asyncpg.Connection[Any] | Any") -> Pooling:
    """What stands between us and the server. Without a pooler it costs one round trip, else two connections."""
    if await connection.fetchval("SELECT pg_backend_pid()") == connection.get_server_pid():
        return Pooling.NONE
    # A pooler gives its clients numbers of its own.
    return Pooling.TRANSACTION if await _is_shared(address) else Pooling.SESSION


async def _is_shared(address: ConnectionString) -> bool:
    """True when what one connection sets is seen by another, or is gone while the other is in a transaction."""
    mark = secrets.token_hex(8)
    one, two = await _bare(address), None
    try:
        two = await _bare(address)
        async with asyncio.timeout(_PROBE_SECONDS):
            await one.execute(f"SET pay402.session = '{mark}'")
            await two.execute("BEGIN")
            await two.execute(_FAIL_IF.format(test="=", mark=mark))
            await one.execute(_FAIL_IF.format(test="IS DISTINCT FROM", mark=mark))
    except asyncpg.RaiseError:
        # Ours, see `_FAIL_IF`; that the server or the pooler is full, for example, says nothing about sessions.
        return True
    except TimeoutError:
        # Only a pooler that keeps sessions makes one client wait for the other to leave.
        return False
    except DatabaseAwayError as error:
        # So does its second connection, which waits for the first.
        if not isinstance(error.__cause__, TimeoutError):
            raise
        return False
    finally:
        for connection in (one, two):
            if connection is not None:
                connection.terminate()
    return False


async def _bare(address: ConnectionString) -> "asyncpg.Connection[Any]":
    return await connect_to_database(address.dsn, timeout=_PROBE_SECONDS, ssl=address.tls, statement_cache_size=0)


# As one string of the simple protocol, which poolers of every mode understand.
_FAIL_IF: Final = (
    "DO $$ BEGIN IF current_setting('pay402.session', true) {test} '{mark}' THEN RAISE 'shared'; END IF; END $$"
)
