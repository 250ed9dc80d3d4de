"""A market whose recipients are followed by a running indexer, and an API over the same ledger."""

import pytest

from indexer.main import running_indexer
from tests.indexer.conftest import market, market_of
from tests.support.api_client import key_for, running_api
from tests.support.ledger_checks import eventually, fast_settings
from tests.support.ledger_rows import NO_NODE, Till

__all__ = ["market", "market_of"]


@pytest.fixture
async def indexer(market, net, database_url):
    async with running_indexer(
        fast_settings(INDEXER_FINALIZE_SECONDS=0.2), database_url, [net.rpc_url], [net.ws_url]
    ) as running:
        await eventually(lambda: running.feed.watching >= 6)
        yield running


@pytest.fixture
async def api(database_url, redis_url, net):
    async with running_api(database_url, redis_url, [net.rpc_url]) as client:
        yield client


@pytest.fixture
async def till(database_url, redis_url, pool):
    """A merchant whose API asks no chain and waits for a tenth of a second."""
    async with running_api(database_url, redis_url, [NO_NODE], VERIFY_WAIT_MS=100) as client:
        yield await Till(client, pool).open()


@pytest.fixture
async def merchant(api, pool):
    """The merchant of the market, with a key that may read and write."""
    return api.holding(await key_for(pool))


@pytest.fixture
async def admin(api, pool):
    return api.holding(await key_for(pool, "operations", ("read", "write", "admin")))
