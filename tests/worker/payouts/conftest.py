"""What the tests of payouts share."""

import pytest

from tests.support.job_shop import fast_settings
from worker.context import open_worker_context


@pytest.fixture
async def keyless(shop, indexer, net, database_url):
    """A worker without the wallet's key."""
    settings = fast_settings(SETTLEMENT_WALLET=str(shop.wallet.pubkey()))
    async with open_worker_context(settings, database_url, [net.rpc_url]) as opened:
        yield opened
