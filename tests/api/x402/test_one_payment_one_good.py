"""What is paid over x402 pays for that, and for no other order that its buyer names in the same transaction."""

import asyncio
import base64

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from tests.support.api_client import key_for, proof_of, running_api
from tests.support.ledger_checks import eventually
from tests.support.wallets import memo
from tests.support.x402_parties import settled
from tests.support.x402_payments import unit_limit, unit_price
from worker.claims.decide import reconcile
from worker.claims.match_requests import match_new_payments


async def ordered(client, parties, amount="0.01"):
    """Another order of the buyer, open."""
    order = {"amount": amount, "currency": "USDC", "recipient": str(parties.shop), "resource": "another-good"}
    return await client.post("/payments/requests", order)


async def is_paid(client, request):
    return (await client.get(f"/payments/requests/{request['nonce']}"))["status"] == "paid"


async def test_a_memo_that_the_seller_does_not_require_pays_no_request(seller, following, parties, pool):
    request = await ordered(seller, parties)
    answer = await settled(seller, await parties.purchase(memo=request["nonce"]))
    assert (answer["success"], answer["errorReason"]) == (False, "invalid_payment_requirements")
    assert "not what the seller requires" in answer["errorMessage"]
    assert not await is_paid(seller, request)
    assert await pool.fetchval("SELECT count(*) FROM settlements") == 0


async def test_a_transfer_that_names_a_reference_is_refused(seller, following, parties):
    request = await ordered(seller, parties)
    purchase = await parties.purchase()
    usual = purchase.transfer
    reference = AccountMeta(Pubkey.from_string(request["reference"]), False, False)
    named = Instruction(usual.program_id, bytes(usual.data), [*usual.accounts, reference])
    answer = await settled(seller, purchase.but(instructions=(unit_limit(), unit_price(), named, memo("one"))))
    assert (answer["success"], answer["errorReason"]) == (False, "invalid_exact_svm_payload_no_transfer_instruction")
    assert not await is_paid(seller, request)


async def test_of_two_memos_the_request_is_paid_or_the_purchase(
    database_url, redis_url, net, parties, pool, following, passes
):
    """The worker matches every memo, and is quicker where x402 waits until the payment is final."""
    settings = {**parties.settings, "FINALIZED_ABOVE": "USDC:0.01"}
    async with running_api(database_url, redis_url, [net.rpc_url], **settings) as api:
        client = api.holding(await key_for(pool))
        request = await ordered(client, parties, "0.005")
        purchase = await parties.purchase()
        two = (unit_limit(40_000), unit_price(), purchase.transfer, memo(request["nonce"]), memo("x"))

        async def match():
            while True:
                await match_new_payments(passes)
                await asyncio.sleep(0.02)

        matching = asyncio.create_task(match())
        answer = await settled(client, purchase.but(instructions=two))
        matching.cancel()
        assert await is_paid(client, request) + answer["success"] == 1, answer


async def test_a_payment_that_was_proved_for_another_order_is_not_answered_here(
    database_url, redis_url, net, parties, pool, following, passes
):
    settings = {**parties.settings, "X402_WAIT_SECONDS": 0.3, "VERIFY_WAIT_MS": 50}
    async with running_api(database_url, redis_url, [net.rpc_url], **settings) as api:
        client = api.holding(await key_for(pool))
        request = await ordered(client, parties)
        purchase = await parties.purchase()
        net.set_faults({"transactionsLost": 1})
        first = await settled(client, purchase)
        assert first["errorReason"] == "settlement_pending"
        proof = proof_of(parties.buyer, first["transaction"], "0.01", nonce=request["nonce"])
        assert (await client.verify(proof)).code == "PAYMENT_PENDING"
        net.set_faults(None)
        wire = base64.b64encode(await pool.fetchval("SELECT wire FROM settlements")).decode()
        await parties.call("sendTransaction", wire, {"encoding": "base64", "skipPreflight": True})

        async def is_honoured():
            await reconcile(passes)
            return await pool.fetchval("SELECT true FROM transactions WHERE status IN ('confirmed', 'finalized')")

        await eventually(is_honoured)
        assert await is_paid(client, request)
        again = await settled(client, purchase)
        assert (again["success"], again["errorReason"]) == (False, "duplicate_settlement")
