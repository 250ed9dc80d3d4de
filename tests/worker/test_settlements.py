"""Payments over x402 that are under way go on whoever dies; the final answer equals the chain."""

import asyncio
import contextlib

import pytest
import structlog
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair

from chain.rpc import RpcError
from indexer.main import running_indexer
from ledger import settlements
from ledger.invariants import check_invariants
from localnet import Localnet
from runtime.crash_points import watch_steps
from tests.support.altering_node import AlteringNode, failing_for_good, landed
from tests.support.dying_worker import KilledError, dying_at
from tests.support.job_shop import fast_settings
from tests.support.ledger_checks import eventually
from tests.support.ledger_checks import fast_settings as fast_indexer
from tests.support.settlement_rows import give_back
from tests.support.wallets import SPL, USDC, signed, token_account
from tests.support.x402_seller import AMOUNT, seller
from worker.context import open_worker_context
from worker.settlements import move_settlements

__all__ = ["seller"]


@pytest.fixture
async def following(seller, net, database_url):
    async with running_indexer(
        fast_indexer(INDEXER_FINALIZE_SECONDS=0.2), database_url, [net.rpc_url], [net.ws_url]
    ) as running:
        await eventually(lambda: running.feed.watching >= 2)
        yield running


@pytest.fixture
async def passes(seller, net, database_url):
    async with open_worker_context(fast_settings(), database_url, [net.rpc_url]) as opened:
        yield opened


async def until(seller, passes, found, status):
    async def reached():
        with contextlib.suppress(RpcError):
            await move_settlements(passes, older_seconds=0)
        return await seller.status(found) == status

    await eventually(reached, seconds=30, pause=0.1)


async def test_what_was_stored_is_sent_and_settled(seller, following, passes):
    found = await seller.sign()
    await until(seller, passes, found, "settled")
    assert seller.received() == AMOUNT
    assert await check_invariants(seller.pool) == []


@pytest.mark.parametrize("point", ["before claim", "after claim", "before broadcast", "after broadcast"])
async def test_a_worker_that_dies_at_any_step(seller, following, passes, point):
    found = await seller.sign()
    died = False
    for _ in range(3):
        with watch_steps(dying_at(point)):
            try:
                await move_settlements(passes, older_seconds=0)
            except KilledError:
                died = True
    assert died
    await until(seller, passes, found, "settled")
    assert seller.received() == AMOUNT
    assert await seller.pool.fetchval("SELECT count(*) FROM transactions") == 1


async def test_an_underfunded_wallet_pays_once_and_the_rest_failed_for_good(seller, following, passes):
    poor = Keypair()
    seller.net.chain.faucet.fund_token(poor.pubkey(), USDC, AMOUNT)
    seller.net.chain.tick(1)
    seller.buyer = poor
    found = [await seller.sign(memo=f"race {n}") for n in range(6)]
    for one in found:
        await until(seller, passes, one, await _decided(seller, passes, one))
    statuses = sorted([await seller.status(one) for one in found])
    assert statuses == ["failed"] * 5 + ["settled"]
    assert seller.received() == AMOUNT
    rows = await seller.pool.fetch(
        "SELECT reason, detail, slot, lamports_spent FROM settlements WHERE status = 'failed'"
    )
    assert {row["reason"] for row in rows} == {"invalid_exact_svm_transaction_failed"}
    assert all(row["slot"] and row["detail"] and row["lamports_spent"] == 10_001 for row in rows)


async def _decided(seller, passes, found):
    async def decided():
        await move_settlements(passes, older_seconds=0)
        return (status := await seller.status(found)) in {"settled", "failed"} and status

    return await eventually(decided, seconds=30, pause=0.1)


async def test_what_can_never_land_fails_only_when_its_blockhash_is_dead_and_final(seller, following, passes, net):
    net.set_faults({"transactionsLost": 1})
    found = await seller.sign()
    await move_settlements(passes, older_seconds=0)
    assert await seller.status(found) == "sent"
    net.chain.tick(140)
    await move_settlements(passes, older_seconds=0)
    assert await seller.status(found) == "sent"
    net.chain.tick(30)
    await until(seller, passes, found, "failed")
    row = await seller.pool.fetchrow("SELECT reason, slot, lamports_spent FROM settlements")
    assert tuple(row) == ("invalid_transaction_state", None, 0)
    assert seller.received() == 0


