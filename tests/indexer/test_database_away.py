"""The database goes away while payments arrive: nothing is lost, and the indexer goes on by itself."""

import asyncio

import pytest

from indexer.main import running_indexer
from migrations.migrate import upgrade
from runtime.database import open_pool
from tests.support.crashing_postgres import Postgres
from tests.support.ledger_checks import eventually, fast_settings, follow, ledger_equals_chain
from tests.support.plain_payments import plain


@pytest.fixture
async def own_postgres(home):
    """A server of this test alone, to be crashed."""
    server = Postgres(home)
    await server.start()
    yield server
    await server.stop()


async def test_a_crash_of_postgres_loses_nothing(own_postgres, net, market_of):
    dsn = own_postgres.server.dsn("postgres")
    await upgrade(dsn)
    async with open_pool(dsn, application="test", min_size=0, max_size=2) as pool, market_of(net) as market:
        for wallet in market.wallets:
            await follow(pool, wallet)
        async with running_indexer(fast_settings(), dsn, [net.rpc_url], [net.ws_url]) as indexer:
            await eventually(lambda: indexer.feed.watching >= 6 and indexer.heal_queue.is_idle)
            for n in range(3):
                await plain(market, 10 + n)
                crash = asyncio.create_task(own_postgres.crash())
                await plain(market, 20 + n)
                await crash
                await plain(market, 30 + n)
            await ledger_equals_chain(pool, market)
            assert indexer.metrics.database_retries._value.get() >= 1
