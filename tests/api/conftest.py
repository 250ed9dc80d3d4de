"""A market whose recipients are followed by a running indexer, and an API over the same ledger."""

import pytest

from indexer.main import running_indexer
from tests.support.fixtures.followed_market import market, market_of
from tests.support.fixtures.merchants import admin, api, merchant, vendor
from tests.support.ledger_checks import eventually, fast_settings

__all__ = ["admin", "api", "market", "market_of", "merchant", "vendor"]


@pytest.fixture
async def indexer(market, net, database_url):
    async with running_indexer(
        fast_settings(INDEXER_FINALIZE_SECONDS=0.2), database_url, [net.rpc_url], [net.ws_url]
    ) as running:
        await eventually(lambda: running.feed.watching >= 6)
        yield running
