"""Jobs whose payment requests an operator deleted, as the production guide shows: their money stays right."""

from solders.keypair import Keypair

from ledger.jobs import find_job
from localnet import payments as pay
from localnet.payments import USDT
from tests.support.job_shop import PRICE
from tests.support.ledger_checks import eventually
from tests.support.pending_claims import claim
from worker.claims.decide import reconcile
from worker.escrow import move_jobs_and_payouts

STATEMENT = "DELETE FROM nonces WHERE expires_at < NOW()"


async def clear(shop):
    """Wait until every request has expired, and run the guide's statement."""
    await eventually(lambda: shop.pool.fetchval("SELECT bool_and(expires_at < now()) FROM nonces"))
    assert await shop.pool.execute(STATEMENT) != "DELETE 0"


async def finalized(shop, signature):
    query = "SELECT count(*) FROM transfers WHERE signature = $1 AND finality = 'finalized'"
    await eventually(lambda: shop.pool.fetchval(query, signature))


async def refunded(shop, context, reason, amount=PRICE):
    async def done():
        await move_jobs_and_payouts(context)
        return await shop.pool.fetchrow("SELECT reason, amount FROM payouts WHERE status = 'settled'")

    assert tuple(await eventually(done)) == (reason, amount)


async def test_a_job_that_was_paid_in_time_is_funded_all_the_same(shop, indexer, context):
    order = await shop.order(funding_seconds=3)
    await order.pay()

    async def claimed():
        await reconcile(context)
        return await shop.pool.fetchval("SELECT count(*) FROM transactions")

    await eventually(claimed)
    await clear(shop)

    async def escrowed():
        await move_jobs_and_payouts(context)
        return (await order.row())["escrow_status"] == "escrowed"

    await eventually(escrowed)
    job = await find_job(shop.pool, order.id)
    assert (job.reference, job.settlement_wallet) == (str(order.reference), str(shop.wallet.pubkey()))
    assert await shop.violations() == []


async def test_what_comes_late_goes_back_and_the_job_expires(shop, indexer, context):
    order = await shop.order(funding_seconds=-60)
    await clear(shop)
    await order.pay()
    await refunded(shop, context, "late")
    assert (await order.row())["status"] == "expired"
    assert await shop.violations() == []


async def test_what_came_in_time_but_was_matched_with_nothing_before_goes_back(shop, indexer, context):
    order = await shop.order(funding_seconds=3)
    await finalized(shop, await order.pay())
    await clear(shop)
    await refunded(shop, context, "closed")
    assert await shop.violations() == []


async def test_a_claim_on_a_nonce_without_its_request_funds_no_job_with_other_terms(shop, indexer, context):
    for wallet, amount in ((shop.client, PRICE), (shop.wallet, 0)):
        await shop.call("localnet_fundToken", str(wallet.pubkey()), str(USDT), amount)
    await eventually(lambda: shop.balance(shop.client.pubkey(), USDT))
    order = await shop.order(funding_seconds=3)
    unnamed = Keypair().pubkey()
    payment = pay.checked(shop.client.pubkey(), shop.wallet.pubkey(), PRICE, unnamed, "something else", mint=USDT)
    signature = await shop.send(payment.instructions, shop.client)
    await finalized(shop, signature)
    await clear(shop)
    await claim(shop, signature, amount=PRICE, nonce=order.nonce, mint=str(USDT), currency="USDT")
    await reconcile(context)
    await refunded(shop, context, "wrong_token")
    assert (await order.row())["escrow_status"] == "pending"
    assert await shop.violations() == []
