"""Totals are what the claims add up to, at every moment and whatever was done to the claims."""

import asyncio
import datetime as dt
import random

import pytest

from ledger.sql import load_queries
from ledger.totals import fold_claim_changes
from tests.support.small_ledger import USDC, USDT, add_claim, add_merchant

INVARIANTS = load_queries("ledger", "invariants.sql")


@pytest.fixture
async def merchants(pool):
    return [await add_merchant(pool, f"user-{n}", 10 + 2 * n) for n in range(2)]


async def wrong(pool):
    return [row async for row in INVARIANTS.totals_are_their_claims(pool, limit=100)]


async def in_revenue(pool, user=""):
    """What readers see of a merchant, or of all of them."""
    return tuple(
        await pool.fetchrow(
            "SELECT coalesce(sum(claims), 0)::int, coalesce(sum(received), 0) FROM ("
            " SELECT claims, received FROM revenue_days WHERE user_id = $1"
            " UNION ALL SELECT claims, received FROM claim_changes WHERE $1 IN ('', user_id)) AS all_of_it",
            user,
        )
    )


async def in_claims(pool):
    return tuple(
        await pool.fetchrow(
            "SELECT count(*)::int, coalesce(sum(received), 0) FROM transactions"
            " WHERE status IN ('confirmed', 'finalized')"
        )
    )


@pytest.mark.parametrize("seed", range(3))
async def test_totals_follow_whatever_happens_to_claims(pool, merchants, seed):
    chance = random.Random(seed)
    now = dt.datetime.now(dt.UTC)
    steps = {"pending": ["confirmed", "failed", "expired"], "confirmed": ["finalized", "reversed"],
             "failed": ["confirmed"], "expired": ["confirmed"],
             "reversed": ["confirmed", "failed"]}  # fmt: skip
    for _ in range(60):
        what = chance.choice(["add", "add", "step", "step", "agent", "remove", "fold"])
        if what == "add":
            await add_claim(
                pool,
                chance.choice(merchants),
                chance.choice([1, 5_000_000, 2**63]),
                mint=chance.choice([USDC, USDT]),
                agent=chance.choice([None, "a", "b"]),
                status=chance.choice(["pending", "confirmed", "finalized", "reversed"]),
                at=now - dt.timedelta(hours=chance.randrange(2_000)),
                environment=chance.choice(["live", "test"]),
            )
        elif what == "fold":
            await fold_claim_changes(pool)
        else:
            row = await pool.fetchrow("SELECT id, status FROM transactions ORDER BY random() LIMIT 1")
            if row is None:
                continue
            if what == "remove":
                await pool.execute("DELETE FROM transactions WHERE id = $1", row["id"])
            elif what == "agent":
                await pool.execute("UPDATE transactions SET agent_id = 'c' WHERE id = $1", row["id"])
            elif row["status"] in steps:
                status = chance.choice(steps[row["status"]])
                code = "TRANSACTION_FAILED" if status in {"failed", "expired"} else None
                await pool.execute(
                    # A pending claim has no transfer here that could honour it.
                    "UPDATE transactions SET status = $2::claim_status, code = $3"
                    " WHERE id = $1 AND NOT ($2 = 'confirmed' AND path IS NULL)",
                    row["id"], status, code,
                )  # fmt: skip
        assert await wrong(pool) == []
        assert await in_revenue(pool) == await in_claims(pool)
    await fold_claim_changes(pool)
    assert await pool.fetchval("SELECT count(*) FROM claim_changes") == 0
    assert await in_revenue(pool) == await in_claims(pool)


async def test_a_finalized_claim_changes_no_total_and_leaves_no_note(pool, merchants):
    claim = await add_claim(pool, merchants[0], 7, status="confirmed")
    assert await pool.fetchval("SELECT count(*) FROM claim_changes") == 1
    await pool.execute("UPDATE transactions SET status = 'finalized' WHERE id = $1", claim)
    assert await pool.fetchval("SELECT count(*) FROM claim_changes") == 1


async def test_claims_of_one_merchant_do_not_wait_for_each_other(pool, merchants):
    async with pool.acquire() as one, pool.acquire() as other, one.transaction():
        await add_claim(one, merchants[0], 1)
        async with asyncio.timeout(5):
            await add_claim(other, merchants[0], 2)
            # Nor does folding wait for them, or count what is not committed yet.
            assert await fold_claim_changes(other) == 1
            assert await in_revenue(other, "user-0") == (1, 2)
    assert await in_revenue(pool, "user-0") == (2, 3)
    assert await wrong(pool) == []


async def test_any_number_may_fold_at_once(pool, merchants):
    for n in range(60):
        await add_claim(pool, merchants[n % 2], n + 1, agent=f"agent-{n % 5}")
    folded = await asyncio.gather(*(fold_claim_changes(pool) for _ in range(4)))
    assert sum(folded) == 60
    assert await wrong(pool) == []
    assert await in_revenue(pool) == await in_claims(pool) == (60, 60 * 61 // 2)
    spent = await pool.fetch("SELECT agent_id, sum(received) FROM agent_months WHERE user_id = '' GROUP BY 1")
    by_claims = await pool.fetch("SELECT agent_id, sum(received) FROM transactions GROUP BY 1")
    assert sorted(map(tuple, spent)) == sorted(map(tuple, by_claims))


async def test_days_of_agents_are_forgotten_after_two_months_and_their_months_kept(pool, merchants):
    await add_claim(pool, merchants[0], 9, agent="old", at=dt.datetime.now(dt.UTC) - dt.timedelta(days=100))
    await fold_claim_changes(pool)
    assert await pool.fetchval("SELECT count(*) FROM agent_days") == 0
    assert await pool.fetchval("SELECT count(*) FROM agent_months WHERE agent_id = 'old'") == 2


async def test_a_total_that_was_written_by_hand_is_found(pool, merchants):
    await add_claim(pool, merchants[0], 9)
    await fold_claim_changes(pool)
    await pool.execute("UPDATE revenue_days SET received = received + 1 WHERE user_id <> ''")
    (row,) = await wrong(pool)
    assert row["subject"].startswith("user-0/")
    assert (row["found"], row["expected"]) == (10, 9)
    # One that nothing stands for is found too.
    await pool.execute("DELETE FROM revenue_days")
    assert len(await wrong(pool)) == 2
