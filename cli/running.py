"""What commands share: they read settings, open what they need, do their work, and end well on a signal."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import asyncpg

from migrations.status import check_current
from runtime.database import open_connection, open_pool
from runtime.embedded.servers import database_address
from runtime.errors import OperatorError
from runtime.logging import COMMAND, configure_logging
from runtime.process import run_until_signal
from runtime.settings import DatabaseSettings, Settings, load

T = TypeVar("T")
S = TypeVar("S", bound=Settings)


def settings_for(kind: type[S], service: str = COMMAND, *, level: str | None = None) -> S:
    """The settings of a command, with its logs configured; `level` replaces LOG_LEVEL."""
    settings = load(kind)
    configure_logging(settings if level is None else settings.model_copy(update={"log_level": level}), service)
    return settings


def with_database(work: Callable[[str], Awaitable[T]]) -> T:
    """The result of `work` on the address of the database."""
    settings = settings_for(DatabaseSettings)

    async def main() -> T:
        async with database_address(settings) as dsn:
            return await work(dsn)

    return asyncio.run(main())


def with_connection(work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
    """The result of `work` on a connection to a database whose schema is current."""

    async def connected(dsn: str) -> T:
        await check_current(dsn)
        async with open_connection(dsn) as connection:
            return await work(connection)

    return with_database(connected)


def with_pool(work: Callable[["asyncpg.Pool[Any]"], Awaitable[T]]) -> T:
    """The result of `work` on a pool of one connection to a database whose schema is current."""

    async def connected(dsn: str) -> T:
        await check_current(dsn)
        async with open_pool(dsn, application=COMMAND, max_size=1) as pool:
            return await work(pool)

    return with_database(connected)


def run_to_end(main: Callable[[asyncio.Event], Awaitable[T]]) -> T:
    """The result of `main`, which a signal asks to end early but never without a result."""
    results = []

    async def kept(stop: asyncio.Event) -> None:
        results.append(await main(stop))

    run_until_signal(kept)
    return results[0]


def run_stoppable(work: Callable[[], Coroutine[Any, Any, T]], name: str) -> T:
    """The result of `work`, which a signal ends at once: what it has begun is undone.

    Raises:
        OperatorError: It was stopped; `name`, such as "The backup", begins the sentence.
    """
    return run_to_end(lambda stop: until_stopped(stop, work(), name))


async def until_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, T], name: str, *, exit_code: int = 1) -> T:
    """The result of `work`, unless `stop` is set before.

    Raises:
        OperatorError: It was stopped.
    """
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        sentence = f"{name} was stopped before its end; run the same command again."
        raise OperatorError(sentence, exit_code=exit_code)
    finally:
        stopping.cancel()
        working.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await working
