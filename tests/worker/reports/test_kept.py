"""What reports keep is what the whole ledger says, to the base unit, whatever has happened and in whatever order."""

import os
import random
import time

import pytest

from tests.support.job_shop import fast_settings
from tests.support.ledger_histories import WALLETS, LedgerHistory
from worker.context import open_worker_context
from worker.reports.changes import bring_up_to_date, fold_report_changes, held_report
from worker.reports.counted import counted_totals
from worker.reports.kept import kept_totals

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
async def context(database_url):
    async with open_worker_context(fast_settings(), database_url, [NOWHERE]) as opened:
        yield opened


async def kept_and_counted(pool):
    """Both in one snapshot, after what is noted by then is folded."""
    async with held_report(pool) as connection:
        await bring_up_to_date(connection)
        return await kept_totals(connection), await counted_totals(connection)


def chance_of(seed):
    """The chance of this seed; without one, of REPORT_SEED or the clock."""
    seed = seed or int(os.environ.get("REPORT_SEED", "0")) or int(time.time())
    print(f"replay: REPORT_SEED={seed}")  # noqa: T201
    return random.Random(seed)


async def begin(pool):
    await pool.execute(
        "INSERT INTO recipients (address, user_id, followed_from_slot) VALUES ($1, 'one', 0)", WALLETS[0]
    )


@pytest.mark.parametrize("seed", [1, 2, 3, 0])
async def test_a_report_at_any_moment_is_what_the_whole_ledger_says(pool, seed):
    chance = chance_of(seed)
    history = LedgerHistory(chance)
    await begin(pool)
    if chance.random() < 0.5:
        await kept_and_counted(pool)
    seen = {}
    for _ in range(12):
        async with pool.acquire() as connection:
            done = [await history.step(connection) for _ in range(25)]
        if chance.random() < 0.5:
            await fold_report_changes(pool)
        kept, counted = await kept_and_counted(pool)
        assert kept == counted, done
        for kind, count in counted.counts.items():
            seen[kind] = max(count, seen.get(kind, 0))
    assert min(seen.values()) > 0, seen


@pytest.mark.parametrize("seed", [4, 5, 0])
async def test_what_commits_late_is_neither_missed_nor_counted_twice(pool, seed):
    """Two sessions work at once, each with a transaction that stays open while reports are made."""
    chance = chance_of(seed)
    history = LedgerHistory(chance)
    await begin(pool)
    async with pool.acquire() as one, pool.acquire() as other:
        for _ in range(10):
            open_ones = []
            for connection in (one, other):
                transaction = connection.transaction()
                await transaction.start()
                open_ones.append(transaction)
            done = [await history.step(chance.choice([one, other])) for _ in range(20)]
            for transaction in chance.sample(open_ones, 2):
                await fold_report_changes(pool)
                kept, counted = await kept_and_counted(pool)
                assert kept == counted, done
                await (transaction.commit() if chance.random() < 0.8 else transaction.rollback())
            kept, counted = await kept_and_counted(pool)
            assert kept == counted, done
    assert sum(counted.counts.values()) > 0
