"""A market on a localnet, its recipients followed by a running indexer."""

from contextlib import asynccontextmanager

import pytest

from indexer.main import running_indexer
from localnet.market import open_market
from tests.support.ledger_checks import eventually, fast_settings, follow


@pytest.fixture
def market_of():
    """Opens a market on a localnet, its payers with money."""

    @asynccontextmanager
    async def opened(net):
        async with open_market(net.rpc_url, payers=2, recipients=2) as market:
            await market.prepare()
            yield market

    return opened


@pytest.fixture
async def market(net, pool, market_of):
    async with market_of(net) as opened:
        for wallet in opened.wallets:
            await follow(pool, wallet)
        yield opened


@pytest.fixture
async def indexer(market, net, database_url):
    async with running_indexer(fast_settings(), database_url, [net.rpc_url], [net.ws_url]) as running:
        await eventually(lambda: running.feed.watching >= 6)
        yield running
