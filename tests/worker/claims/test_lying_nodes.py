"""What one node says alone, or shows no more, neither refuses a pending claim nor keeps it for ever."""

import contextlib

import pytest
from solders.keypair import Keypair

from chain.rpc import RpcError, RpcLimits
from ledger.index_requests import INDEX_REQUESTS_CHANNEL
from localnet import payments as pay
from localnet.payments import USDC
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


DAY_SECONDS = 86_400


def without_history(call, answer):
    """As a node that keeps its history for a few days only."""
    if call["method"] == "getTransaction":
        answer["result"] = None
    elif call["method"] == "getSignatureStatuses":
        answer["result"]["value"] = [None for _ in call["params"][0]]


def showing_nothing(call, answer):
    """Know what became of transactions, and show none of them."""
    if call["method"] == "getTransaction":
        answer["result"] = None


async def paid(shop, net, to):
    """A transaction that pays `to`, final."""
    await shop.call("localnet_fundToken", str(to), str(USDC), 0)
    signature = await shop.send(pay.plain(shop.client.pubkey(), to, 1_000).instructions, shop.client)
    net.chain.tick(40)
    return signature


@contextlib.asynccontextmanager
async def asked_of(net, database_url, *changes):
    """A worker's context with one node for each of `changes`; `None` changes nothing."""
    async with contextlib.AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(AlteringNode(net, change).serve()) for change in changes]
        urls = [node.rpc_url for node in nodes]
        yield await stack.enter_async_context(open_worker_context(fast_settings(), database_url, urls))


async def ended(shop, claim_id):
    return tuple(await shop.pool.fetchrow("SELECT status::text, code FROM transactions WHERE id = $1", claim_id))


@pytest.mark.parametrize("changes", [(None, without_history), (without_history, None), (showing_nothing, None)])
async def test_what_one_of_two_nodes_shows_no_more_ends_within_a_day(shop, net, database_url, changes):
    signature = await paid(shop, net, Keypair().pubkey())
    young = await claim(shop, signature, age_seconds=DAY_SECONDS - 3_600)
    async with asked_of(net, database_url, *changes) as context:
        await pass_over(context)
        assert await status(shop, young) == "pending"
        old = await claim(shop, signature, age_seconds=DAY_SECONDS + 60)
        await pass_over(context)
    assert await ended(shop, old) == ("failed", "RECIPIENT_MISMATCH")
    assert await status(shop, young) == "pending"


async def test_indexers_are_asked_once_for_what_a_node_does_not_show(shop, net, database_url):
    signature = await paid(shop, net, Keypair().pubkey())
    await claim(shop, signature)
    heard = []

    def hear(*words):
        heard.append(words)

    async with shop.pool.acquire() as listening, asked_of(net, database_url, None, without_history) as context:
        await listening.add_listener(INDEX_REQUESTS_CHANNEL, hear)
        await pass_over(context, 5)
        # Whatever was notified before is here with the answer.
        await listening.fetchval("SELECT 1")
        await listening.remove_listener(INDEX_REQUESTS_CHANNEL, hear)
    assert len(heard) == 1
    asked = "SELECT count(*) FROM events WHERE type = 'index.requested' AND subject = $1"
    assert await shop.pool.fetchval(asked, signature) == 1


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_two_nodes_refuse_what_a_third_shows_no_more(shop, net, database_url, place):
    found = await claim(shop, await paid(shop, net, Keypair().pubkey()))
    changes = [None, None]
    changes.insert(place, without_history)
    async with asked_of(net, database_url, *changes) as context:
        await pass_over(context, 1)
    assert await ended(shop, found) == ("failed", "RECIPIENT_MISMATCH")


@pytest.mark.parametrize("changes", [(showing_nothing,), (showing_nothing, showing_nothing)])
async def test_what_no_node_shows_any_more_expires_after_a_day(shop, net, database_url, changes):
    signature = await paid(shop, net, Keypair().pubkey())
    young, old = await claim(shop, signature), await claim(shop, signature, age_seconds=DAY_SECONDS + 60)
    async with asked_of(net, database_url, *changes) as context:
        await pass_over(context)
    assert await ended(shop, old) == ("expired", "TRANSACTION_FAILED")
    assert await status(shop, young) == "pending"


def showing(model):
    """Show in the place of every transaction what the answer `model` holds, under its own signature."""

    def change(call, answer):
        if call["method"] == "getTransaction":
            answer["result"] = model

    return change


@pytest.mark.parametrize("other", [without_history, showing_nothing, "another"])
@pytest.mark.parametrize("place", [0, 1])
async def test_what_one_node_shows_as_paying_us_is_ended_by_nobody(shop, net, database_url, other, place):
    signature = await paid(shop, net, shop.wallet.pubkey())
    if other == "another":
        foreign = await paid(shop, net, Keypair().pubkey())
        other = showing(
            await shop.call("getTransaction", foreign, {"encoding": "base64", "maxSupportedTransactionVersion": 0})
        )
    found = await claim(shop, signature, age_seconds=DAY_SECONDS + 60)
    changes = [None]
    changes.insert(place, other)
    async with asked_of(net, database_url, *changes) as context:
        await pass_over(context, 4)
    assert await status(shop, found) == "pending"
    assert await shop.pool.fetchval("SELECT signature FROM index_requests") == signature


async def test_an_outage_of_all_that_show_transactions_ends_no_claim(shop, net, database_url):
    def failing(call, answer):
        if call["method"] == "getTransaction":
            answer.pop("result", None)
            answer["error"] = {"code": -32603, "message": "no history at the moment"}

    found = await claim(shop, await paid(shop, net, shop.wallet.pubkey()), age_seconds=DAY_SECONDS + 60)
    async with asked_of(net, database_url, failing, failing) as context:
        context.node.pool.limits = RpcLimits(attempts=1, call_seconds=2.0)
        await pass_over(context, 4)
    assert await status(shop, found) == "pending"
