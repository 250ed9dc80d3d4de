"""Jobs and their money: what the chain shows is what moves them, and every unit is accounted for."""

import asyncio

from chain.programs import NATIVE_SOL
from localnet import payments as pay
from localnet.payments import USDC, USDT
from tests.support.job_shop import PRICE
from tests.support.ledger_checks import eventually


async def payouts(shop):
    rows = await shop.pool.fetch("SELECT * FROM payouts ORDER BY created_at")
    return [(row["kind"], row["reason"], row["amount"], row["status"]) for row in rows]


async def test_a_job_done_is_paid_exactly_its_price(shop, worker):
    order = await shop.order()
    assert not await order.step("submit")
    await order.pay()
    await order.until("escrowed")
    assert await order.step("accept")
    await order.until("escrowed", "accepted")
    assert not await order.step("approve")
    assert await order.step("submit", output={"text": "done"})
    assert await order.step("approve")
    await order.until("released", "approved")
    assert await shop.balance(shop.provider.pubkey()) == PRICE
    assert await shop.balance(shop.wallet.pubkey()) == 0
    service = await shop.pool.fetchrow("SELECT * FROM agent_services")
    assert (service["total_jobs"], service["successful_jobs"], service["total_earnings"]) == (1, 1, PRICE)
    assert await payouts(shop) == [("release", "approved", PRICE, "settled")]
    assert await shop.violations() == []


async def test_too_much_is_held_for_the_price_and_the_rest_goes_back(shop, worker):
    before = await shop.balance(shop.client.pubkey())
    order = await shop.order()
    await order.pay(PRICE + 123)
    await order.until("escrowed")
    await eventually(lambda: settled(shop, 1))
    assert before - await shop.balance(shop.client.pubkey()) == PRICE
    assert await payouts(shop) == [("refund", "excess", 123, "settled")]
    assert await shop.violations() == []


async def settled(shop, count):
    return count == await shop.pool.fetchval("SELECT count(*) FROM payouts WHERE status = 'settled'")


async def test_too_little_twice_and_the_wrong_token_go_back(shop, worker):
    await shop.call("localnet_fundToken", str(shop.client.pubkey()), str(USDT), 10_000)
    await shop.call("localnet_fundToken", str(shop.wallet.pubkey()), str(USDT), 0)
    before = await shop.balance(shop.client.pubkey())
    order = await shop.order()
    await order.pay(PRICE - 1)
    await order.pay(10_000, mint=USDT)
    await eventually(lambda: settled(shop, 2))
    assert (await order.row())["escrow_status"] == "pending"
    assert await shop.balance(shop.client.pubkey()) == before
    assert await shop.balance(shop.client.pubkey(), USDT) == 10_000
    await order.pay()
    await order.until("escrowed")
    await order.pay(PRICE + 7)
    await eventually(lambda: settled(shop, 3))
    assert before - await shop.balance(shop.client.pubkey()) == PRICE
    reasons = {reason for _, reason, _, _ in await payouts(shop)}
    assert reasons == {"short", "wrong_token", "duplicate"}
    assert await shop.violations() == []


async def test_a_job_not_funded_in_time_expires_and_what_comes_later_goes_back(shop, worker):
    before = await shop.balance(shop.client.pubkey())
    order = await shop.order(funding_seconds=-60)
    await order.until("pending", "expired")
    await order.pay()
    await eventually(lambda: settled(shop, 1))
    assert await shop.balance(shop.client.pubkey()) == before
    assert await payouts(shop) == [("refund", "late", PRICE, "settled")]
    assert await shop.violations() == []


async def test_a_job_not_done_in_time_is_refunded(shop, worker):
    before = await shop.balance(shop.client.pubkey())
    order = await shop.order(job_seconds=4)
    await order.pay()
    await order.until("escrowed")
    assert await order.step("accept")
    await order.until("refunded", "expired")
    assert await shop.balance(shop.client.pubkey()) == before
    service = await shop.pool.fetchrow("SELECT * FROM agent_services")
    assert (service["total_jobs"], service["successful_jobs"], service["total_earnings"]) == (1, 0, 0)
    assert await shop.violations() == []


