"""Jobs and their money: what the chain shows is what moves them, and every unit is accounted for."""

import asyncio

import pytest
from solders.pubkey import Pubkey

from ledger.payout_redirects import apply_redirects, ask_redirect, find_payout
from ledger.tokens import NATIVE_SOL
from localnet import payments as pay
from localnet.payments import USDC, USDT
from tests.support.job_shop import PRICE
from tests.support.ledger_checks import eventually
from tests.support.ledger_rows import book, new_signature
from worker.claims.match_requests import sweep_requests
from worker.escrow import JobsMoved, move_jobs


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
    from worker.escrow import move_jobs_and_payouts

    order = await shop.order()
    await order.pay()

    async def escrowed():
        await reconcile(context)
        await move_jobs_and_payouts(context)
        return (await order.row())["escrow_status"] == "escrowed"

    await eventually(escrowed)
    assert await order.step("accept")
    assert await order.step("submit")
    assert (await move_jobs_and_payouts(context)).approved_by_silence == 0
    await shop.pool.execute("UPDATE job_requests SET completed_at = completed_at - interval '30 days'")
    assert (await move_jobs_and_payouts(context)).approved_by_silence == 1


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
    from worker.escrow import move_jobs_and_payouts

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
            await asyncio.gather(move_jobs_and_payouts(one), move_jobs_and_payouts(two))
            return await settled(shop, len(orders))

        await eventually(all_settled)
    assert await shop.balance(shop.provider.pubkey()) == len(orders) * PRICE
    assert await shop.balance(shop.wallet.pubkey(), USDC) == 0
    assert await shop.violations() == []


async def test_what_counts_as_the_price_when_it_is_verified_funds_the_job(shop, worker):
    """0.29 USDC is 289,999 base units for a client that computes in doubles and rounds down."""
    order = await shop.order(price=290_000)
    await order.pay(289_999)
    await order.until("escrowed")
    for step in ("accept", "submit", "approve"):
        assert await order.step(step)
    await order.until("released")
    assert await shop.balance(shop.provider.pubkey()) == 289_999
    assert await shop.balance(shop.wallet.pubkey()) == 0
    assert (await shop.pool.fetchrow("SELECT total_earnings FROM agent_services"))[0] == 289_999
    assert await shop.violations() == []


async def test_a_claim_that_cannot_fund_its_job_leaves_the_nonce_to_one_that_can(shop, indexer, context):
    """Its request was deleted meanwhile, and somebody proved a payment of less with the job's nonce."""
    from worker.escrow import move_jobs_and_payouts

    order = await shop.order()
    little = await order.pay(PRICE - 1)

    async def recorded():
        return await shop.pool.fetchrow(
            "SELECT * FROM transfers WHERE signature = $1 AND finality = 'finalized'", little
        )

    transfer = await eventually(recorded)
    await shop.pool.execute(
        "WITH made AS ("
        "INSERT INTO transactions (user_id, nonce, signature, path, payer, recipient, mint, currency, amount,"
        " least_amount, received, environment, status, honoured_at, settled_at)"
        " VALUES ('merchant', $1, $2, $3, $4, $5, $6, 'USDC', 1, 1, $7, 'live', 'finalized', now(), now())"
        " RETURNING id) INSERT INTO events (type, subject) SELECT 'claim.finalized', id::text FROM made",
        order.nonce, little, transfer["path"], transfer["source_owner"], transfer["destination_owner"],
        transfer["mint"], PRICE - 1,
    )  # fmt: skip
    before = await shop.balance(shop.client.pubkey())
    await move_jobs_and_payouts(context)
    assert (await order.row())["escrow_status"] == "pending"
    assert await shop.pool.fetchval("SELECT count(*) FROM transactions WHERE nonce = $1", order.nonce) == 0
    await order.pay()

    async def escrowed():
        from worker.claims.decide import reconcile

        await reconcile(context)
        await move_jobs_and_payouts(context)
        return (await order.row())["escrow_status"] == "escrowed"

    await eventually(escrowed)

    async def paid_back():
        await move_jobs_and_payouts(context)
        return await shop.balance(shop.client.pubkey()) == before + PRICE - 1 - PRICE

    await eventually(paid_back)
    assert await shop.violations() == []


