"""What other processes ask of the indexers: a transaction at once, a stretch of history. Nobody else indexes here."""

import pytest

from indexer import index_requests
from indexer.context import open_context
from indexer.index_requests import IndexRequests
from indexer.main import running_indexer
from ledger.index_requests import Stretch, backfill_state, request_backfill, request_index
from ledger.sql import load_queries
from localnet import payments as pay
from runtime.process import working
from tests.support.ledger_checks import eventually, fast_settings

QUERIES = load_queries("ledger", "index_requests.sql")


@pytest.fixture
async def desk(market, net, database_url):
    async with open_context(fast_settings(), database_url, [net.rpc_url]) as context:
        await context.load()
        async with working(IndexRequests(context).run()):
            yield


async def missed_payment(market):
    payer = market.payers[0]
    signature = await market.pay(pay.plain(payer.pubkey(), market.recipients[0].pubkey(), 777), payer)
    await market.settled()
    return signature


async def recorded(pool, signature):
    return await pool.fetchval("SELECT count(*) FROM transfers WHERE signature = $1", signature)


async def test_a_transaction_that_is_asked_for_is_recorded_at_once(market, pool, desk):
    signature = await missed_payment(market)
    assert await recorded(pool, signature) == 0
    assert await request_index(pool, [signature, signature], "test") == 1
    assert await request_index(pool, [signature], "test") == 0
    await eventually(lambda: recorded(pool, signature))
    await eventually(
        lambda: pool.fetchval("SELECT count(*) FROM index_requests WHERE finished_at IS NOT NULL AND error IS NULL")
    )


async def test_a_request_wakes_the_indexer_that_would_look_in_an_hour(market, pool, net, database_url, monkeypatch):
    monkeypatch.setattr(index_requests, "_DEAD_SECONDS", 3 * 3600.0)
    signature = await missed_payment(market)
    await pool.execute("UPDATE recipients SET removed_at = now()")
    settings = fast_settings(INDEXER_POLL_SECONDS=3600)
    async with running_indexer(settings, database_url, [net.rpc_url], [net.ws_url]):
        assert await request_index(pool, [signature], "test") == 1
        await eventually(lambda: pool.fetchval("SELECT count(*) FROM index_requests WHERE finished_at IS NOT NULL"))


async def test_what_no_node_knows_is_asked_for_again_and_given_up_at_last(market, pool, desk):
    nothing = str(market.payers[0].sign_message(b"never sent"))
    await request_index(pool, [nothing], "test")
    await eventually(lambda: pool.fetchval("SELECT error LIKE 'no node%' FROM index_requests"))
    assert await pool.fetchval("SELECT finished_at FROM index_requests") is None
    await pool.execute("UPDATE index_requests SET tries = 100, next_try_at = now()")
    await eventually(lambda: pool.fetchval("SELECT finished_at IS NOT NULL FROM index_requests"))


async def backfilled(pool, backfill):
    state = await backfill_state(pool, backfill)
    return state if state.finished_at else None


async def test_a_backfill_tells_how_it_went(market, pool, desk):
    signature = await missed_payment(market)
    wallet = str(market.recipients[0].pubkey())
    backfill = await request_backfill(pool, Stretch(recipient=wallet), requested_by="test")
    row = await eventually(lambda: backfilled(pool, backfill))
    assert (row.status, row.error, row.progress["failed"]) == ("done", None, 0)
    assert row.progress["new"] >= 1
    assert row.progress["accountsDone"] == row.progress["accounts"] >= 2
    assert await recorded(pool, signature) == 1


async def test_a_backfill_of_one_transaction(market, pool, desk):
    signature = await missed_payment(market)
    backfill = await request_backfill(pool, Stretch(signature=signature), requested_by="test")
    row = await eventually(lambda: backfilled(pool, backfill))
    assert (row.status, row.progress["new"]) == ("done", 1)
    assert await recorded(pool, signature) == 1


async def test_a_backfill_left_behind_is_taken_up_again(market, pool, desk):
    signature = await missed_payment(market)
    backfill = await pool.fetchval(
        "INSERT INTO backfill_requests (requested_by, status, alive_at)"
        " VALUES ('test', 'running', clock_timestamp() - interval '1 hour') RETURNING id"
    )
    row = await eventually(lambda: backfilled(pool, backfill))
    assert row.status == "done"
    assert await recorded(pool, signature) == 1