async def test_cancelled_before_funding_and_paid_all_the_same(shop, worker):
    before = await shop.balance(shop.client.pubkey())
    order = await shop.order()
    assert await order.step("cancel")
    await order.pay()
    await eventually(lambda: settled(shop, 1))
    assert (await order.row())["escrow_status"] == "pending"
    assert await shop.balance(shop.client.pubkey()) == before
    assert await shop.violations() == []


async def test_a_dispute_is_decided_either_way(shop, worker):
    before = await shop.balance(shop.client.pubkey())
    kept, lost = await shop.order(), await shop.order()
    for order in (kept, lost):
        await order.pay()
        await order.until("escrowed")
        assert await order.step("accept")
        assert await order.step("submit")
        assert await order.step("dispute", reason="not what I ordered")
        assert (await order.row())["escrow_status"] == "disputed"
        assert not await order.step("approve")
    assert await kept.step("release")
    assert await lost.step("refund")
    await kept.until("released", "approved")
    await lost.until("refunded", "cancelled")
    assert await shop.balance(shop.provider.pubkey()) == PRICE
    assert before - await shop.balance(shop.client.pubkey()) == PRICE
    assert await shop.violations() == []


async def test_silence_is_consent(shop, indexer, context):
    from worker.claims.decide import reconcile
    from worker.escrow import settle

    order = await shop.order()
    await order.pay()

    async def escrowed():
        await reconcile(context)
        await settle(context)
        return (await order.row())["escrow_status"] == "escrowed"

    await eventually(escrowed)
    assert await order.step("accept")
    assert await order.step("submit")
    assert (await settle(context)).approved_by_silence == 0
    await shop.pool.execute("UPDATE job_requests SET completed_at = completed_at - interval '30 days'")
    assert (await settle(context)).approved_by_silence == 1


async def test_a_job_can_be_paid_in_native_sol(shop, worker):
    price = 2_000_000_000
    order = await shop.order(price=price, mint=NATIVE_SOL)
    payment = pay.native_sol(shop.client.pubkey(), shop.wallet.pubkey(), price)
    from chain.instructions import with_references

    await shop.send([with_references(payment.instructions[0], [order.reference])], shop.client)
    await order.until("escrowed")
    for step in ("accept", "submit", "approve"):
        assert await order.step(step)
    await order.until("released")
    balance = await shop.call("getBalance", str(shop.provider.pubkey()), {"commitment": "confirmed"})
    assert balance["value"] == price
    assert await shop.violations() == []


async def test_what_goes_back_can_pay_for_nothing_else(shop, worker):
    order = await shop.order()
    signature = await order.pay(PRICE - 1)
    await eventually(lambda: settled(shop, 1))
    taken = await shop.pool.fetch("SELECT nonce, status::text FROM transactions WHERE signature = $1", signature)
    assert [(row["nonce"].partition(" ")[0], row["status"]) for row in taken] == [("refund", "finalized")]


async def test_two_workers_pay_once(shop, worker, net, database_url):
    from tests.support.job_shop import fast_settings, secret
    from worker.context import open_worker_context
    from worker.escrow import settle

    settings = fast_settings(SETTLEMENT_KEYPAIR=secret(shop.wallet))
    async with (
        open_worker_context(settings, database_url, [net.rpc_url]) as one,
        open_worker_context(settings, database_url, [net.rpc_url]) as two,
    ):
        orders = [await shop.order() for _ in range(5)]
        for order in orders:
            await order.pay()
        for order in orders:
            await order.until("escrowed")
            for step in ("accept", "submit", "approve"):
                assert await order.step(step)

        async def all_settled():
            await asyncio.gather(settle(one), settle(two))
            return await settled(shop, len(orders))

        await eventually(all_settled)
    assert await shop.balance(shop.provider.pubkey()) == len(orders) * PRICE
    assert await shop.balance(shop.wallet.pubkey(), USDC) == 0
    assert await shop.violations() == []
