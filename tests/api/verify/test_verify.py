"""POST /verify over a real chain: every outcome, each payment once."""

from tests.support.api_client import key_for, pay_usdc, proof_of


async def test_a_payment_is_honoured_once(merchant, market, indexer):
    transaction, payer = await pay_usdc(market, 290_000)
    proof = proof_of(payer, transaction, 0.29)
    first = await merchant.verify(proof)
    assert first.status == 200, first.text
    assert first["valid"] is True
    assert first["verified"] is True
    assert '"amount":0.29' in first.text
    paid = first["transaction"]
    assert paid["amountBaseUnits"] == "290000"
    assert paid["signature"] == transaction
    assert paid["recipient"] == market.wallets[0]
    second = await merchant.verify(proof)
    assert (second.status, second.code) == (402, "REPLAY_ATTACK")
    third = await merchant.verify(proof_of(payer, transaction, 0.29))
    assert (third.status, third.code) == (402, "REPLAY_ATTACK")


async def test_a_payment_that_is_on_its_way_is_waited_for(merchant, market, indexer):
    transaction, payer = await pay_usdc(market, 10_000)
    assert (await merchant.verify(proof_of(payer, transaction, "0.01"))).code == "VALID"


async def test_another_merchants_key_gets_nothing(api, pool, merchant, market, indexer):
    transaction, payer = await pay_usdc(market, 10_000)
    stranger = api.holding(await key_for(pool, "stranger"))
    assert (await stranger.verify(proof_of(payer, transaction, 0.01))).code == "RECIPIENT_NOT_FOLLOWED"
    assert (await merchant.verify(proof_of(payer, transaction, 0.01))).code == "VALID"
