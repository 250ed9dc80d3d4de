"""Payouts that seem to be paid while an export of them lives by a nonce: whoever signs it then pays a second time."""

import base64
from uuid import UUID

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from ledger.payout_exports import payable_twice
from localnet import payments as pay
from tests.support.durable_nonces import exported, open_nonce, outcomes, passes, send, signed, void
from tests.support.dying_worker import approved_order, paid_once, work_on
from tests.support.job_shop import PRICE
from tests.support.ledger_checks import eventually
from worker.escrow import move_jobs_and_payouts
from worker.payouts import nonces
from worker.payouts.exports import export_payouts, import_payout


async def pay_by_hand(shop, net, reference=None):
    """The price, from the settlement wallet to the provider, past every export."""
    payment = pay.checked(shop.wallet.pubkey(), shop.provider.pubkey(), PRICE, reference or Keypair().pubkey(), "paid")
    signature = await shop.send(payment.instructions, shop.wallet)
    net.chain.tick(40)
    final = "SELECT count(*) FROM transfers WHERE signature = $1 AND finality = 'finalized'"
    await eventually(lambda: shop.pool.fetchval(final, signature))


@pytest.mark.parametrize("with_reference", [True, False])
async def test_what_was_paid_by_hand_while_an_export_lives_is_warned_of_until_that_is_voided(
    shop, keyless, net, with_reference
):
    order = await approved_order(shop, keyless)
    account = await open_nonce(shop, net)
    one = await exported(keyless, account)
    await passes(keyless, net, count=2)
    assert await payable_twice(shop.pool) == []
    reference = await shop.pool.fetchval("SELECT reference FROM payouts")
    await pay_by_hand(shop, net, Pubkey.from_string(reference) if with_reference else None)
    await passes(keyless, net)
    # What is settled has an end in the ledger, and none on the chain.
    assert await outcomes(order) == ["settled" if with_reference else None]
    (found,) = await payable_twice(shop.pool)
    assert (str(found.payout_id), found.nonce_account) == (one.payout, account)
    assert found.is_settled is with_reference
    assert account in found.remedy
    await void(keyless, shop, account)
    net.chain.tick(20)

    async def is_over():
        await move_jobs_and_payouts(keyless)
        return await payable_twice(shop.pool) == []

    await eventually(is_over, seconds=30)
    await send(shop, Transaction.from_bytes(base64.b64decode(signed(shop, one))))
    await passes(keyless, net, count=2)
    assert await shop.balance(shop.provider.pubkey()) == PRICE


@pytest.mark.parametrize("outcome", ["expired", "failed"])
async def test_an_export_that_ended_before_its_payout_was_paid_is_warned_of_no_longer_than_it_lives(
    shop, keyless, net, outcome, monkeypatch
):
    """Behind others that live on: each has its turn, however few are asked about at once."""
    monkeypatch.setattr(nonces, "ACCOUNTS_PER_CALL", 1)
    monkeypatch.setattr(nonces, "_PAGES_PER_PASS", 1)
    orders = [await approved_order(shop, keyless) for _ in range(2)]
    accounts = [await open_nonce(shop, net) for _ in orders]
    await move_jobs_and_payouts(keyless)
    exports = await export_payouts(keyless, nonce_accounts=accounts)
    for one in exports:
        reference = await shop.pool.fetchval("SELECT reference FROM payouts WHERE id = $1", UUID(one.payout))
        await pay_by_hand(shop, net, Pubkey.from_string(reference))
    await passes(keyless, net)
    assert {str(one.payout_id) for one in await payable_twice(shop.pool)} == {one.payout for one in exports}
    await shop.pool.execute("UPDATE payout_attempts SET outcome = $1", outcome)
    # The one that ended last is voided, and the other lives on.
    last = await shop.pool.fetchval("SELECT nonce_account FROM payout_attempts ORDER BY ended_at DESC, id DESC LIMIT 1")
    await void(keyless, shop, last)
    net.chain.tick(20)

    async def is_over():
        await move_jobs_and_payouts(keyless)
        return [one.nonce_account for one in await payable_twice(shop.pool)] == [one for one in accounts if one != last]

    await eventually(is_over, seconds=30)


async def test_an_export_that_was_signed_and_sent_past_us_is_not_warned_of(shop, keyless, net):
    order = await approved_order(shop, keyless)
    one = await exported(keyless, await open_nonce(shop, net))
    await send(shop, Transaction.from_bytes(base64.b64decode(signed(shop, one))))
    await work_on(keyless, order, net)
    await paid_once(shop)

    async def is_over():
        net.chain.tick(5)
        await move_jobs_and_payouts(keyless)
        return await payable_twice(shop.pool) == []

    await eventually(is_over, seconds=30)


async def test_an_equal_payment_to_the_same_recipient_for_another_payout_is_no_payment_by_hand(shop, keyless, net):
    orders = [await approved_order(shop, keyless) for _ in range(2)]
    accounts = [await open_nonce(shop, net) for _ in orders]
    await move_jobs_and_payouts(keyless)
    first, _ = await export_payouts(keyless, nonce_accounts=accounts)
    await import_payout(keyless, signed(shop, first))
    by_payout = {str(await payout_of(order)): order for order in orders}
    await work_on(keyless, by_payout[first.payout], net)
    assert await payable_twice(shop.pool) == []


async def payout_of(order):
    return await order.shop.pool.fetchval("SELECT id FROM payouts WHERE job_id = $1", order.id)
