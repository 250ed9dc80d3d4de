"""GET /payments/requests/{nonce}: what was received in all, what is remarkable about it, and whose claim took what."""

import pytest
from solders.keypair import Keypair

from tests.support.api_client import key_for, proof_of, running_api
from tests.support.job_shop import fast_settings
from tests.support.ledger_rows import NO_NODE, Vendor, new_signature
from tests.support.reconciling import reconcile
from worker.claims.match_requests import match_new_payments, sweep_requests
from worker.context import open_worker_context

FLAGS = ("late", "short", "over", "duplicate")
WRAPPED_SOL = "So11111111111111111111111111111111111111112"
NATIVE_SOL = "11111111111111111111111111111111"


async def shown(vendor, request):
    reply = await vendor.client.get(f"/payments/requests/{request['nonce']}")
    assert reply.status == 200, reply.text
    return reply


def flags_of(reply):
    return {flag for flag in FLAGS if reply[flag]}


@pytest.mark.parametrize(
    ("amounts", "received", "flags"),
    [
        ([], "0", set()),
        ([4_000], "4000", {"short"}),
        ([4_000, 6_000], "10000", {"duplicate"}),
        ([4_000, 5_000], "9000", {"short", "duplicate"}),
        ([10_000], "10000", set()),
        ([10_001], "10001", {"over"}),
        ([10_000, 10_000], "20000", {"over", "duplicate"}),
        ([4_000, 10_000], "14000", {"over", "duplicate"}),
    ],
)
async def test_what_was_received_in_all(vendor, amounts, received, flags):
    request = await vendor.requested(10_000)
    for number, amount in enumerate(amounts):
        named = {"memos": [request["nonce"]]} if number % 2 else {"reference_keys": [request["reference"]]}
        await vendor.paid(amount, slot=100 + number, **named)
    reply = await shown(vendor, request)
    assert (reply["receivedBaseUnits"], flags_of(reply)) == (received, flags)
    assert [one["amountBaseUnits"] for one in reply["transfers"]] == [str(amount) for amount in amounts]
    # The same once a proof has honoured the payment that is enough.
    if enough := [one for one in reply["transfers"] if int(one["amountBaseUnits"]) >= 10_000]:
        proof = vendor.proof(enough[0]["signature"], nonce=request["nonce"])
        assert (await vendor.client.verify(proof)).code == "VALID"
        reply = await shown(vendor, request)
        assert (reply["status"], reply["receivedBaseUnits"], flags_of(reply)) == ("paid", received, flags)


async def test_each_transfer_shows_the_claim_that_took_it(vendor):
    request = await vendor.requested(10_000)
    taken = await vendor.paid(10_000, memos=[request["nonce"]], finality="finalized")
    await vendor.paid(3_000, memos=[request["nonce"]], slot=101)
    assert (await vendor.client.verify(vendor.proof(taken, nonce=request["nonce"]))).code == "VALID"
    first, second = (await shown(vendor, request))["transfers"]
    assert second["claim"] is None
    assert (first["claim"]["nonce"], first["claim"]["status"], first["claim"]["finality"]) == (
        request["nonce"], "confirmed", "finalized",
    )  # fmt: skip
    assert (first["status"], first["finality"]) == ("confirmed", "finalized")


async def test_a_payment_that_a_proof_alone_names_is_shown_and_counted(vendor):
    request = await vendor.requested(10_000)
    proof = vendor.proof(await vendor.paid(12_000), nonce=request["nonce"])
    assert (await vendor.client.verify(proof)).code == "VALID"
    reply = await shown(vendor, request)
    assert [one["signature"] for one in reply["transfers"]] == [proof["transactionId"]]
    assert (reply["receivedBaseUnits"], flags_of(reply)) == ("12000", {"over"})


async def test_wrapped_sol_counts_for_sol_and_no_other_token_does(vendor):
    order = {"amount": "0.00001", "currency": "SOL", "recipient": vendor.wallet}
    request = await vendor.client.post("/payments/requests", order)
    named = {"reference_keys": [request["reference"]]}
    await vendor.paid(4_000, mint=WRAPPED_SOL, **named)
    await vendor.paid(5_000, mint=NATIVE_SOL, kind="nativeTransfer", slot=101, **named)
    await vendor.paid(90_000, slot=102, **named)
    reply = await shown(vendor, request)
    assert (reply["receivedBaseUnits"], flags_of(reply)) == ("9000", {"short", "duplicate"})
    assert len(reply["transfers"]) == 3


