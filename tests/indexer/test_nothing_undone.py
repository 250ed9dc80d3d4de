"""No node alone undoes what stands: not by what it forgot, made up, or has not come to yet."""

import contextlib

import pytest

from chain.rpc import RpcError
from indexer.context import open_context
from indexer.main import running_indexer
from ledger import finality
from ledger.finality import Landing
from tests.support.fixtures.followed_market import market, market_of
from tests.support.ledger_checks import eventually, fast_settings, ledger_equals_chain
from tests.support.ledger_rows import new_signature
from tests.support.made_up_slots import FAR, SETTINGS, is_proven, nodes_of
from tests.support.plain_payments import plain

__all__ = ["market", "market_of"]


async def test_a_height_that_a_node_once_made_up_keeps_nothing_in_doubt_for_good(pool):
    landing = Landing(new_signature(), 5)
    # And one node that is behind another brings its end no nearer.
    for height in (FAR, 200, 300, 60):
        await finality.note_vanished(pool, [landing], height, lifetime_blocks=150)
    assert await pool.fetchval("SELECT missing_at_height FROM vanished_transactions") == 200
    assert await finality.dead(pool, [landing.signature], lifetime_blocks=150, height=351) == [landing]


@pytest.mark.parametrize("place", [0, 1])
async def test_one_of_two_nodes_does_not_undo_a_payment(market, net, database_url, pool, place):
    """It knows no transaction, and has the chain far beyond the end of all of them."""

    def forgetful(call, answer):
        if call["method"] == "getSignatureStatuses":
            answer["result"]["value"] = [None] * len(answer["result"]["value"])
        elif call["method"] == "getEpochInfo" and call["params"][0]["commitment"] == "finalized":
            answer["result"]["blockHeight"] += FAR
        elif call["method"] == "getBlockHeight" and call["params"][0]["commitment"] == "finalized":
            answer["result"] += FAR

    async with (
        nodes_of(net, 2, place, forgetful) as (urls, _),
        running_indexer(fast_settings(), database_url, urls, [net.ws_url]) as indexer,
        open_context(fast_settings(), database_url, urls) as context,
    ):
        await eventually(lambda: indexer.feed.watching >= 6)
        await plain(market, 7)
        await ledger_equals_chain(pool, market)
        slot = net.chain.slot("processed")
        await eventually(lambda: net.chain.slot("finalized") > slot)
        for _ in range(6):
            await context.finalizer.settle()
    assert await pool.fetchval("SELECT count(*) FROM transfers WHERE finality = 'orphaned'") == 0


@pytest.mark.parametrize("count", [1, 2])
async def test_a_node_that_catches_up_undoes_and_corrects_nothing(market, net, database_url, pool, count):
    """It was started again from an old state, and is the only node there is, or one of two."""
    net.chain.tick(2000)
    behind_by = 500

    def behind(call, answer):
        method, result = call["method"], answer.get("result")
        if method in {"getSlot", "getBlockHeight"}:
            answer["result"] -= behind_by
        elif method == "getEpochInfo":
            result["absoluteSlot"] -= behind_by
            result["blockHeight"] -= behind_by
        elif isinstance(result, dict) and "context" in result:
            seen = result["context"]["slot"] = result["context"]["slot"] - behind_by
            if method == "getSignatureStatuses":
                result["value"] = [one if one and one["slot"] <= seen else None for one in result["value"]]

    settings = fast_settings(**{**SETTINGS, "INDEXER_FINALIZE_SECONDS": 600})
    async with running_indexer(settings, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await eventually(lambda: indexer.feed.watching >= 6)
        await plain(market, 7)
        await ledger_equals_chain(pool, market)
        await eventually(lambda: is_proven(pool, 2001), seconds=60)
        await eventually(lambda: indexer.heal_queue.is_idle)
    net.chain.tick(40)
    slots = "SELECT address, audited_slot, cursor_slot FROM token_accounts ORDER BY address"
    before = await pool.fetch(slots)
    assert min(row["audited_slot"] for row in before) > 2000
    async with (
        nodes_of(net, count, 0, behind) as (urls, _),
        open_context(fast_settings(), database_url, urls) as context,
    ):
        for blocks in (500, 400, 300, 200):
            behind_by = blocks
            with contextlib.suppress(RpcError):
                await context.finalizer.settle()
            await context.auditor.audit()
        assert await pool.fetch(slots) == before
        assert await pool.fetchval("SELECT finality FROM transfers") == "confirmed"
        assert await pool.fetchval("SELECT count(*) FROM vanished_transactions") == 0
        behind_by = 0

        async def is_final():
            await context.finalizer.settle()
            return await pool.fetchval("SELECT finality FROM transfers") == "finalized"

        await eventually(is_final)
    assert (
        await pool.fetchval("SELECT count(*) FROM events WHERE type IN ('transfer.orphaned', 'audit.corrected')") == 0
    )
