"""Fees of the network: given within a budget, borne by the payout beyond it, and accounted for to the lamport."""

import asyncio
import base64

import pytest
from solders.account import Account
from solders.keypair import Keypair

from ledger.tokens import NATIVE_SOL
from localnet import payments as pay
from localnet.payments import USDC, token_account
from tests.support.dying_worker import KilledError, approved_order, dying_at
from tests.support.job_shop import PRICE, fast_settings, lamports, secret
from tests.support.ledger_checks import eventually
from worker.claims.decide import reconcile
from worker.context import open_worker_context
from worker.escrow import make_payouts, move_jobs_and_payouts
from worker.gauges import measure
from worker.payouts.crash_points import watch_steps

FEE = 5_000


@pytest.fixture
def worker_with(shop, net, database_url):
    """A worker's context with the settlement key and other settings."""

    def opened(**changes):
        settings = fast_settings(SETTLEMENT_KEYPAIR=secret(shop.wallet), **changes)
        return open_worker_context(settings, database_url, [net.rpc_url])

    return opened


async def payouts(shop):
    return await shop.pool.fetch(
        "SELECT p.status::text, p.waiting_reason, p.amount, p.charged, p.charged_lamports,"
        " sum(a.gift_lamports)::int AS gift FROM payouts AS p LEFT JOIN payout_attempts AS a ON a.payout_id = p.id"
        " GROUP BY p.id ORDER BY p.created_at, p.id"
    )


async def until(shop, context, statuses):
    async def done():
        await reconcile(context)
        await move_jobs_and_payouts(context)
        rows = await payouts(shop)
        return rows if sorted(row["status"] for row in rows) == sorted(statuses) else None

    return await eventually(done, seconds=60)


async def paid_job(shop, context, price, provider=None):
    """A job of a client and a provider who are one, funded and approved."""
    if provider is not None:
        await shop.call("localnet_fundToken", str(provider.pubkey()), str(USDC), 0)
    address = str(provider.pubkey()) if provider else None
    order = await shop.order(price=price, payout_address=address)
    await order.pay()
    return order


async def approve(context, order):
    async def escrowed():
        await reconcile(context)
        await move_jobs_and_payouts(context)
        return (await order.row())["escrow_status"] == "escrowed"

    await eventually(escrowed, seconds=60)
    for step in ("accept", "submit", "approve"):
        assert await order.step(step)


async def test_beyond_the_days_budget_a_payout_bears_its_own_fee(shop, indexer, worker_with):
    async with worker_with(WORKER_FEES_PER_DAY_LAMPORTS=FEE) as context:
        before = await lamports(shop)
        for _ in range(2):
            await approved_order(shop, context)
            await until(shop, context, ["settled"] * (1 + bool(await payouts(shop))))
        given, borne = await payouts(shop)
        assert (given["charged"], given["gift"]) == (0, FEE)
        assert (borne["charged_lamports"], borne["gift"]) == (FEE, 0)
        assert 0 < borne["charged"] < PRICE // 1_000
        assert await shop.balance(shop.provider.pubkey()) == 2 * PRICE - borne["charged"]
        assert before - await lamports(shop) == 2 * FEE
        await measure(context)
        assert context.metrics.fees_given._value.get() == FEE
    assert await shop.violations() == []


async def test_each_recipient_has_a_budget_of_its_own(shop, indexer, worker_with):
    async with worker_with(WORKER_FEES_PER_PAYEE_LAMPORTS=FEE) as context:
        for provider in (shop.provider, shop.provider, Keypair()):
            await approve(context, await paid_job(shop, context, PRICE, provider))
        rows = await until(shop, context, ["settled"] * 3)
    assert [row["gift"] for row in rows] == [FEE, 0, FEE]
    assert await shop.violations() == []


async def test_who_is_client_and_provider_spends_the_budget_and_no_lamport_more(shop, indexer, worker_with):
    """Jobs for one base unit, each with another throw-away provider: a fee of ours for nothing, again and again."""
    async with worker_with(WORKER_FEES_PER_DAY_LAMPORTS=2 * FEE) as context:
        before = await lamports(shop)
        for _ in range(4):
            await approve(context, await paid_job(shop, context, 1, Keypair()))
        rows = await until(shop, context, ["settled", "settled", "waiting", "waiting"])
        assert {row["waiting_reason"] for row in rows} == {None, "below_cost"}
        for _ in range(5):
            await move_jobs_and_payouts(context)
        assert before - await lamports(shop) == 2 * FEE
    assert await shop.violations() == []