@pytest.mark.parametrize(("witnesses", "decided"), [(1, "failed"), (2, "sent")])
async def test_while_one_of_two_nodes_is_away_the_operator_says_whether_the_other_decides(
    seller, database_url, net, witnesses, decided
):
    settings = fast_settings(RPC_WITNESSES=witnesses)
    async with (
        AlteringNode(net).serve() as away,
        open_worker_context(settings, database_url, [net.rpc_url, away.rpc_url]) as passes,
    ):
        net.set_faults({"transactionsLost": 1})
        found = await seller.sign()
        away.is_away = True
        with structlog.testing.capture_logs() as logs:
            await move_settlements(passes, older_seconds=0)
            net.chain.tick(400)
            for _ in range(2):
                await move_settlements(passes, older_seconds=0)
        assert await seller.status(found) == decided
        said = [entry["event"] for entry in logs if entry["event"] == "too_few_nodes_to_decide"]
        assert len(said) == witnesses - 1


async def _hand_over_source(seller):
    """The buyer gives its token account to the seller, who lets it spend from there."""
    account, buyer, owner = token_account(seller.buyer.pubkey(), USDC), seller.buyer.pubkey(), seller.seller.pubkey()
    # SetAuthority of the token program, for the owner of the account, and Approve.
    give = Instruction(
        SPL, bytes([6, 2, 1]) + bytes(owner), [AccountMeta(account, False, True), AccountMeta(buyer, True, False)]
    )
    allow = Instruction(
        SPL,
        bytes([4]) + AMOUNT.to_bytes(8, "little"),
        [AccountMeta(account, False, True), AccountMeta(buyer, False, False), AccountMeta(owner, True, False)],
    )
    chain = seller.net.chain
    chain.send(signed([give, allow], [seller.fee_payer, seller.buyer, seller.seller], chain.blocks[-1].hash))
    chain.tick(3)


async def test_what_comes_from_an_account_that_was_handed_to_the_seller_has_failed(seller, following, passes, net):
    found = await seller.sign()
    await _hand_over_source(seller)
    await move_settlements(passes, older_seconds=0)
    await eventually(seller.received)
    net.chain.tick(40)
    await seller.make_older()
    await until(seller, passes, found, "failed")
    row = await seller.pool.fetchrow("SELECT reason, lamports_spent FROM settlements")
    assert tuple(row) == ("invalid_exact_svm_payload_recipient_mismatch", 10_001)
    assert await check_invariants(seller.pool) == []


async def test_what_was_given_back_before_it_was_settled_has_failed(seller, following, passes, net):
    found = await seller.sign()
    await give_back(seller.pool, (await settlements.find_by_id(seller.pool, found)).signature)
    await move_settlements(passes, older_seconds=0)
    await eventually(seller.received)
    net.chain.tick(40)
    await until(seller, passes, found, "failed")
    assert await seller.pool.fetchval("SELECT detail FROM settlements") == "it was given back"


async def test_nodes_are_asked_what_a_payment_did_after_all_is_sent_and_of_old_ones_alone(
    seller, passes, database_url, net
):
    await seller.sign()
    await move_settlements(passes, older_seconds=0)
    await eventually(seller.received)
    net.chain.tick(40)
    kept_by_then = []

    def watch(call, answer):
        if call["method"] == "getTransaction":
            kept_by_then.append(len(node.kept))

    async with (
        AlteringNode(net, watch, keeps_transactions=True).serve() as node,
        open_worker_context(fast_settings(), database_url, [node.rpc_url]) as other,
    ):
        # No indexer runs: the ledger knows nothing of the first.
        await move_settlements(other, older_seconds=0)
        assert kept_by_then == []
        await seller.make_older()
        await seller.sign(memo="another")
        await move_settlements(other, older_seconds=0)
        assert kept_by_then == [1]


async def test_a_lost_broadcast_is_made_good(seller, following, passes, net):
    net.set_faults({"transactionsLost": 1})
    found = await seller.sign()
    await move_settlements(passes, older_seconds=0)
    net.set_faults(None)
    await until(seller, passes, found, "settled")
    assert seller.received() == AMOUNT


