"""What one node says alone, a failure, a height or a slot, does not decide about a payment under way."""

import base64
import contextlib

import pytest

from chain.rpc import RpcError
from tests.support.altering_node import AlteringNode, failing_for_good
from tests.support.api_client import key_for, running_api
from tests.support.job_shop import fast_settings
from tests.support.ledger_checks import eventually
from tests.support.wallets import USDC, token_account
from tests.support.x402_parties import settled
from worker.context import open_worker_context
from worker.settlements import move_settlements


def far_ahead(call, answer):
    if call["method"] == "getEpochInfo":
        answer["result"] |= {"blockHeight": 10**12, "absoluteSlot": 10**12}


def far_ahead_at_no_slot(call, answer):
    if call["method"] == "getEpochInfo":
        answer["result"] |= {"blockHeight": 10**12, "absoluteSlot": 1}


def far_ahead_and_failing(call, answer):
    far_ahead(call, answer)
    failing_for_good(call, answer)


LIES = [failing_for_good, far_ahead, far_ahead_at_no_slot, far_ahead_and_failing]


async def pass_over(worker, times=3):
    for _ in range(times):
        with contextlib.suppress(RpcError):
            await move_settlements(worker, older_seconds=0)


async def open_ones(pool):
    return await pool.fetchval("SELECT count(*) FROM settlements WHERE status IN ('signed', 'sent')")


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("lie", LIES)
async def test_one_of_two_nodes_does_not_make_a_payment_fail(
    database_url, redis_url, net, parties, pool, following, lie, place
):
    async with AlteringNode(net, lie).serve() as liar:
        nodes = [net.rpc_url]
        nodes.insert(place, liar.rpc_url)
        async with (
            running_api(database_url, redis_url, nodes, **{**parties.settings, "X402_WAIT_SECONDS": 2}) as api,
            open_worker_context(fast_settings(), database_url, nodes) as worker,
        ):
            client = api.holding(await key_for(pool))
            purchase = await parties.purchase()
            # Nobody sends it yet, so that the other node knows nothing of it.
            net.set_faults({"transactionsLost": 1})
            assert (await settled(client, purchase))["errorReason"] == "settlement_pending"
            await pass_over(worker)
            assert await open_ones(pool) == 1
            net.set_faults(None)
            wire = base64.b64encode(await pool.fetchval("SELECT wire FROM settlements")).decode()
            await parties.call("sendTransaction", wire, {"encoding": "base64", "skipPreflight": True})
            said = await eventually(lambda: succeeded(client, purchase))
            assert said["success"], said
    assert net.chain.true_token_balance(token_account(parties.shop, USDC)) == 10_000


async def succeeded(client, purchase):
    said = await settled(client, purchase)
    return said if said["success"] or said["errorReason"] != "settlement_pending" else None


@pytest.mark.parametrize("lie", LIES)
async def test_a_liar_does_not_decide_while_the_other_node_is_away(
    database_url, redis_url, net, parties, pool, following, lie
):
    async with running_api(
        database_url, redis_url, [net.rpc_url], **{**parties.settings, "X402_WAIT_SECONDS": 0.3}
    ) as api:
        client = api.holding(await key_for(pool))
        net.set_faults({"transactionsLost": 1})
        assert (await settled(client, await parties.purchase()))["errorReason"] == "settlement_pending"
        async with (
            AlteringNode(net, lie).serve() as liar,
            AlteringNode(net).serve() as other,
            open_worker_context(fast_settings(), database_url, [liar.rpc_url, other.rpc_url]) as worker,
        ):
            other.is_away = True
            await pass_over(worker)
    assert await open_ones(pool) == 1


async def test_what_has_died_for_both_nodes_fails_though_one_says_more(
    database_url, redis_url, net, parties, pool, following
):
    async with (
        AlteringNode(net, failing_for_good).serve() as liar,
        running_api(database_url, redis_url, [net.rpc_url], **{**parties.settings, "X402_WAIT_SECONDS": 0.3}) as api,
        open_worker_context(fast_settings(), database_url, [liar.rpc_url, net.rpc_url]) as worker,
    ):
        client = api.holding(await key_for(pool))
        net.set_faults({"transactionsLost": 1})
        assert (await settled(client, await parties.purchase()))["errorReason"] == "settlement_pending"
        net.chain.tick(200)

        async def failed():
            await pass_over(worker, 1)
            return not await open_ones(pool)

        await eventually(failed)
        decided = await pool.fetchrow("SELECT reason, slot, lamports_spent - lamports_reserved FROM settlements")
        # One says that it landed, if for nothing: then it has cost its fee.
        assert tuple(decided) == ("invalid_transaction_state", None, 0)


def height_by(method, key, value):
    """Alters one height in the answers to `method`, as often as `times` says."""

    def change(call, answer):
        if call["method"] == method and change.times > 0:
            change.times -= 1
            if key is None:
                answer["result"] = value
            else:
                place = answer["result"].get("value", answer["result"])
                place |= {key: value, **({"absoluteSlot": value} if key == "blockHeight" else {})}

    change.times = 10**9
    return change


HEIGHTS = {
    "getBlockHeight": ("getBlockHeight", None),
    "getEpochInfo": ("getEpochInfo", "blockHeight"),
    "getLatestBlockhash": ("getLatestBlockhash", "lastValidBlockHeight"),
}


@pytest.mark.parametrize("method", HEIGHTS)
async def test_one_lie_about_the_height_keeps_nothing_open(
    database_url, redis_url, net, parties, pool, following, passes, method
):
    lie = height_by(*HEIGHTS[method], 10**15)
    async with (
        AlteringNode(net, lie).serve() as liar,
        running_api(database_url, redis_url, [liar.rpc_url], **{**parties.settings, "X402_WAIT_SECONDS": 0.3}) as api,
    ):
        client = api.holding(await key_for(pool))
        net.set_faults({"transactionsLost": 1})
        lie.times = 1
        assert (await settled(client, await parties.purchase()))["errorReason"] == "settlement_pending"
        lie.times = 0
        assert (await settled(client, await parties.purchase()))["errorReason"] == "settlement_pending"
        await pass_over(passes, 1)
        net.chain.tick(400)

        async def decided():
            await pass_over(passes, 1)
            return not await open_ones(pool)

        await eventually(decided)


@pytest.mark.parametrize("height", [2**62 + 1, 2**63 - 1, 2**63, 2**64, -1])
async def test_a_height_that_cannot_be_is_an_outage(database_url, redis_url, net, parties, pool, following, height):
    def lie(call, answer):
        if call["method"] == "getBlockHeight":
            answer["result"] = height
        elif call["method"] == "getEpochInfo":
            answer["result"]["blockHeight"] = height

    async with AlteringNode(net, lie).serve() as liar:
        async with running_api(database_url, redis_url, [liar.rpc_url], **parties.settings) as api:
            client = api.holding(await key_for(pool))
            reply = await client.post("/x402/settle", (await parties.purchase()).body())
            assert reply.status == 503, reply.text
        async with running_api(database_url, redis_url, [liar.rpc_url, net.rpc_url], **parties.settings) as api:
            client = api.holding(await key_for(pool))
            assert (await settled(client, await parties.purchase()))["success"]
