"""Real parts for every test: a Postgres cloned per test from a migrated template, a Valkey, a Solana chain."""

import itertools

import pytest

from localnet import Localnet
from migrations import upgrade
from runtime.database import open_pool
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.embedded.valkey import EmbeddedValkey
from tests.support.databases import execute, run_apart, short_lived_home

_numbers = itertools.count(1)
_LONG = ("tests/scenarios/", "tests/test_wheel.py::", "tests/indexer/test_liveness.py::")


def pytest_collection_modifyitems(items):
    """Run the longest tests first, one after the other: the last of them would keep one process while others idle."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONG))


@pytest.fixture
def home():
    """An empty PAY402_HOME of this test alone."""
    with short_lived_home() as directory:
        yield directory


@pytest.fixture(scope="session")
def postgres():
    """The address of a Postgres server, with `{}` for the database's name; it runs for the whole session."""
    # Tests are about what is true afterwards, not about surviving a power cut of the machine they run on.
    options = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}
    with short_lived_home() as directory:
        server = EmbeddedPostgres(directory, options=options)
        server.enter()
        try:
            pattern = server.dsn("DATABASE").replace("DATABASE", "{}")
            run_apart(execute(pattern.format("postgres"), "CREATE DATABASE template_ledger"))
            run_apart(upgrade(pattern.format("template_ledger")))
            yield pattern
        finally:
            server.leave()


@pytest.fixture
async def empty_database(postgres):
    """The address of a database of this test alone, without our schema."""
    name = f"empty_{next(_numbers)}"
    await execute(postgres.format("postgres"), f"CREATE DATABASE {name}")
    yield postgres.format(name)
    await execute(postgres.format("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database_url(postgres):
    """The address of a database of this test alone, with our schema."""
    name = f"test_{next(_numbers)}"
    # Copying files costs two checkpoints, which are cheap without fsync; going through the log costs more.
    await execute(postgres.format("postgres"), f"CREATE DATABASE {name} TEMPLATE template_ledger STRATEGY file_copy")
    yield postgres.format(name)
    await execute(postgres.format("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def pool(database_url):
    """Connections to `database_url` that know our types."""
    async with open_pool(database_url, application="test", max_size=4) as opened:
        yield opened


@pytest.fixture(scope="session")
def redis_url():
    """The address of a Valkey that runs for the whole session."""
    with short_lived_home() as directory:
        server = EmbeddedValkey(directory)
        server.enter()
        try:
            yield server.url
        finally:
            server.leave()


@pytest.fixture
async def net():
    """A localnet that ticks fast: 20 slots a second, final after 8 of them."""
    async with Localnet.start(port=0, slot_seconds=0.05, finalize_slots=8) as running:
        yield running
