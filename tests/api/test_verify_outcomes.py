"""What /verify answers to every way of not having paid, and of having paid in an unusual one."""

import asyncio
import time

import pytest
from solders.keypair import Keypair

from pay402.localnet import payments as pay
from pay402.localnet.genesis import FEE_MINT
from pay402.localnet.payments import USDT, withheld_fee
from tests.api.shop import key_for, pay_usdc, proof_of
from tests.indexer.shop import eventually, follow


async def test_every_form_of_payment_is_honoured(merchant, market, indexer):
    for payment, payer in market.every_kind():
        if payment.must_fail:
            continue
        transaction = await market.pay(payment, payer)
        await market.settled()
        meant = next(m for m in payment.meant if _is_to_us(market, m))
        mint = {"mint": meant.mint, "currency": None}
        owner = next(w for w in market.payers if str(w.pubkey()) == str(payer.pubkey()))
        decimals = 9 if payment.kind in {"native SOL", "wrapped SOL"} else 6
        amount = f"{meant.credited // 10**decimals}.{meant.credited % 10**decimals:0{decimals}}"
        proof = proof_of(owner, transaction, amount, **mint)
        reply = await merchant.verify({name: value for name, value in proof.items() if value is not None})
        # Brought home from the recipient's own nested account, the money's owner was not the payer.
        expected = "PAYER_MISMATCH" if payment.kind == "inner instruction" else "VALID"
        assert reply.code == expected, (payment.kind, reply.text)


def _is_to_us(market, meant):
    accounts = {str(pay.token_account(r.pubkey(), m)) for r in market.recipients for m in _mints()}
    return meant.destination in accounts | set(market.wallets)


def _mints():
    return (pay.USDC, USDT, FEE_MINT, pay.WRAPPED_SOL)


async def test_the_credited_amount_counts_where_a_fee_is_withheld(merchant, market, indexer, pool):
    payer = market.payers[0]
    sent = pay.with_fee(payer.pubkey(), market.recipients[0].pubkey(), 100_000, stated=False)
    transaction = await market.pay(sent, payer)
    # Until then the ledger does not know the mint, and so not what 0.1 of it would be.
    await eventually(lambda: pool.fetchval("SELECT count(*) FROM transfers WHERE signature = $1", transaction))
    await asyncio.sleep(0.3)
    claim = {"mint": str(FEE_MINT), "currency": None}
    whole = {k: v for k, v in proof_of(payer, transaction, "0.1", **claim).items() if v is not None}
    assert (await merchant.verify(whole)).code == "INSUFFICIENT_AMOUNT"
    credited = 100_000 - withheld_fee(100_000)
    net_of_fee = {k: v for k, v in proof_of(payer, transaction, f"0.{credited:06}", **claim).items() if v is not None}
    assert (await merchant.verify(net_of_fee)).code == "VALID"


async def test_what_is_wrong_with_a_payment_is_said(api, pool, merchant, market, indexer):
    transaction, payer = await pay_usdc(market, 10_000)
    stranger = market.payers[1]

    async def code(**changes):
        return (await merchant.verify(proof_of(payer, transaction, 0.01) | changes)).code

    assert await code(amount="0.010001") == "INSUFFICIENT_AMOUNT"
    assert await code(currency="USDT") == "CURRENCY_MISMATCH"
    assert (await merchant.verify(proof_of(stranger, transaction, 0.01))).code == "PAYER_MISMATCH"
    assert await code(signature=proof_of(stranger, transaction, 0.01)["signature"]) == "INVALID_SIGNATURE"
    assert await code(timestamp=int(time.time() * 1000) - 16 * 60_000) == "PAYMENT_EXPIRED"
    assert await code(timestamp=int(time.time() * 1000) + 90_000) == "PAYMENT_EXPIRED"
    assert await code(amount="0.009", scheme="exact") == "AMOUNT_MISMATCH"
    assert await code(recipient=str(Keypair().pubkey())) == "RECIPIENT_NOT_FOLLOWED"
    assert (await api.verify(proof_of(payer, transaction, 0.01))).code == "RECIPIENT_REQUIRED"
    assert await code(recipient=market.wallets[1]) == "RECIPIENT_MISMATCH"
    # None of these has used the payment up.
    named = proof_of(payer, transaction, 0.01, recipient=market.wallets[0])
    assert (await api.verify(named)).code == "VALID"


