"""A seller whose wallet is followed, a buyer with money and no SOL, and a facilitator with a fee payer."""

import pytest

from tests.support.api_client import key_for, running_api
from tests.support.x402_parties import X402Parties, open_parties


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
