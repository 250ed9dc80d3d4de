"""Payments over x402 of which nodes say odd things: each stays open by itself, and whoever lies is named."""

import pytest
import structlog

from chain import failures
from ledger import settlements
from tests.support.altering_node import AlteringNode, failing_for_good, landed
from tests.support.job_shop import fast_settings
from tests.support.metric_values import value
from tests.support.x402_seller import AMOUNT, seller
from worker import settlements as passes_of_settlements
from worker.context import open_worker_context
from worker.settlements import move_settlements

__all__ = ["seller"]


def refused(answer):
    del answer["result"]
    answer["error"] = {"code": -32601, "message": "Method not found"}


def garbled(answer):
    answer["result"] = {"slot": "none"}


def as_it_is(_):
    """What is wrong with it is our decoder."""


def fails_to_be_decoded(*_, **__):
    raise KeyError("none")


@pytest.mark.parametrize("per_page", [1, 256])
@pytest.mark.parametrize("shown", [refused, garbled, as_it_is])
async def test_one_failed_payment_that_cannot_be_shown_holds_up_no_other(
    seller, database_url, net, monkeypatch, shown, per_page
):
    monkeypatch.setattr(passes_of_settlements, "STATUSES_PER_CALL", per_page)
    odd = await seller.sign(memo="odd")
    signature = (await settlements.find_by_id(seller.pool, odd)).signature

    def change(call, answer):
        if call["method"] == "getSignatureStatuses" and signature in call["params"][0]:
            statuses, n = answer["result"]["value"], call["params"][0].index(signature)
            failing_for_good(call, answer)
            statuses[n] = answer["result"]["value"][n]
            answer["result"]["value"] = statuses
        elif call["method"] == "getTransaction" and call["params"][0] == signature:
            shown(answer)

    async with (
        AlteringNode(net).serve() as node,
        open_worker_context(fast_settings(), database_url, [node.rpc_url]) as passes,
    ):
        await move_settlements(passes, older_seconds=0)
        net.chain.tick(40)
        assert seller.received() == AMOUNT
        node.change = change
        if shown is as_it_is:
            monkeypatch.setattr(failures, "decode", fails_to_be_decoded)
        # In each pass the odd one is the oldest.
        others = [await seller.sign(memo=f"another {n}") for n in range(2)]
        for _ in range(2):
            await move_settlements(passes, older_seconds=0)
        net.chain.tick(2)
        assert seller.received() == 3 * AMOUNT
        assert [await seller.status(one) for one in [odd, *others]] == ["sent"] * 3
        defects = passes.registry.get_sample_value("pay402_database_errors_total", {"kind": "defect"})
        assert defects == (2 if shown is as_it_is else 0)


def far_ahead(call, answer):
    if call["method"] == "getEpochInfo":
        answer["result"] |= {"blockHeight": 10**12, "absoluteSlot": 10**12}


OF_ONE = {
    "it is confirmed": landed("confirmed"),
    "it is final": landed("finalized"),
    "it has failed": failing_for_good,
    "it is far ahead": far_ahead,
}


ABOUT = {word: "how far the chain is" if word == "it is far ahead" else "payments over x402" for word in OF_ONE}


def named(logs):
    return [(one["endpoint"], one["about"]) for one in logs if one["event"] == "node_contradicts_others"]


@pytest.mark.parametrize("word", OF_ONE)
async def test_a_node_that_says_alone_what_another_denies_is_named_until_it_agrees(seller, database_url, net, word):
    async with (
        AlteringNode(net, OF_ONE[word]).serve() as liar,
        open_worker_context(fast_settings(), database_url, [net.rpc_url, liar.rpc_url]) as passes,
    ):
        net.set_faults({"transactionsLost": 1})
        for lie in range(1, 3):
            await seller.sign(memo=f"payment {lie}")
            # It can land no more, by any node's word.
            await seller.make_older()
            net.chain.tick(400)
            with structlog.testing.capture_logs() as logs:
                liar.change = OF_ONE[word]
                for _ in range(2):
                    await move_settlements(passes, older_seconds=0)
            assert named(logs) == [("127.0.0.1", ABOUT[word])]
            assert value(passes.metrics.nodes_alone.labels("127.0.0.1", ABOUT[word])) >= lie
            # A payment that may still land: they are asked of it, and agree.
            await seller.sign(memo=f"young {lie}")
            liar.change = None
            await move_settlements(passes, older_seconds=0)


async def test_a_node_that_knows_a_payment_a_little_earlier_than_another_is_not_named(seller, database_url, net):
    """The payment is minutes old, and lands now: it was lost, and sent again."""
    async with (
        AlteringNode(net).serve() as later,
        open_worker_context(fast_settings(), database_url, [net.rpc_url, later.rpc_url]) as passes,
    ):
        net.set_faults({"transactionsLost": 1})
        found = await seller.sign()
        await move_settlements(passes, older_seconds=0)
        await seller.make_older()
        net.set_faults(None)
        await move_settlements(passes, older_seconds=0)
        # It is confirmed by then.
        net.chain.tick(4)
        assert seller.received() == AMOUNT
        landed_slot = net.chain.find((await settlements.find_by_id(seller.pool, found)).signature).slot

        def knows_nothing_yet(call, answer):
            if call["method"] == "getSignatureStatuses":
                answer["result"]["context"]["slot"] = landed_slot + 1
                answer["result"]["value"] = [None] * len(call["params"][0])

        later.change = knows_nothing_yet
        with structlog.testing.capture_logs() as logs:
            await move_settlements(passes, older_seconds=0)
        assert named(logs) == []