@pytest.mark.parametrize("nowhere", ["a mint", "the wallet that pays"])
async def test_a_payout_that_waits_is_sent_to_another_wallet(shop, worker, nowhere):
    """Its recipient is nobody who can be paid, as could be set before it was looked at."""
    recipient = str(USDT) if nowhere == "a mint" else str(shop.wallet.pubkey())
    order = await shop.order(payout_address=recipient)
    await order.pay()
    await order.until("escrowed")
    for step in ("accept", "submit", "approve"):
        assert await order.step(step)

    async def waits():
        return await shop.pool.fetchval("SELECT id FROM payouts WHERE status = 'waiting'")

    found = await find_payout(shop.pool, order.id, await eventually(waits))
    # Whoever holds the settlement wallet moves the money from it to itself, with the payout's reference.
    reference = await shop.pool.fetchval("SELECT reference FROM payouts")
    itself = pay.checked(shop.wallet.pubkey(), shop.wallet.pubkey(), PRICE, Pubkey.from_string(reference), "job")
    moved_nothing = await shop.send(itself.instructions, shop.wallet)
    of_it = "SELECT count(*) FROM transfers WHERE signature = $1 AND finality = 'finalized'"
    await eventually(lambda: shop.pool.fetchval(of_it, moved_nothing))
    await asyncio.sleep(2)
    assert await shop.pool.fetchval("SELECT settled_at FROM payouts") is None
    assert await ask_redirect(shop.pool, found, str(shop.provider.pubkey()), asked_by="provider")
    assert not await ask_redirect(shop.pool, found, str(shop.client.pubkey()), asked_by="provider")
    await order.until("released")
    assert await shop.balance(shop.provider.pubkey()) == PRICE
    events = await shop.pool.fetch("SELECT data FROM events WHERE type = 'payout.redirected'")
    assert [(one["data"]["from"], one["data"]["to"], one["data"]["by"]) for one in events] == [
        (recipient, str(shop.provider.pubkey()), "provider")
    ]
    assert await shop.violations() == []


async def test_a_payout_that_may_be_on_its_way_is_not_sent_elsewhere(shop, indexer, context):
    """Whatever was signed for the old recipient either lands, or is never stored."""
    from worker.claims.decide import reconcile
    from worker.escrow import JobsMoved, make_payouts, move_jobs
    from worker.payouts.rows import Costs, GiftBudget, queued_payouts, store_signed

    order = await shop.order()
    await order.pay()

    async def escrowed():
        await reconcile(context)
        await move_jobs(context, JobsMoved())
        return (await order.row())["escrow_status"] == "escrowed"

    await eventually(escrowed)
    for step in ("accept", "submit", "approve"):
        assert await order.step(step)
    assert await make_payouts(context) == 1
    costs, budget = Costs(5_000, 0, 5_000, 0, 0), GiftBudget(5_000, 5_000)
    (queued,) = await queued_payouts(shop.pool, budget, limit=10)
    other = str(shop.client.pubkey())
    assert await ask_redirect(shop.pool, await find_payout(shop.pool, order.id, queued.id), other, asked_by="provider")
    attempt = {
        "source_account": str(shop.wallet.pubkey()), "message": b"m", "last_valid_block_height": 1,
        "signature": "5" * 88, "wire": b"w",
    }  # fmt: skip
    assert await apply_redirects(shop.pool) == 1
    # Another worker read the payout before, and comes late with what it signed for the old recipient.
    assert await store_signed(shop.pool, queued.id, costs, budget, recipient=queued.recipient, **attempt) is None
    assert await store_signed(shop.pool, queued.id, costs, budget, recipient=other, **attempt) is not None
    signed = await find_payout(shop.pool, order.id, queued.id)
    assert (signed.status, signed.recipient) == ("signed", other)
    assert await ask_redirect(shop.pool, signed, str(shop.provider.pubkey()), asked_by="provider")
    assert await apply_redirects(shop.pool) == 0
    assert (await find_payout(shop.pool, order.id, queued.id)).recipient == other


@pytest.mark.parametrize("order", ["small first", "large first"])
@pytest.mark.parametrize("cheap", [0, 1])
async def test_two_jobs_that_one_transaction_pays_get_a_transfer_each(shop, context, order, cheap):
    """Both name both jobs, by memo: what is too little for one is enough for the other, and does not go back."""
    jobs = [await shop.order(), await shop.order()]
    await shop.pool.execute("UPDATE job_requests SET price_amount = 1000 WHERE id = $1", jobs[cheap].id)
    await shop.pool.execute("UPDATE nonces SET amount = 1000 WHERE nonce = $1", jobs[cheap].nonce)
    signature = new_signature()
    for path, amount in enumerate((1000, PRICE) if order == "small first" else (PRICE, 1000)):
        await book(
            shop.pool, shop.client.pubkey(), shop.wallet.pubkey(), amount, signature=signature, path=str(path),
            memos=[one.nonce for one in jobs], finality="finalized",
        )  # fmt: skip
    # Found by the sweep alone, once payments that are lost to jobs were looked for.
    await move_jobs(context, JobsMoved(), sweep=True)
    await sweep_requests(context)
    await move_jobs(context, JobsMoved(), sweep=True)
    assert [(await one.row())["escrow_status"] for one in jobs] == ["escrowed", "escrowed"]
    assert await shop.pool.fetchval("SELECT sum(rest) FROM job_fundings") == 0
