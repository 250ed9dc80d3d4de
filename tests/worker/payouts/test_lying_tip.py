"""A node that lies about a payout, or keeps it, neither makes us pay twice nor keeps us from paying."""

import asyncio
import contextlib

import pytest

from chain.rpc import RpcError
from localnet.payments import USDC
from tests.support.altering_node import AlteringNode, failing_for_good
from tests.support.dying_worker import approved_order, attempts, paid_once
from tests.support.job_shop import PRICE, fast_settings, secret
from tests.support.ledger_checks import eventually
from worker.context import open_worker_context
from worker.escrow import move_jobs_and_payouts
from worker.payouts.rows import retry_payouts


@contextlib.asynccontextmanager
async def working(shop, database_url, nodes):
    """A worker's context whose passes a test runs itself, and an order of which a payout is due."""
    # Other people's money, as a settlement wallet holds it.
    await shop.call("localnet_fundToken", str(shop.wallet.pubkey()), str(USDC), 10 * PRICE)
    settings = fast_settings(SETTLEMENT_KEYPAIR=secret(shop.wallet))
    async with open_worker_context(settings, database_url, [node.rpc_url for node in nodes]) as context:
        yield context, await approved_order(shop, context)


async def pass_over(context, order, times=30, until=lambda rows: False):
    for _ in range(times):
        with contextlib.suppress(RpcError):
            await move_jobs_and_payouts(context)
        if until(await attempts(order)):
            break
        await asyncio.sleep(0.1)


async def release(context, order):
    for _ in range(100):
        await pass_over(context, order, 1)
        if (await order.row())["escrow_status"] == "released":
            return
    raise AssertionError([dict(row) for row in await attempts(order)])


def far_ahead(call, answer):
    if call["method"] == "getEpochInfo":
        answer["result"]["blockHeight"] = answer["result"]["absoluteSlot"] - 1
        answer["result"]["absoluteSlot"] += 10**9
        answer["result"]["blockHeight"] += 10**9


def far_ahead_at_a_true_slot(call, answer):
    if call["method"] == "getEpochInfo":
        answer["result"]["blockHeight"] = 10**9


def far_ahead_at_no_slot(call, answer):
    if call["method"] == "getEpochInfo":
        answer["result"] |= {"blockHeight": 10**9, "absoluteSlot": 10**9}
    elif call["method"] == "getSignatureStatuses":
        answer["result"]["context"]["slot"] = 10**10


def at_the_beginning(call, answer):
    """Says when something is signed that the chain is at its beginning, so that it seems to die at once."""
    if call["method"] == "getLatestBlockhash":
        answer["result"]["value"]["lastValidBlockHeight"] = 1
    elif call["method"] == "getEpochInfo" and call["params"][0]["commitment"] == "processed":
        answer["result"] |= {"blockHeight": 1, "absoluteSlot": 1}


LIES = [far_ahead, far_ahead_at_a_true_slot, far_ahead_at_no_slot, at_the_beginning]


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("lie", LIES)
async def test_what_one_node_says_of_the_height_ends_no_attempt(shop, indexer, net, database_url, lie, place):
    async with (
        AlteringNode(net, lie, keeps_transactions=True).serve() as liar,
        AlteringNode(net, keeps_transactions=True).serve() as other,
    ):
        # The other tells the truth; it loses what it is given, so that the ledger knows nothing.
        nodes = [other]
        nodes.insert(place, liar)
        async with working(shop, database_url, nodes) as (context, order):
            await pass_over(context, order)
            assert liar.kept
            assert len(await attempts(order)) == 1
            await liar.let_go()
            await release(context, order)
            await paid_once(shop)


@pytest.mark.parametrize("lie", LIES)
async def test_what_a_lone_node_says_of_the_height_is_bounded_by_the_slots_that_have_passed(
    shop, indexer, net, database_url, lie
):
    async with (
        AlteringNode(net, lie, keeps_transactions=True).serve() as liar,
        working(shop, database_url, [liar]) as (context, order),
    ):
        # Longer than a blockhash lives: whatever is signed anew by then, the first can land no more.
        await pass_over(context, order, 150, until=lambda rows: len(rows) > 1)
        assert liar.kept
        await liar.let_go()
        await asyncio.sleep(1)
        assert await shop.balance(shop.provider.pubkey()) <= PRICE
        liar.change, liar.keeps_transactions = None, False
        await release(context, order)
        await paid_once(shop)


async def test_a_liar_ends_no_attempt_while_the_other_node_is_away(shop, indexer, net, database_url):
    async with (
        AlteringNode(net, far_ahead_at_no_slot, keeps_transactions=True).serve() as liar,
        AlteringNode(net, keeps_transactions=True).serve() as other,
        working(shop, database_url, [liar, other]) as (context, order),
    ):
        await pass_over(context, order, 1)
        other.is_away = True
        await pass_over(context, order, 3)
        assert len(await attempts(order)) == 1
        await liar.let_go()
        other.is_away, liar.change = False, None
        await release(context, order)
        await paid_once(shop)


