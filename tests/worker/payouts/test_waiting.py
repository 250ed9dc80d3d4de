"""Payouts that cannot be sent wait, with a reason and a pause; mended, they go."""

from uuid import uuid4

import pytest
from solders.keypair import Keypair

from chain.node import Node
from localnet.genesis import FAUCET, FEE_MINT
from localnet.payments import USDC, token_account, withheld_fee
from tests.support.dying_worker import approved_order, paid_once, work_on
from tests.support.job_shop import PRICE, fast_settings, secret
from tests.support.ledger_checks import eventually
from worker.context import open_worker_context
from worker.escrow import move_jobs_and_payouts
from worker.gauges import measure
from worker.payouts.checks import NotReadyError, Waiting, ready_payout
from worker.payouts.costs import PayoutPolicy
from worker.payouts.rows import Payout, retry_payouts

POLICY = PayoutPolicy.of(fast_settings())


async def waiting(shop):
    return await shop.pool.fetchrow("SELECT status::text, waiting_reason, tries FROM payouts")


async def drained(shop, amount):
    """The operator has taken the money elsewhere."""
    from localnet import payments as pay

    await shop.call("localnet_fundToken", str(FAUCET.pubkey()), str(USDC), 0)
    payment = pay.plain(shop.wallet.pubkey(), FAUCET.pubkey(), amount)
    await shop.send(payment.instructions, shop.wallet)


async def test_insufficient_funds_wait_and_do_not_spin(shop, indexer, context, net, database_url):
    order = await approved_order(shop, context)
    await drained(shop, 1)
    await eventually(lambda: shop.balance(shop.wallet.pubkey()))
    await eventually(lambda: _is(shop, PRICE - 1))
    patient = fast_settings(SETTLEMENT_KEYPAIR=secret(shop.wallet), WORKER_PAYOUT_RETRY_SECONDS=600)
    async with open_worker_context(patient, database_url, [net.rpc_url]) as unhurried:
        for _ in range(20):
            await move_jobs_and_payouts(unhurried)
    row = await waiting(shop)
    assert (row["status"], row["waiting_reason"], row["tries"]) == ("waiting", "insufficient_funds", 1)
    await measure(context)
    assert context.metrics.payouts_waiting.labels("insufficient_funds")._value.get() == 1
    assert await shop.pool.fetchval("SELECT count(*) FROM payout_attempts") == 0
    await shop.call("localnet_fundToken", str(shop.wallet.pubkey()), str(USDC), 1)
    await retry_payouts(shop.pool, ())
    await work_on(context, order, net)
    await paid_once(shop)


async def _is(shop, amount):
    return await shop.balance(shop.wallet.pubkey()) == amount


async def test_a_wallet_without_sol_waits_for_it(shop, indexer, context, net):
    from solders.system_program import TransferParams, transfer

    order = await approved_order(shop, context)
    have = (await shop.call("getBalance", str(shop.wallet.pubkey()), {"commitment": "confirmed"}))["value"]
    leaves = transfer(
        TransferParams(from_pubkey=shop.wallet.pubkey(), to_pubkey=FAUCET.pubkey(), lamports=have - 898_000)
    )
    await shop.send([leaves], shop.wallet)

    async def waits():
        await move_jobs_and_payouts(context)
        row = await waiting(shop)
        return row["waiting_reason"] == "insufficient_lamports"

    # It may have been signed before the lamports had left; then it does not land and waits afterwards.
    await eventually(waits, seconds=30)
    await shop.call("requestAirdrop", str(shop.wallet.pubkey()), 1_000_000_000)
    await work_on(context, order, net)
    await paid_once(shop)


async def test_a_price_for_compute_units_is_offered_and_its_fee_kept_ready(shop, indexer, net, database_url):
    settings = fast_settings(SETTLEMENT_KEYPAIR=secret(shop.wallet), WORKER_PAYOUT_PRICE_MICROLAMPORTS=5_000)
    async with open_worker_context(settings, database_url, [net.rpc_url]) as context:
        order = await approved_order(shop, context)
        await work_on(context, order, net)
        await paid_once(shop)
    landed = net.chain.find(await shop.pool.fetchval("SELECT settled_signature FROM payouts"))
    # 5,000 lamports for the signature, and 200,000 units at 5,000 millionths of a lamport.
    assert landed.fee == 5_000 + 1_000


