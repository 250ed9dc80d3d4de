"""A running worker folds what claims have noted, without anybody asking."""

from tests.support.ledger_checks import eventually
from tests.support.small_ledger import add_claim, add_merchant


async def test_a_running_worker_keeps_the_totals(worker, pool):
    merchant = await add_merchant(pool, "merchant", 60)
    for amount in (1, 2, 3):
        await add_claim(pool, merchant, amount, agent="buyer")

    async def folded():
        return not await pool.fetchval("SELECT count(*) FROM claim_changes")

    await eventually(folded)
    assert await pool.fetchval("SELECT sum(received) FROM revenue_days WHERE user_id = 'merchant'") == 6
    assert await pool.fetchval("SELECT sum(received) FROM agent_months WHERE user_id = ''") == 6