async def test_nothing_is_signed_by_what_one_of_two_nodes_says_alone_of_the_height(shop, indexer, net, database_url):
    async with (
        AlteringNode(net, at_the_beginning).serve() as liar,
        AlteringNode(net).serve() as other,
        working(shop, database_url, [liar, other]) as (context, order),
    ):
        other.is_away = True
        await pass_over(context, order, 3)
        assert await attempts(order) == []
        assert await shop.pool.fetchval("SELECT waiting_reason FROM payouts") == "too_few_nodes"
        other.is_away, liar.change = False, None
        await retry_payouts(shop.pool, ())
        await release(context, order)
        await paid_once(shop)


async def test_a_node_that_keeps_what_it_takes_holds_nothing_up(shop, indexer, net, database_url):
    async with (
        AlteringNode(net, keeps_transactions=True).serve() as keeper,
        working(shop, database_url, [keeper, net]) as (context, order),
    ):
        await release(context, order)
        assert keeper.kept
        assert len(await attempts(order)) == 1
        await paid_once(shop)


async def test_a_node_that_refuses_everything_holds_nothing_up(shop, indexer, net, database_url):
    def refusing(call, answer):
        if call["method"] == "sendTransaction":
            answer.pop("result", None)
            answer["error"] = {"code": -32002, "message": "Transaction simulation failed: it would not do"}

    async with (
        AlteringNode(net, refusing).serve() as refuser,
        working(shop, database_url, [refuser, net]) as (context, order),
    ):
        await release(context, order)
        assert len(await attempts(order)) == 1
        await paid_once(shop)


async def test_one_node_does_not_make_a_payout_a_failed_one(shop, indexer, net, database_url):
    async with (
        AlteringNode(net, failing_for_good).serve() as liar,
        working(shop, database_url, [liar, net]) as (context, order),
    ):
        net.set_faults({"transactionsLost": 1})
        await pass_over(context, order, 3)
        net.chain.tick(200)
        await pass_over(context, order, 100, until=lambda rows: any(row["outcome"] for row in rows))
        first, *_ = await attempts(order)
        assert first["outcome"] == "expired"
        net.set_faults(None)
        await release(context, order)
        await paid_once(shop)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("getBlockHeight", 10**15),
        ("getLatestBlockhash", {"lastValidBlockHeight": 10**15}),
        ("getEpochInfo", {"blockHeight": 10**15, "absoluteSlot": 10**15}),
    ],
)
async def test_one_lie_about_the_height_freezes_no_payout(shop, indexer, net, database_url, method, said):
    is_lying = [False]

    def lie(call, answer):
        if is_lying[0] and call["method"] == method:
            if isinstance(said, int):
                answer["result"] = said
            else:
                place = answer["result"].get("value", answer["result"])
                place |= said

    async with AlteringNode(net, lie).serve() as liar, working(shop, database_url, [liar]) as (context, order):
        is_lying[0] = True
        net.set_faults({"transactionsLost": 1})
        await pass_over(context, order, 1)
        assert len(await attempts(order)) == 1
        is_lying[0] = False
        await pass_over(context, order, 3)
        net.chain.tick(400)
        net.set_faults(None)
        await release(context, order)
        await paid_once(shop)


async def test_one_lie_about_the_height_keeps_no_payout_from_being_sent_again(shop, indexer, net, database_url):
    """Once it tells the truth again, by which the blockhash lives, the same bytes are sent."""
    heights = []

    def dead_and_alive_again(call, answer):
        if call["method"] == "getEpochInfo":
            heights.append(answer["result"]["blockHeight"])
            if is_lying:
                far_ahead(call, answer)
            else:
                # However long this takes: by the node's word no time has passed since it was signed.
                answer["result"]["blockHeight"] = heights[0]

    is_lying = False
    async with (
        AlteringNode(net, dead_and_alive_again, keeps_transactions=True).serve() as node,
        working(shop, database_url, [node]) as (context, order),
    ):
        await pass_over(context, order, until=lambda rows: len(rows) > 0)
        is_lying = True
        await pass_over(context, order, 100, until=lambda rows: rows[0]["dead_from_slot"] is not None)
        is_lying = False
        sent = len(node.kept)
        await pass_over(context, order, 2)
        assert len(node.kept) > sent
        assert {call["params"][0] for call in node.kept} == {node.kept[0]["params"][0]}


async def test_a_proof_at_a_slot_to_come_freezes_no_payout(shop, indexer, net, database_url):
    """A node had said so once, in an audit: what is signed is held against it until the next one."""
    async with working(shop, database_url, [net]) as (context, order):
        proven = "SELECT count(*) > 0 AND bool_and(audited_slot > 0) FROM token_accounts"
        await eventually(lambda: shop.pool.fetchval(proven))
        await shop.pool.execute("UPDATE token_accounts SET audited_slot = $1", 10**12)
        net.set_faults({"transactionsLost": 1})
        await pass_over(context, order, until=lambda rows: len(rows) > 0)
        net.chain.tick(400)
        net.set_faults(None)
        await release(context, order)
        await paid_once(shop)