async def test_what_moves_nothing_is_not_received(vendor):
    request = await vendor.requested(10_000)
    named = {"reference_keys": [request["reference"]], "source_owner": vendor.wallet}
    await vendor.paid(10_000, **named, source=str(Keypair().pubkey()))
    await vendor.paid(10_000, **named, source=vendor.wallet, slot=101)
    reply = await shown(vendor, request)
    assert (reply["receivedBaseUnits"], reply["transfers"], flags_of(reply)) == ("0", [], set())


@pytest.mark.parametrize("amounts", [(5_000, 10_000), (10_000, 5_000), (12_000, 11_000)], ids=str)
@pytest.mark.parametrize("how", ["proof", "new payments", "sweep"])
async def test_two_requests_that_one_transaction_pays_get_a_transfer_each(vendor, database_url, amounts, how):
    """It names both by memo; each has its own, and is neither paid twice nor too much by the other's."""
    small, large = await vendor.requested(5_000), await vendor.requested(10_000)
    named = {"memos": [small["nonce"], large["nonce"]], "finality": "finalized" if how == "sweep" else "confirmed"}
    transaction = await vendor.paid(amounts[0], **named)
    await vendor.paid(amounts[1], signature=transaction, path="1", **named)
    if how == "proof":
        for one, amount in ((large, "0.01"), (small, "0.005")):
            proof = vendor.proof(transaction, amount, nonce=one["nonce"])
            assert (await vendor.client.verify(proof)).code == "VALID"
    else:
        async with open_worker_context(fast_settings(), database_url, [NO_NODE]) as context:
            assert await (sweep_requests if how == "sweep" else match_new_payments)(context) == 2
    replies = [await shown(vendor, one) for one in (small, large)]
    assert [reply["status"] for reply in replies] == ["paid", "paid"]
    assert sorted(int(reply["receivedBaseUnits"]) for reply in replies) == sorted(amounts)
    over = set() if sum(amounts) == 15_000 else {"over"}
    assert [flags_of(reply) for reply in replies] == [over, over]
    await reconcile(database_url)
    findings = (await vendor.client.get("/analytics/reconciliation/findings"))["findings"]
    assert {one["kind"] for one in findings} == ({"overPayment"} if over else set())


async def test_a_stranger_who_claims_does_not_show_as_the_payer(vendor):
    request = await vendor.requested(10_000)
    stranger = Keypair()
    bogus = proof_of(stranger, new_signature(), "0.01", nonce=request["nonce"])
    assert (await vendor.api.verify(bogus)).code == "PAYMENT_PENDING"
    reply = await shown(vendor, request)
    assert (reply["status"], reply["payer"], reply["transactionId"]) == ("pending", None, None)
    proof = vendor.proof(await vendor.paid(10_000), nonce=request["nonce"])
    assert (await vendor.api.verify(proof)).code == "VALID"
    reply = await shown(vendor, request)
    assert (reply["status"], reply["payer"], reply["transactionId"]) == ("paid", proof["payer"], proof["transactionId"])


async def test_a_claim_made_after_the_end_keeps_no_request_open(vendor):
    request = await vendor.requested(10_000, seconds=-60)
    bogus = proof_of(Keypair(), new_signature(), "0.01", nonce=request["nonce"])
    assert (await vendor.api.verify(bogus)).code == "PAYMENT_PENDING"
    assert (await shown(vendor, request))["status"] == "expired"


@pytest.mark.parametrize("why", ["key", "request", "amount"])
async def test_what_must_be_final_is_paid_only_when_it_is(database_url, redis_url, pool, why):
    above = {"FINALIZED_ABOVE": "USDC:0.01"} if why == "amount" else {}
    async with running_api(database_url, redis_url, [NO_NODE], VERIFY_WAIT_MS=0, **above) as api:
        vendor = await Vendor(api, pool).open()
        merchant = api.holding(await key_for(pool, vendor.user, final_only=True)) if why == "key" else vendor.client
        order = {"amount": "0.01", "currency": "USDC", "finalOnly": why == "request"}
        request = await merchant.post("/payments/requests", order)
        assert request["finalOnly"] is True
        transaction = await vendor.paid(10_000, reference_keys=[request["reference"]])
        # Asked by nobody's key, or by a key that demands no finality itself.
        for client in (api, vendor.client):
            reply = await client.verify(vendor.proof(transaction, nonce=request["nonce"]))
            assert reply.code == "NOT_FINALIZED"
        assert (await shown(vendor, request))["status"] != "paid"
        await pool.execute("UPDATE transfers SET finality = 'finalized'")
        assert (await api.verify(vendor.proof(transaction, nonce=request["nonce"]))).code == "VALID"
        assert (await shown(vendor, request))["status"] == "paid"
