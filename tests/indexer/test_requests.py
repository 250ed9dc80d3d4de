"""What other processes ask of the indexers: a transaction at once, a stretch of history. Nobody else indexes here."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import asyncpg
import pytest

from chain.rpc import RpcError
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
async def serving_requests(market, net, database_url):
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


async def test_a_transaction_that_is_asked_for_is_recorded_at_once(market, pool, serving_requests):
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


class ScriptedRequests(IndexRequests):
    """Requests whose work a test gives; its failures come as those of a closed pool do, before anything is awaited."""

    def __init__(self, context, *, index, backfill):
        super().__init__(context)
        self.index, self.backfill = index, backfill


@pytest.fixture
async def patient_context(net, database_url, monkeypatch):
    """What requests are served with, by loops that look by themselves once in an hour."""
    monkeypatch.setattr(index_requests, "_DEAD_SECONDS", 3 * 3600.0)
    async with open_context(fast_settings(INDEXER_POLL_SECONDS=3600), database_url, [net.rpc_url]) as context:
        yield context


@pytest.mark.timeout(30)
@pytest.mark.parametrize("error", [RpcError("refused at once"), asyncpg.InterfaceError("pool is closed")], ids=str)
async def test_work_that_fails_at_once_lets_others_run(patient_context, error):
    tried = []

    async def fail():
        tried.append(1)
        raise error

    requests = ScriptedRequests(patient_context, index=fail, backfill=fail)
    requests.wake()
    async with working(requests.run()):
        await eventually(lambda: len(tried) >= 2)
        requests.wake()
        await eventually(lambda: len(tried) >= 4)
    assert len(tried) == 4


@pytest.mark.timeout(30)
async def test_a_closed_pool_lets_others_run(patient_context, database_url):
    async with asyncpg.create_pool(database_url, min_size=0) as closed:
        pass
    requests = IndexRequests(replace(patient_context, database=closed))
    requests.wake()
    troubles = patient_context.registry.get_sample_value
    async with working(requests.run()):
        await eventually(lambda: (troubles("pay402_database_errors_total", {"kind": "away"}) or 0) >= 2)


async def test_a_request_that_comes_while_one_loop_is_at_work_is_not_missed(patient_context):
    began, may_end, seen = asyncio.Event(), asyncio.Event(), []

    async def index():
        seen.append("index")
        await asyncio.sleep(0)
        return False

    async def backfill():
        seen.append("backfill")
        began.set()
        await may_end.wait()
        return False

    requests = ScriptedRequests(patient_context, index=index, backfill=backfill)
    async with working(requests.run()):
        await eventually(lambda: seen == ["index", "backfill"])
        requests.wake()
        await eventually(lambda: seen.count("index") == 2)
        may_end.set()
        await eventually(lambda: seen.count("backfill") == 2)


async def test_what_no_node_knows_is_asked_for_again_and_given_up_at_last(market, pool, serving_requests):
    nothing = str(market.payers[0].sign_message(b"never sent"))
    await request_index(pool, [nothing], "test")
    await eventually(lambda: pool.fetchval("SELECT error LIKE 'no node%' FROM index_requests"))
    assert await pool.fetchval("SELECT finished_at FROM index_requests") is None
    await pool.execute("UPDATE index_requests SET tries = 100, next_try_at = now()")
    await eventually(lambda: pool.fetchval("SELECT finished_at IS NOT NULL FROM index_requests"))


async def backfilled(pool, backfill):
    state = await backfill_state(pool, backfill)
    return state if state.finished_at else None


async def test_a_backfill_shows_how_it_went(market, pool, serving_requests):
    signature = await missed_payment(market)
    wallet = str(market.recipients[0].pubkey())
    backfill = await request_backfill(pool, Stretch(recipient=wallet), requested_by="test")
    row = await eventually(lambda: backfilled(pool, backfill))
    assert (row.status, row.error, row.progress["failed"]) == ("done", None, 0)
    assert row.progress["new"] >= 1
    assert row.progress["accountsDone"] == row.progress["accounts"] >= 2
    assert await recorded(pool, signature) == 1


async def test_a_backfill_of_one_transaction(market, pool, serving_requests):
    signature = await missed_payment(market)
    backfill = await request_backfill(pool, Stretch(signature=signature), requested_by="test")
    row = await eventually(lambda: backfilled(pool, backfill))
    assert (row.status, row.progress["new"]) == ("done", 1)
    assert await recorded(pool, signature) == 1


async def broken(*_, **__):
    """In place of a function of ours: no state of the database or the chain brings such a defect about."""
    raise KeyError("none")


async def test_a_backfill_that_meets_a_defect_has_failed_and_is_not_taken_again(
    market, pool, net, database_url, monkeypatch
):
    monkeypatch.setattr(index_requests, "backfill_signatures", broken)
    monkeypatch.setattr(index_requests, "_DEAD_SECONDS", 0.0)
    backfill = await request_backfill(pool, Stretch(signature=await missed_payment(market)), requested_by="test")
    async with open_context(fast_settings(), database_url, [net.rpc_url]) as context:
        requests = IndexRequests(context)
        with pytest.raises(KeyError):
            await requests.backfill()
        state = await backfilled(pool, backfill)
        assert (state.status, state.error) == ("failed", "a defect of pay402 (KeyError: 'none'); see the indexer's log")
        assert not await requests.backfill()


async def test_a_defect_of_the_requests_is_counted_and_ends_nothing_else(market, pool, serving_requests, monkeypatch):
    monkeypatch.setattr(index_requests, "backfill_signatures", broken)
    backfill = await request_backfill(pool, Stretch(signature=await missed_payment(market)), requested_by="test")
    await eventually(lambda: backfilled(pool, backfill))
    signature = await missed_payment(market)
    await request_index(pool, [signature], "test")
    await eventually(lambda: recorded(pool, signature))


async def test_a_transaction_that_meets_a_defect_is_given_up_at_last(market, pool, net, database_url):
    signature = await missed_payment(market)
    async with open_context(fast_settings(), database_url, [net.rpc_url]) as context:
        requests = IndexRequests(replace(context, pipeline=SimpleNamespace(ensure=broken)))
        await request_index(pool, [signature], "test")
        await pool.execute("UPDATE index_requests SET tries = 100")
        with pytest.raises(KeyError):
            await requests.index()
    error = "a defect of pay402 (KeyError: 'none'); see the indexer's log"
    assert await pool.fetchval("SELECT error FROM index_requests WHERE finished_at IS NOT NULL") == error


async def test_a_backfill_left_behind_is_taken_up_again(market, pool, serving_requests):
    signature = await missed_payment(market)
    backfill = await pool.fetchval(
        "INSERT INTO backfill_requests (requested_by, status, alive_at)"
        " VALUES ('test', 'running', clock_timestamp() - interval '1 hour') RETURNING id"
    )
    row = await eventually(lambda: backfilled(pool, backfill))
    assert row.status == "done"
    assert await recorded(pool, signature) == 1
