"""What other processes ask of the indexers: a transaction at once, a stretch of history."""

from pay402.ledger.indexing import Stretch, backfill_state, request_backfill, request_index
from pay402.localnet import payments as pay
from pay402.runtime.sql import load_queries
from tests.indexer.shop import eventually

QUERIES = load_queries("pay402.ledger", "indexing.sql")


async def missed_payment(market, net):
    """A payment of which no notification tells; audits are too rare to find it within a test."""
    net.set_faults({"notificationsLost": {"rate": 1, "methods": ["logsNotification"]}})
    payer = market.payers[0]
    signature = await market.pay(pay.plain(payer.pubkey(), market.recipients[0].pubkey(), 777), payer)
    await market.settled()
    net.set_faults(None)
    return signature


async def test_a_transaction_that_is_asked_for_is_recorded_at_once(market, net, pool, indexer):
    signature = await missed_payment(market, net)
    assert await pool.fetchval("SELECT count(*) FROM transfers WHERE signature = $1", signature) == 0
    assert await request_index(pool, QUERIES, [signature, signature], "test") == 1
    assert await request_index(pool, QUERIES, [signature], "test") == 0
    await eventually(lambda: pool.fetchval("SELECT count(*) FROM transfers WHERE signature = $1", signature), seconds=2)
    await eventually(
        lambda: pool.fetchval("SELECT count(*) FROM index_requests WHERE finished_at IS NOT NULL AND error IS NULL")
    )


async def test_a_backfill_tells_how_it_went(market, net, pool, indexer):
    signature = await missed_payment(market, net)
    wallet = str(market.recipients[0].pubkey())
    backfill = await request_backfill(pool, QUERIES, Stretch(recipient=wallet), requested_by="test")

    async def done():
        row = await backfill_state(pool, QUERIES, backfill)
        return row if row["status"] == "done" else None

    row = await eventually(done)
    assert row["error"] is None
    assert row["progress"]["new"] >= 1
    assert row["progress"]["failed"] == 0
    assert row["progress"]["accountsDone"] == row["progress"]["accounts"] >= 2
    assert await pool.fetchval("SELECT count(*) FROM transfers WHERE signature = $1", signature) == 1


async def test_a_backfill_left_behind_is_taken_up_again(market, net, pool, indexer):
    await missed_payment(market, net)
    backfill = await pool.fetchval(
        "INSERT INTO backfill_requests (requested_by, status, alive_at)"
        " VALUES ('test', 'running', clock_timestamp() - interval '1 hour') RETURNING id"
    )

    async def done():
        row = await backfill_state(pool, QUERIES, backfill)
        return row["status"] == "done"

    await eventually(done)
