"""What a fork does to a payment it does to its claim: dropped for ever, that is reversed; landed again, it stands."""

import pytest

from ledger import claims
from localnet import Localnet
from tests.support.api_client import pay_usdc, proof_of
from tests.support.ledger_checks import eventually, ledger_equals_chain
from tests.support.metric_values import value


@pytest.fixture
async def net():
    """A localnet whose slots are final after five seconds: a payment must not become so before its fork comes."""
    async with Localnet.start(port=0, slot_seconds=0.05, finalize_slots=100) as running:
        yield running


async def status_of(pool, proof):
    return await pool.fetchval("SELECT status FROM transactions WHERE nonce = $1", proof["nonce"])


async def claim_events(pool):
    rows = await pool.fetch("SELECT type FROM events WHERE type LIKE 'claim.%' ORDER BY id")
    return [row["type"] for row in rows]


async def honoured(merchant, market, net):
    """A payment that was honoured while it is confirmed; its proof."""
    await eventually(lambda: net.chain.slot("finalized") > 20)
    transaction, payer = await pay_usdc(market, 10_000)
    proof = proof_of(payer, transaction, "0.01")
    reply = await merchant.verify(proof)
    assert (reply.code, reply["transaction"]["status"]) == ("VALID", "confirmed")
    return proof


def depth_of(net, proof):
    """How many slots a fork abandons that undoes the payment of `proof`, however busy the machine has been."""
    return max(3, net.chain.slot() - net.chain.find(proof["transactionId"]).slot)


async def test_a_claim_whose_payment_is_dropped_for_ever_is_reversed_and_fails(merchant, market, net, indexer, pool):
    proof = await honoured(merchant, market, net)
    net.chain.fork(depth_of(net, proof), drop=[proof["transactionId"]], reland=1.0)
    market.sent.clear()

    async def is_reversed():
        return await status_of(pool, proof) == "reversed"

    await eventually(is_reversed, seconds=30)
    assert net.chain.find(proof["transactionId"]) is None
    await ledger_equals_chain(pool, market)
    assert value(indexer.metrics.orphaned) == 1
    assert value(indexer.metrics.claims_reversed) == 1
    # It may yet land again, until its time is up: until then it holds its nonce, and is not honoured again.
    assert (await merchant.verify(proof)).code == "REPLAY_ATTACK"
    assert (await claims.follow_transfers(pool)).failed == 0
    assert (await claims.follow_transfers(pool, dead_seconds=0)).failed == 1
    assert await status_of(pool, proof) == "failed"
    assert (await merchant.verify(proof)).code == "TRANSACTION_FAILED"
    assert await claim_events(pool) == ["claim.confirmed", "claim.reversed", "claim.failed"]


async def test_a_claim_whose_payment_lands_again_stays_honoured(merchant, market, net, indexer, pool):
    proof = await honoured(merchant, market, net)
    where = "SELECT slot FROM transfers WHERE signature = $1"
    before = await pool.fetchval(where, proof["transactionId"])
    net.chain.fork(depth_of(net, proof), drop=0.0, reland=1.0, reland_after=2)

    async def is_final():
        return await status_of(pool, proof) == "finalized"

    await eventually(is_final)
    slot = await pool.fetchval(where, proof["transactionId"])
    assert slot == net.chain.find(proof["transactionId"]).slot > before
    assert value(indexer.metrics.landed_again) >= 1
    assert value(indexer.metrics.claims_reversed) == 0
    assert (await merchant.verify(proof)).code == "REPLAY_ATTACK"
    assert await claim_events(pool) == ["claim.confirmed", "claim.finalized"]
    assert await pool.fetchval("SELECT count(*) FROM transactions") == 1
