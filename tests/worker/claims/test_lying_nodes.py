"""What one node says alone, of a transaction or a height, neither refuses a pending claim nor keeps it for ever."""

import contextlib

import pytest

from chain.rpc import RpcError
from tests.support.altering_node import AlteringNode, failing_for_good
from tests.support.job_shop import fast_settings
from tests.support.ledger_checks import eventually
from tests.support.ledger_rows import new_signature
from tests.support.pending_claims import claim
from worker.claims.decide import reconcile
from worker.context import open_worker_context


async def status(shop, claim_id):
    return await shop.pool.fetchval("SELECT status::text FROM transactions WHERE id = $1", claim_id)


async def pass_over(context, times=3):
    for _ in range(times):
        with contextlib.suppress(RpcError):
            await reconcile(context)


def far_ahead(call, answer):
    if call["method"] == "getEpochInfo":
        answer["result"] |= {"blockHeight": 10**12, "absoluteSlot": 10**12}
    elif call["method"] in {"getBlockHeight", "getSlot"}:
        answer["result"] = 10**12
    elif call["method"] == "getSignatureStatuses":
        answer["result"]["context"]["slot"] = 10**13


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("lie", [failing_for_good, far_ahead])
async def test_one_of_two_nodes_refuses_no_claim(shop, indexer, net, database_url, lie, place):
    found = await claim(shop, new_signature(), age_seconds=60)
    async with AlteringNode(net, lie).serve() as liar:
        nodes = [net.rpc_url]
        nodes.insert(place, liar.rpc_url)
        async with open_worker_context(fast_settings(), database_url, nodes) as context:
            await pass_over(context)
    assert await status(shop, found) == "pending"


async def test_what_one_node_calls_failed_expires_once_it_has_died_for_all(shop, indexer, net, database_url):
    found = await claim(shop, new_signature(), age_seconds=60)
    async with (
        AlteringNode(net, failing_for_good).serve() as liar,
        open_worker_context(fast_settings(), database_url, [liar.rpc_url, net.rpc_url]) as context,
    ):
        await pass_over(context)
        net.chain.tick(200)

        async def is_expired():
            await pass_over(context, 1)
            return await status(shop, found) == "expired"

        await eventually(is_expired)


async def test_one_lie_about_the_height_keeps_no_claim_pending(shop, indexer, net, database_url):
    found = await claim(shop, new_signature(), age_seconds=60)
    async with (
        AlteringNode(net, far_ahead).serve() as liar,
        open_worker_context(fast_settings(), database_url, [liar.rpc_url]) as context,
    ):
        await pass_over(context, 1)
        liar.change = None
        await pass_over(context, 2)
        net.chain.tick(200)

        async def is_expired():
            await pass_over(context, 1)
            return await status(shop, found) == "expired"

        await eventually(is_expired)
