"""Real parts for every test: a Postgres cloned per test from a migrated template, a Valkey, a Solana chain."""

import asyncio
import itertools
import os
from contextlib import AsyncExitStack

import asyncpg
import pytest

from pay402.localnet import Localnet
from pay402.migrations.migrate import upgrade
from pay402.runtime.database import open_pool
from pay402.runtime.embedded import embedded_postgres, embedded_valkey

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    """The address of a Postgres server, with `{}` for the database's name; it runs for the whole session."""
    home = tmp_path_factory.mktemp("home")
    # As root the server runs as another user, who must be able to reach its directory.
    for directory in (home, home.parent, home.parent.parent):
        os.chmod(directory, 0o755)
    stack = AsyncExitStack()
    loop = asyncio.new_event_loop()
    dsn = loop.run_until_complete(stack.enter_async_context(embedded_postgres(home)))
    pattern = dsn.replace("/pay402?", "/{}?")
    loop.run_until_complete(_make_template(pattern))
    yield pattern
    loop.run_until_complete(stack.aclose())
    loop.close()


async def _make_template(pattern):
    await _execute(pattern.format("postgres"), "CREATE DATABASE template_ledger")
    await upgrade(pattern.format("template_ledger"))
    # Tests are about what is true afterwards, not about surviving a power cut of the test machine.
    await _execute(pattern.format("postgres"), "ALTER SYSTEM SET fsync = off")
    await _execute(pattern.format("postgres"), "SELECT pg_reload_conf()")


async def _execute(dsn, statement):
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def empty_database(postgres):
    """A database of this test alone, without our schema."""
    name = f"empty_{os.getpid()}_{next(_numbers)}"
    await _execute(postgres.format("postgres"), f"CREATE DATABASE {name}")
    yield postgres.format(name)
    await _execute(postgres.format("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database_url(postgres):
    """A database of this test alone, with our schema."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    await _execute(
        postgres.format("postgres"), f"CREATE DATABASE {name} TEMPLATE template_ledger STRATEGY wal_log"
    )
    yield postgres.format(name)
    await _execute(postgres.format("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def pool(database_url):
    """Connections to `database_url` that know our types."""
    async with open_pool(database_url, application="test", max_size=4) as opened:
        yield opened


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory):
    """The address of a Valkey that runs for the whole session."""
    stack = AsyncExitStack()
    loop = asyncio.new_event_loop()
    yield loop.run_until_complete(
        stack.enter_async_context(embedded_valkey(tmp_path_factory.mktemp("valkey")))
    )
    loop.run_until_complete(stack.aclose())
    loop.close()


@pytest.fixture
async def net():
    """A localnet that ticks fast: 20 slots a second, final after 8 of them."""
    async with Localnet.start(port=0, slot_seconds=0.05, finalize_slots=8) as running:
        yield running
