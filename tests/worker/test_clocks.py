"""A node whose clock is wrong makes nothing late and nothing early: neither a job's money nor a request's."""

from contextlib import asynccontextmanager

import pytest

from indexer.main import running_indexer
from tests.support.foreign_node import ForeignNode
from tests.support.job_shop import fast_settings, secret
from tests.support.ledger_checks import eventually
from tests.support.ledger_checks import fast_settings as fast_indexer
from worker.main import running_worker

HOUR_SECONDS = 3600


@asynccontextmanager
async def working(shop, net, database_url, redis_url, seconds_ahead):
    settings = fast_indexer(INDEXER_AUDIT_SECONDS=0.5, INDEXER_FINALIZE_SECONDS=0.2)
    async with (
        ForeignNode(seconds_ahead=seconds_ahead).before(net) as node,
        running_indexer(settings, database_url, [node.url], [node.ws_url]) as indexer,
        running_worker(fast_settings(SETTLEMENT_KEYPAIR=secret(shop.wallet)), database_url, redis_url, [net.rpc_url]),
    ):
        await eventually(lambda: indexer.feed.watching >= 2)
        yield


async def block_is_apart(shop, seconds):
    apart = await shop.pool.fetchval("SELECT extract(epoch FROM block_time - recorded_at)::float8 FROM transfers")
    return apart == pytest.approx(seconds, abs=60)


async def test_money_that_came_in_time_funds_its_job_though_the_clock_is_ahead(shop, net, database_url, redis_url):
    async with working(shop, net, database_url, redis_url, HOUR_SECONDS):
        order = await shop.order(funding_seconds=60)
        await order.pay()
        await order.until("escrowed")
    assert await block_is_apart(shop, HOUR_SECONDS)
    assert await shop.pool.fetchval("SELECT count(*) FROM payouts") == 0
    assert await shop.violations() == []


async def test_money_that_came_late_goes_back_though_the_clock_is_behind(shop, net, database_url, redis_url):
    async with working(shop, net, database_url, redis_url, -HOUR_SECONDS):
        before = await shop.balance(shop.client.pubkey())
        order = await shop.order(funding_seconds=-1)  # its job is still open for a while
        await order.pay()

        async def returned():
            return await shop.pool.fetchval("SELECT reason FROM payouts WHERE status = 'settled'")

        assert await eventually(returned) == "late"
    assert await block_is_apart(shop, -HOUR_SECONDS)
    assert (await order.row())["escrow_status"] == "pending"
    assert await shop.balance(shop.client.pubkey()) == before
    assert await shop.violations() == []
