"""One statement for all who wait meanwhile: each gets their own answer, and nobody takes it from another."""

import asyncio
import contextlib

import asyncpg
import pytest

from api.http.errors import ApiError
from api.x402.batched_statements import BATCH_MAX, BatchedStatement
from ledger import settlements
from ledger.claims import claim_settled
from tests.support.ledger_checks import eventually
from tests.support.settlement_rows import land, reserved
from tests.support.small_ledger import add_merchant

SOMEBODY_WAITS = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')
"""


class Doubled:
    """A statement that doubles numbers when it is let go on, and remembers what it was asked for."""

    def __init__(self):
        self.batches = []
        self.has_begun, self.going_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, database, numbers):
        self.batches.append(list(numbers))
        self.has_begun.set()
        await self.going_on.wait()
        rows = await database.fetch("SELECT 2 / (3 - n) * 0 + 2 * n AS twice FROM unnest($1::int[]) AS n", numbers)
        return [row["twice"] for row in rows]


@contextlib.asynccontextmanager
async def working(pool, statement, waiting_max=1_000):
    batched = BatchedStatement(pool, statement, waiting_max=waiting_max, named="numbers")
    running = asyncio.create_task(batched.run())
    try:
        yield batched
    finally:
        running.cancel()


async def asking(batched, *numbers):
    """Tasks that ask for these numbers, each of which waits by now."""
    tasks = [asyncio.create_task(batched.ask(number)) for number in numbers]
    await asyncio.sleep(0)
    return tasks


async def test_who_asks_while_it_runs_is_served_by_the_next_run(pool):
    statement = Doubled()
    async with working(pool, statement) as batched:
        first = await asking(batched, 1)
        await statement.has_begun.wait()
        others = await asking(batched, *range(10, 10 + BATCH_MAX + 5))
        others[0].cancel()
        statement.going_on.set()
        assert await asyncio.gather(*first, *others[1:]) == [2, *range(22, 20 + 2 * BATCH_MAX + 10, 2)]
        assert [len(batch) for batch in statement.batches] == [1, BATCH_MAX - 1, 5]


async def test_a_failure_is_heard_by_those_of_its_run_alone(pool):
    statement = Doubled()
    async with working(pool, statement) as batched:
        failing = await asking(batched, 3)
        await statement.has_begun.wait()
        others = await asking(batched, 4, 5)
        statement.going_on.set()
        with pytest.raises(Exception, match="division by zero"):
            await failing[0]
        assert await asyncio.gather(*others) == [8, 10]


async def test_no_more_may_wait_than_are_allowed(pool):
    statement = Doubled()
    async with working(pool, statement, waiting_max=2) as batched:
        first = await asking(batched, 1)
        await statement.has_begun.wait()
        waiting = await asking(batched, 4, 5)
        with pytest.raises(ApiError, match="Too many numbers"):
            await batched.ask(6)
        statement.going_on.set()
        assert await asyncio.gather(*first, *waiting) == [2, 8, 10]


async def test_of_requests_for_one_payment_in_one_batch_one_may_answer(pool):
    merchant = await add_merchant(pool, "merchant", 10)
    (payment, one), (_, other) = await reserved(pool, merchant), await reserved(pool, merchant)
    await land(pool, payment)
    await claim_settled(pool, [one, other])
    begun = await settlements.begin_answers(pool, [one, other, one, one], answering_seconds=60)
    assert begun == [True, False, False, False], "the other one is not settled"
    assert [row and row.id for row in await settlements.find_each(pool, [other, one])] == [other, one]


async def test_a_statement_that_gave_way_to_another_transaction_runs_again(pool, database_url):
    merchant = await add_merchant(pool, "merchant", 10)
    made = [await reserved(pool, merchant) for _ in range(2)]
    first, second = sorted(made, key=lambda one: one[0].signature)
    await land(pool, first[0])
    await land(pool, second[0])

    async def claim(database, ids):
        await claim_settled(database, ids)
        return await settlements.find_each(database, ids)

    rival = await asyncpg.connect(database_url)
    try:
        # The rival never looks for deadlocks, so that the statement is the one to give way.
        await rival.execute("SET deadlock_timeout = '1h'")
        lock = "SELECT FROM transfers WHERE signature = $1 FOR UPDATE"
        async with working(pool, claim) as batched, rival.transaction():
            await rival.execute(lock, second[0].signature)
            tasks = await asking(batched, first[1], second[1])
            await eventually(lambda: pool.fetchval(SOMEBODY_WAITS))
            # Against the order in which statements of ours take their locks.
            await rival.execute(lock, first[0].signature)
            await rival.execute("ROLLBACK; BEGIN")
            found = await asyncio.gather(*tasks)
        assert [one.is_settled for one in found] == [True, True]
    finally:
        await rival.close()