@pytest.mark.parametrize("whose", ["source", "destination"])
async def test_a_frozen_account_waits(shop, indexer, context, net, whose):
    """The localnet's mints have no freeze authority, so its accounts are frozen by hand."""
    order = await approved_order(shop, context)
    await shop.call("localnet_fundToken", str(shop.provider.pubkey()), str(USDC), 0)
    owner = shop.wallet if whose == "source" else shop.provider
    account = token_account(owner.pubkey(), USDC)
    _set_state(net, account, 2)
    await eventually(lambda: _waits(context, shop, f"{whose}_frozen"))
    _set_state(net, account, 1)
    await work_on(context, order, net)
    await paid_once(shop)


async def _waits(context, shop, reason):
    await move_jobs_and_payouts(context)
    row = await waiting(shop)
    return row["waiting_reason"] == reason


def _set_state(net, address, state):
    from solders.account import Account

    account = net.chain.bank.get_account(address)
    data = bytearray(account.data)
    data[108] = state
    net.chain.bank.set_account(address, Account(account.lamports, bytes(data), account.owner))


def payout_of(shop, recipient, mint, amount, *, kind="release", symbol="USDC", came_from=None, is_asked=False):
    return Payout(
        uuid4(), kind, str(shop.wallet.pubkey()), str(recipient), str(mint), amount, str(Keypair().pubkey()), 0, amount,
        came_from, symbol, 6, is_asked, 0, gift_left_lamports=5_000,
    )  # fmt: skip


async def test_the_recipient_bears_what_a_token_keeps(shop, net):
    """Paid gross out of what came in: never out of what is held for others."""
    node, recipient = Node(shop.rpc), Keypair()
    await shop.call("localnet_fundToken", str(shop.wallet.pubkey()), str(FEE_MINT), 1_000_000_000)
    await shop.call("localnet_fundToken", str(recipient.pubkey()), str(FEE_MINT), 0)
    for amount in (99, 100, 101, 12_345, 5_000_001, 600_000_000):
        ready = await eventually(
            lambda amount=amount: _ready(node, payout_of(shop, recipient.pubkey(), FEE_MINT, amount))
        )
        sending = ready.sending
        assert (sending.gross, ready.costs.charged, ready.costs.rent_lamports) == (amount, 0, 0)
        assert sending.fee == withheld_fee(amount)
        before = await shop.balance(recipient.pubkey(), FEE_MINT)
        newest = await shop.call("getLatestBlockhash", {"commitment": "confirmed"})
        await _send(shop, sending.message(newest["value"]["blockhash"]))
        wanted = before + amount - withheld_fee(amount)
        await eventually(lambda wanted=wanted: _has(shop, recipient, wanted))


async def _has(shop, recipient, amount):
    return await shop.balance(recipient.pubkey(), FEE_MINT) == amount


async def _ready(node, payout):
    try:
        return await ready_payout(node, payout, POLICY)
    except NotReadyError as missing:
        if missing.reason not in {Waiting.INSUFFICIENT_FUNDS, Waiting.NO_ACCOUNT}:
            raise
        return None


async def _send(shop, message):
    import base64

    from solders.transaction import Transaction

    wire = bytes(Transaction([shop.wallet], message, message.recent_blockhash))
    await shop.call(
        "sendTransaction", base64.b64encode(wire).decode(), {"encoding": "base64", "preflightCommitment": "confirmed"}
    )


async def test_what_can_never_receive_waits(shop, net):
    node = Node(shop.rpc)
    await shop.call("localnet_fundToken", str(shop.wallet.pubkey()), str(USDC), 10)
    account = str(token_account(shop.wallet.pubkey(), USDC))
    for recipient in (account, str(USDC)):
        with pytest.raises(NotReadyError) as refused:
            await eventually(lambda recipient=recipient: _ready(node, payout_of(shop, recipient, USDC, 5)))
        assert refused.value.reason is Waiting.DESTINATION_UNUSABLE
    from ledger.tokens import NATIVE_SOL

    nobody = payout_of(shop, Keypair().pubkey(), NATIVE_SOL, 5)
    with pytest.raises(NotReadyError) as refused:
        await ready_payout(node, nobody, POLICY)
    assert refused.value.reason is Waiting.BELOW_RENT
