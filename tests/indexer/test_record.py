"""What writing a payment costs the database, counted in rows read and not timed."""

import asyncio
import secrets

from pay402.chain.base58 import b58encode
from pay402.chain.programs import TOKEN_PROGRAM
from pay402.indexer.metrics import IndexerMetrics
from pay402.indexer.record import Recorder
from pay402.indexer.watchlist import Entry, FollowedAccount
from pay402.ledger.observation import BalanceChange, Kind, Movement, Observation
from pay402.runtime.metrics import new_registry
from pay402.runtime.sql import load_queries
from tests.indexer.shop import follow

MINT, WALLET, ACCOUNT, PAYER, FROM = (b58encode(secrets.token_bytes(32)) for _ in range(5))


def payment(slot, pre, amount):
    """A transaction that pays `amount` to ACCOUNT; the first one opens it."""
    opens = pre == 0
    movement = Movement("0", Kind.TRANSFER, TOKEN_PROGRAM, MINT, FROM, ACCOUNT, PAYER, WALLET, PAYER, amount)
    change = BalanceChange(ACCOUNT, WALLET, MINT, TOKEN_PROGRAM, 6, pre, pre + amount, existed=not opens)
    signature = b58encode(secrets.token_bytes(64))
    observation = Observation(signature, slot, None, None, (movement,), (change,), ())
    opened = (FollowedAccount(ACCOUNT, WALLET, MINT, TOKEN_PROGRAM),) if opens else ()
    return Entry(observation, (movement,), ((change, 0),), opened)


async def test_a_payment_costs_the_same_however_many_stand_in_the_ledger(pool):
    await follow(pool, WALLET)
    recorder = Recorder(pool, load_queries("pay402.indexer", "record.sql"), IndexerMetrics(new_registry()), 500)
    await recorder.warm_up()  # planned here, on empty tables that nothing has analyzed
    for n in range(200):
        await recorder._write_once([payment(n, n, 1)])
    await recorder._let_go()

    assert await pool.fetchval("SELECT count(*) FROM transfers") == 200
    async with pool.acquire() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
    read = await pool.fetch(
        """
        SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) AS rows FROM pg_stat_user_tables
        UNION ALL
        SELECT indexrelname, idx_tup_read FROM pg_stat_user_indexes
        """
    )
    costly = {row["relname"]: row["rows"] for row in read if row["rows"] > 1_000}
    assert costly == {}, "something reads the whole of a table or an index for each payment"


async def test_payments_of_a_burst_share_a_commit(pool):
    await follow(pool, WALLET)
    recorder = Recorder(pool, load_queries("pay402.indexer", "record.sql"), IndexerMetrics(new_registry()), 500)
    await recorder.warm_up()
    recorder._write_seconds = 1.0  # as on a slow disk
    writing = asyncio.create_task(recorder.run())
    second_is_here = asyncio.Event()

    async def record(entry):
        await (await recorder.hand_over(entry))

    async def second():
        with recorder.coming:
            await second_is_here.wait()
        await record(payment(2, 1, 1))

    later = asyncio.create_task(second())
    await asyncio.sleep(0)
    first = asyncio.create_task(record(payment(1, 0, 1)))
    await asyncio.sleep(0)
    second_is_here.set()
    await asyncio.gather(first, later)
    assert await pool.fetchval("SELECT count(DISTINCT xmin::text) FROM transfers") == 1
    # One that never comes holds up nobody for long.
    with recorder.coming:
        await asyncio.wait_for(record(payment(3, 2, 1)), 5)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)


async def test_fetching_goes_on_while_a_commit_is_waited_for(pool):
    count = 50
    await follow(pool, WALLET)
    recorder = Recorder(pool, load_queries("pay402.indexer", "record.sql"), IndexerMetrics(new_registry()), 500)
    for n in range(count):
        await recorder.hand_over(payment(n, n, 1))
    assert recorder._queue.qsize() == count
    await recorder.warm_up()
    writing = asyncio.create_task(recorder.run())
    await (await recorder.hand_over(payment(count, count, 1)))
    # All of them in one commit.
    assert await pool.fetchval("SELECT count(DISTINCT xmin::text) FROM transfers") == 1
    assert await pool.fetchval("SELECT count(*) FROM transfers") == count + 1
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
