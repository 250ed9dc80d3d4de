"""Postgres and Valkey as set, or embedded below PAY402_HOME where they are not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

import asyncpg

from runtime.database import open_connection
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.embedded.valkey import EmbeddedValkey
from runtime.redis_address import usable_redis_address
from runtime.settings import CacheSettings, DatabaseSettings

DATABASE: Final = "pay402"


class _SharedServer(Protocol):
    def enter(self) -> None: ...

    def leave(self) -> None: ...


@asynccontextmanager
async def database_address(settings: DatabaseSettings) -> AsyncIterator[str]:
    """The DSN of the database: DATABASE_URL, or that of an embedded Postgres which runs meanwhile."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    async with embedded_postgres(settings.home) as dsn:
        yield dsn


@asynccontextmanager
async def redis_address(settings: CacheSettings) -> AsyncIterator[str]:
    """The URL of Redis: REDIS_URL, or that of an embedded Valkey which runs meanwhile."""
    if settings.redis_url is not None:
        yield usable_redis_address(settings.redis_url.get_secret_value())
        return
    async with embedded_valkey(settings.home) as url:
        yield url


@asynccontextmanager
async def embedded_postgres(home: Path) -> AsyncIterator[str]:
    """Yields the DSN of the database `pay402`, for asyncpg and libpq.

    Raises:
        OperatorError: Postgres does not start.
    """
    server = EmbeddedPostgres(home)
    async with _shared(server):
        await _ensure_database(server.dsn("postgres"))
        yield server.dsn(DATABASE)


@asynccontextmanager
async def embedded_valkey(home: Path) -> AsyncIterator[str]:
    """Yields a redis:// URL on loopback.

    Raises:
        OperatorError: Valkey does not start.
    """
    server = EmbeddedValkey(home)
    async with _shared(server):
        yield server.url


@asynccontextmanager
async def _shared(server: _SharedServer) -> AsyncIterator[None]:
    try:
        await _in_thread(server.enter)
        yield
    finally:
        await _in_thread(server.leave)


async def _in_thread(step: Callable[[], None]) -> None:
    """Run a blocking step; a cancellation waits for its end, for a thread cannot be stopped half-way."""
    running = asyncio.ensure_future(asyncio.to_thread(step))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        with suppress(Exception):  # the cancellation is what the caller has to know
            await running
        raise


async def _ensure_database(dsn: str) -> None:
    async with open_connection(dsn, application="embedded") as connection:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            # Two processes may come to this at once; one of them makes it.
            with suppress(asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
                await connection.execute(f'CREATE DATABASE "{DATABASE}"')
