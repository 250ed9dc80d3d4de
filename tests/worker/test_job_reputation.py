"""Which jobs count for reputation and totals: none of a user with itself, none of a test key."""

from ledger.jobs import count_late_ratings, rate_job
from ledger.services import count_marketplace, leaderboard, released_volume
from tests.support.job_shop import PRICE


async def test_a_job_between_a_user_and_itself_earns_its_money_and_no_reputation(shop, worker):
    service = await shop.service()
    own = await shop.order(service=service, client_user="provider")
    other = await shop.order(service=service)
    for order in (own, other):
        await order.pay()
        await order.until("escrowed")
        for step in ("accept", "submit", "approve"):
            assert await order.step(step)
        assert await rate_job(shop.pool, order.id, score=5 if order is own else 2, feedback=None)
    for order in (own, other):
        await order.until("released")
    assert await shop.balance(shop.provider.pubkey()) == 2 * PRICE
    row = await shop.pool.fetchrow("SELECT * FROM agent_services")
    assert (row["total_jobs"], row["successful_jobs"], row["total_earnings"]) == (1, 1, PRICE)
    assert (row["rating_sum"], row["rating_count"]) == (2, 1)
    counts = await count_marketplace(shop.pool, ["USDC"])
    assert (counts.total_jobs, counts.completed_jobs) == (1, 1)
    assert [one.amount for one in await released_volume(shop.pool, ["USDC"])] == [PRICE]
    assert await released_volume(shop.pool, ["SOL"]) == await leaderboard(shop.pool, ["SOL"], limit=9) == []
    late = await shop.order(service=service, client_user="provider")
    await late.pay()
    await late.until("escrowed")
    for step in ("accept", "submit", "approve"):
        assert await late.step(step)
    await late.until("released")
    assert await rate_job(shop.pool, late.id, score=5, feedback=None)
    await count_late_ratings(shop.pool)
    assert await shop.pool.fetchval("SELECT rating_count FROM agent_services") == 1
    assert await shop.violations() == []


async def test_a_job_of_a_test_key_moves_no_live_figure(shop, worker):
    """Neither by its release nor by a rating before or after it, though its service is live."""
    service = await shop.service()
    orders = [await shop.order(service=service) for _ in range(3)]
    early, late, lost = orders
    await shop.pool.execute("UPDATE job_requests SET environment = 'test'")
    for order in orders:
        await order.pay()
        await order.until("escrowed")
        for step in ("accept", "submit", "dispute" if order is lost else "approve"):
            assert await order.step(step)
    assert await lost.step("refund")
    assert await rate_job(shop.pool, early.id, score=5, feedback=None)
    for order in (early, late):
        await order.until("released")
    await lost.until("refunded")
    assert await rate_job(shop.pool, late.id, score=5, feedback=None)
    await count_late_ratings(shop.pool)
    row = await shop.pool.fetchrow("SELECT * FROM agent_services")
    counted = ("total_jobs", "successful_jobs", "total_earnings", "response_seconds", "rating_sum", "rating_count")
    assert {row[name] for name in counted} == {0}
    counts = await count_marketplace(shop.pool, ["USDC"])
    assert (counts.total_services, counts.total_jobs, counts.completed_jobs, counts.active_agents) == (1, 0, 0, 1)
    assert await released_volume(shop.pool, ["USDC"]) == []
    # A service for tests is none of those on offer to the public, and leads nothing.
    await shop.pool.execute("UPDATE agent_services SET environment = 'test'")
    assert await leaderboard(shop.pool, ["USDC"], limit=9) == []
    counts = await count_marketplace(shop.pool, ["USDC"])
    assert (counts.total_services, counts.active_agents) == (0, 0)
    assert await shop.violations() == []