@pytest.mark.parametrize("fate", ["dropped", "landed again"])
async def test_a_fork_takes_it_back(seller, following, passes, net, fate):
    found = await seller.sign()
    await until(seller, passes, found, "settled")
    signature = (await settlements.find_by_id(seller.pool, found)).signature
    lost = [signature] if fate == "dropped" else []
    net.chain.fork(3, drop=lost, reland=[] if lost else [signature])
    await eventually(lambda: net.chain.find(signature) is not None or lost)

    # Where the fork has dropped them, the same bytes land once more.
    async def landed_again():
        await move_settlements(passes, older_seconds=0)
        return seller.received() == AMOUNT and await seller.status(found) == "settled"

    await eventually(landed_again, seconds=30, pause=0.1)


LIES = {
    "behind": {"nodeBehindSlots": 30},
    "no history": {"nullTransactions": 0.5, "transactionsLost": {"rate": 0.5}},
    "errors": {"rpcErrors": {"rate": 0.3}, "serverErrors": {"rate": 0.2}},
    "too many requests": {"tooManyRequests": {"rate": 0.3}},
}


@pytest.mark.parametrize("lie", LIES)
async def test_nodes_that_lie(seller, following, database_url, net, lie):
    """The worker's node lies, the indexer's does not."""
    async with (
        Localnet.start(chain=net.chain, seed=7) as liar,
        open_worker_context(fast_settings(), database_url, [liar.rpc_url]) as passes,
    ):
        found = await seller.sign()
        liar.set_faults(LIES[lie])
        for _ in range(4):
            with contextlib.suppress(RpcError):
                await move_settlements(passes, older_seconds=0)
            assert await seller.status(found) != "failed"
        liar.set_faults(None)
        await until(seller, passes, found, "settled")
    assert seller.received() == AMOUNT


def far_ahead(call, answer):
    if call["method"] == "getEpochInfo":
        answer["result"] |= {"blockHeight": 10**12, "absoluteSlot": 10**12}


OF_ONE = {
    "it is confirmed": landed("confirmed"),
    "it is final": landed("finalized"),
    "it has failed": failing_for_good,
    "it is far ahead": far_ahead,
}


@pytest.mark.parametrize("witnesses", [1, 2])
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("word", OF_ONE)
async def test_what_one_of_two_nodes_says_alone_keeps_no_payment_from_being_sent_again(
    seller, following, database_url, net, word, place, witnesses
):
    """The other one has lost it, and has it again only by what is sent to it."""
    async with AlteringNode(net, OF_ONE[word], keeps_transactions=True).serve() as liar:
        nodes = [net.rpc_url]
        nodes.insert(place, liar.rpc_url)
        async with open_worker_context(fast_settings(RPC_WITNESSES=witnesses), database_url, nodes) as passes:
            found = await seller.sign()
            net.set_faults({"transactionsLost": 1})
            await move_settlements(passes, older_seconds=0)
            assert await seller.status(found) == "sent"
            net.set_faults(None)
            await until(seller, passes, found, "settled")
    assert liar.kept
    assert seller.received() == AMOUNT


async def test_what_a_lone_node_once_calls_failed_without_showing_it_has_not_failed(
    seller, following, database_url, net
):
    async with (
        AlteringNode(net, failing_for_good, keeps_transactions=True).serve() as liar,
        open_worker_context(fast_settings(), database_url, [liar.rpc_url]) as passes,
    ):
        found = await seller.sign()
        for _ in range(3):
            await move_settlements(passes, older_seconds=0)
        assert await seller.status(found) == "sent"
        liar.change, liar.keeps_transactions = None, False
        await until(seller, passes, found, "settled")
    assert await seller.pool.fetchval("SELECT count(*) FROM events WHERE type = 'x402.failed'") == 0


async def test_two_workers_settle_it_once(seller, following, passes, database_url, net):
    found = [await seller.sign(memo=f"payment {n}") for n in range(5)]
    async with open_worker_context(fast_settings(), database_url, [net.rpc_url]) as other:
        await asyncio.gather(*(until(seller, one, found[-1], "settled") for one in (passes, other)))
        for one in found:
            await until(seller, other, one, "settled")
    assert seller.received() == 5 * AMOUNT
    assert await seller.pool.fetchval("SELECT count(*) FROM transactions") == 5
    assert await check_invariants(seller.pool) == []