async def test_two_workers_together_do_not_give_more_than_the_budget(shop, indexer, worker_with):
    one_fee = {"WORKER_FEES_PER_DAY_LAMPORTS": FEE}
    async with worker_with(**one_fee) as context, worker_with(**one_fee) as other:
        orders = [await paid_job(shop, context, PRICE) for _ in range(6)]
        for order in orders:
            await approve(context, order)
        await make_payouts(context)
        async with asyncio.timeout(60):
            while any(row["status"] != "settled" for row in await payouts(shop)):
                await asyncio.gather(move_jobs_and_payouts(context), move_jobs_and_payouts(other))
                await asyncio.sleep(0.1)
    rows = await payouts(shop)
    assert sorted(row["gift"] for row in rows) == [0, 0, 0, 0, 0, FEE]
    assert await shop.balance(shop.provider.pubkey()) == 6 * PRICE - sum(row["charged"] for row in rows)
    assert await shop.violations() == []


async def test_a_release_of_sol_beyond_the_budget_bears_its_fee(shop, indexer, worker_with):
    async with worker_with(WORKER_FEES_PER_DAY_LAMPORTS=0) as context:
        order = await shop.order(price=2_000_000_000, mint=NATIVE_SOL)
        before = await lamports(shop)
        from chain.instructions import with_references

        payment = pay.native_sol(shop.client.pubkey(), shop.wallet.pubkey(), 2_000_000_000)
        await shop.send([with_references(payment.instructions[0], [order.reference])], shop.client)
        await approve(context, order)
        (row,) = await until(shop, context, ["settled"])
        assert (row["charged"], row["charged_lamports"], row["gift"]) == (FEE, FEE, 0)
        assert await lamports(shop) == before
    assert await shop.violations() == []


async def test_the_fee_of_an_attempt_that_failed_on_chain_is_borne_too(shop, indexer, net, worker_with):
    """Whoever freezes or closes the destination at the right moment has us pay a fee for nothing."""
    async with worker_with(WORKER_FEES_PER_DAY_LAMPORTS=0) as context:
        await approved_order(shop, context)
        with pytest.raises(KilledError), watch_steps(dying_at("before broadcast")):
            await move_jobs_and_payouts(context)
        account = token_account(shop.provider.pubkey(), USDC)
        _freeze(net, account, 2)
        before = await lamports(shop)
        wire = await shop.pool.fetchval("SELECT wire FROM payout_attempts")
        sending = {"encoding": "base64", "skipPreflight": True}
        await shop.call("sendTransaction", base64.b64encode(wire).decode(), sending)

        async def has_failed():
            return before - await lamports(shop) == FEE

        await eventually(has_failed)
        _freeze(net, account, 1)
        (row,) = await until(shop, context, ["settled"])
        assert row["charged_lamports"] == 2 * FEE
        assert before - await lamports(shop) == 2 * FEE
    assert await shop.violations() == []


async def test_what_nodes_refuse_is_not_signed_anew_at_once(shop, indexer, net, worker_with):
    """The recipient has its account frozen for the moment of each attempt: the pause grows with every one."""
    async with worker_with(WORKER_PAYOUT_RETRY_SECONDS=300) as context:
        await approved_order(shop, context)
        with pytest.raises(KilledError), watch_steps(dying_at("before broadcast")):
            await move_jobs_and_payouts(context)
        account = token_account(shop.provider.pubkey(), USDC)
        _freeze(net, account, 2)
        await move_jobs_and_payouts(context)
        assert await shop.pool.fetchval("SELECT error FROM payout_attempts") is not None

        async def has_expired():
            await move_jobs_and_payouts(context)
            return await shop.pool.fetchrow("SELECT outcome, ended_at FROM payout_attempts WHERE ended_at IS NOT NULL")

        # The node that refused it does so until its blockhash has died.
        ended = await eventually(has_expired, seconds=90)
        assert ended["outcome"] == "expired"
        _freeze(net, account, 1)
        for _ in range(5):
            await move_jobs_and_payouts(context)
        row = await shop.pool.fetchrow("SELECT status::text, tries, next_try_at FROM payouts")
        assert (row["status"], row["tries"]) == ("queued", 1)
        assert (row["next_try_at"] - ended["ended_at"]).total_seconds() > 299
        assert await shop.pool.fetchval("SELECT count(*) FROM payout_attempts") == 1
        # When its time has come, it is signed anew and paid.
        await shop.pool.execute("UPDATE payouts SET next_try_at = clock_timestamp()")
        await until(shop, context, ["settled"])
    assert await shop.balance(shop.provider.pubkey()) == PRICE
    assert await shop.violations() == []


def _freeze(net, address, state):
    account = net.chain.bank.get_account(address)
    data = bytearray(account.data)
    data[108] = state
    net.chain.bank.set_account(address, Account(account.lamports, bytes(data), account.owner))


async def test_a_lamport_that_nobody_bears_is_found(shop, indexer, context):
    await approved_order(shop, context)
    await until(shop, context, ["settled"])
    assert await shop.violations() == []
    await shop.pool.execute("UPDATE payout_attempts SET fee_lamports = fee_lamports + 1")
    (found,) = await shop.violations()
    assert (found.invariant, found.found, found.expected) == ("lamports_are_borne", FEE + 1, FEE)
    await shop.pool.execute("UPDATE payout_attempts SET fee_lamports = fee_lamports - 1")
