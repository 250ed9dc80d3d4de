"""A shop on a localnet, its settlement wallet followed by a running indexer."""

import pytest
from solders.keypair import Keypair

from chain.rpc import RpcPool
from indexer.main import running_indexer
from tests.support.job_shop import Shop, fast_settings, secret
from tests.support.ledger_checks import eventually, follow
from tests.support.ledger_checks import fast_settings as fast_indexer
from worker.context import open_worker_context
from worker.main import running_worker


@pytest.fixture
async def shop(net, pool):
    async with RpcPool([net.rpc_url]) as rpc:
        opened = Shop(pool, rpc, Keypair())
        await opened.prepare()
        await follow(pool, opened.wallet.pubkey())
        yield opened


@pytest.fixture
async def indexer(shop, net, database_url):
    settings = fast_indexer(INDEXER_AUDIT_SECONDS=0.5, INDEXER_FINALIZE_SECONDS=0.2)
    async with running_indexer(settings, database_url, [net.rpc_url], [net.ws_url]) as running:
        await eventually(lambda: running.feed.watching >= 2)
        yield running


@pytest.fixture
async def context(shop, net, database_url):
    """A worker's context with the settlement key, whose passes a test runs itself."""
    settings = fast_settings(SETTLEMENT_KEYPAIR=secret(shop.wallet))
    async with open_worker_context(settings, database_url, [net.rpc_url]) as opened:
        yield opened


@pytest.fixture
async def worker(shop, indexer, net, database_url, redis_url):
    settings = fast_settings(SETTLEMENT_KEYPAIR=secret(shop.wallet))
    async with running_worker(settings, database_url, redis_url, [net.rpc_url]) as running:
        yield running
