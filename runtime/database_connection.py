"""A connection to Postgres that says of every failure on the way to the server that the database is away.

asyncpg lets what the operating system says through as it is: a refused connection, a missing socket, a time-out. Out
of context nobody can tell these from a missing file or a slow neighbour, so they get a type of their own here.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

import asyncpg

from runtime.database_errors import DatabaseAwayError

F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def at_the_database() -> Iterator[None]:
    """For a block that does nothing but talk to Postgres.

    Raises:
        DatabaseAwayError: Instead of any OSError of the block.
    """
    try:
        yield
    except DatabaseAwayError:
        raise
    except OSError as error:
        raise DatabaseAwayError(_reason(error)) from error


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    return str(error) or type(error).__name__


def _at_the_database(method: F) -> F:
    @wraps(method)
    async def guarded(*args: Any, **options: Any) -> Any:
        # Not by the context manager: every statement goes through here.
        try:
            return await method(*args, **options)
        except DatabaseAwayError:
            raise
        except OSError as error:
            raise DatabaseAwayError(_reason(error)) from error

    return cast("F", guarded)


class PostgresConnection(asyncpg.Connection):
    """asyncpg's connection, whose statements raise DatabaseAwayError where they would raise an OSError."""

    execute = _at_the_database(asyncpg.Connection.execute)
    executemany = _at_the_database(asyncpg.Connection.executemany)
    fetch = _at_the_database(asyncpg.Connection.fetch)
    fetchmany = _at_the_database(asyncpg.Connection.fetchmany)
    fetchrow = _at_the_database(asyncpg.Connection.fetchrow)
    fetchval = _at_the_database(asyncpg.Connection.fetchval)
    prepare = _at_the_database(asyncpg.Connection.prepare)

    async def copy_from_query(  # type: ignore[override]
        self, query: str, *args: Any, output: Callable[[bytes], Awaitable[None]], **options: Any
    ) -> str:
        """What asyncpg's does, for an `output` that is called; what that raises is passed on as it is."""
        of_output: list[OSError] = []

        async def written(chunk: bytes) -> None:
            try:
                await output(chunk)
            except OSError as error:
                of_output.append(error)
                raise

        try:
            tag: str = await super().copy_from_query(query, *args, output=written, **options)
        except OSError as error:
            if error in of_output or isinstance(error, DatabaseAwayError):
                raise
            raise DatabaseAwayError(_reason(error)) from error
        return tag


async def connect_to_database(*args: Any, **options: Any) -> PostgresConnection:
    """What `asyncpg.connect` does with these arguments, for pools too.

    Raises:
        DatabaseAwayError: The server is out of reach.
    """
    with at_the_database():
        connection: PostgresConnection = await asyncpg.connect(
            *args, **{**options, "connection_class": PostgresConnection}
        )
        return connection
