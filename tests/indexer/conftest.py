"""A market on a localnet, its recipients followed by a running indexer."""

import pytest

from indexer.main import running_indexer
from tests.support.fixtures.followed_market import market, market_of
from tests.support.ledger_checks import eventually, fast_settings

__all__ = ["market", "market_of"]


@pytest.fixture
async def indexer(market, net, database_url):
    async with running_indexer(fast_settings(), database_url, [net.rpc_url], [net.ws_url]) as running:
        await eventually(lambda: running.feed.watching >= 6)
        yield running
