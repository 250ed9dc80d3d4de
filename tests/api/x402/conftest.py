"""A seller whose wallet is followed, a buyer with money and no SOL, and a facilitator with a fee payer."""

import pytest

from indexer.main import running_indexer
from tests.support.api_client import key_for, running_api
from tests.support.job_shop import fast_settings as worker_settings
from tests.support.ledger_checks import eventually, fast_settings
from tests.support.x402_parties import X402Parties, open_parties
from worker.context import open_worker_context


@pytest.fixture
async def parties(net, pool) -> X402Parties:
    return await open_parties(net, pool)


@pytest.fixture
async def facilitator(parties, database_url, redis_url, net):
    """A client without a key of an API that settles over x402."""
    async with running_api(database_url, redis_url, [net.rpc_url], **parties.settings) as client:
        yield client


@pytest.fixture
async def seller(facilitator, pool):
    """The seller, with its API key."""
    return facilitator.holding(await key_for(pool))


@pytest.fixture
async def following(parties, net, database_url):
    """An indexer that follows the seller's wallet."""
    async with running_indexer(
        fast_settings(INDEXER_FINALIZE_SECONDS=0.2), database_url, [net.rpc_url], [net.ws_url]
    ) as running:
        await eventually(lambda: running.feed.watching >= 2)
        yield running


@pytest.fixture
async def passes(net, pool, database_url):
    """A worker's context whose passes a test runs itself."""
    async with open_worker_context(worker_settings(), database_url, [net.rpc_url]) as opened:
        yield opened