async def test_another_merchant_with_wallets_of_its_own_gets_nothing(api, pool, market, indexer):
    await follow(pool, Keypair().pubkey())
    wallet = Keypair()
    await pool.execute(
        "INSERT INTO recipients (address, user_id, followed_from_slot) VALUES ($1, 'rival', 0)", str(wallet.pubkey())
    )
    transaction, payer = await pay_usdc(market, 10_000)
    await eventually(lambda: pool.fetchval("SELECT count(*) FROM transfers WHERE signature = $1", transaction))
    rival = api.holding(await key_for(pool, "rival"))
    assert (await rival.verify(proof_of(payer, transaction, 0.01))).code == "RECIPIENT_MISMATCH"


async def test_a_payment_to_a_wallet_that_nobody_follows_and_one_that_failed_are_refused(merchant, market, indexer):
    payer = market.payers[0]
    outside = pay.native_sol(payer.pubkey(), Keypair().pubkey(), 5_000_000)
    transaction = await market.pay(outside, payer)
    await market.settled()
    assert (await merchant.verify(proof_of(payer, transaction, "0.005", currency="SOL"))).code == "RECIPIENT_MISMATCH"
    failing = await market.pay(pay.failing(payer.pubkey(), market.recipients[0].pubkey(), 10_000), payer)
    await market.settled()
    assert (await merchant.verify(proof_of(payer, failing, 0.01))).code == "TRANSACTION_FAILED"


@pytest.mark.parametrize("shown", ["0.29", 0.29])
async def test_what_a_client_of_doubles_pays_counts_as_the_amount(merchant, market, indexer, shown):
    transaction, payer = await pay_usdc(market, 289_999)
    assert (await merchant.verify(proof_of(payer, transaction, shown))).code == "VALID"


async def test_finality_is_waited_for_where_the_key_demands_it(api, pool, market, indexer, net):
    careful = api.holding(await key_for(pool, final_only=True))
    transaction, payer = await pay_usdc(market, 10_000)
    proof = proof_of(payer, transaction, 0.01)
    seen = set()
    for _ in range(200):
        reply = await careful.verify(proof)
        seen.add(reply.code)
        if reply.code == "VALID":
            break
        assert reply.headers["Retry-After"]
        await asyncio.sleep(0.05)
    assert seen <= {"NOT_FINALIZED", "VALID"}
    assert reply["transaction"]["status"] == "finalized"


async def test_a_registered_nonce_says_whose_money_it_is_and_on_which_terms(api, merchant, market, indexer):
    asked = await merchant.post(
        "/payments/requests", {"amount": "0.02", "currency": "USDC", "recipient": market.wallets[0], "resource": "/x"}
    )
    assert asked.status == 201, asked.text
    nonce = asked["nonce"]
    transaction, payer = await pay_usdc(market, 20_000)
    other_terms = proof_of(payer, transaction, 0.01, nonce=nonce)
    assert (await merchant.verify(other_terms)).code == "NONCE_MISMATCH"
    elsewhere = proof_of(payer, transaction, 0.02, nonce=nonce, resource="/y")
    assert (await merchant.verify(elsewhere)).code == "NONCE_MISMATCH"
    # No key is needed: the nonce says enough.
    assert (await api.verify(proof_of(payer, transaction, 0.02, nonce=nonce))).code == "VALID"
    status = await merchant.get(f"/payments/requests/{nonce}")
    assert status["status"] == "paid"
    assert (await merchant.get(f"/payments/{transaction}"))["payments"][0]["claim"]["nonce"] == nonce
