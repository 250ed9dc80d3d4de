"""Payments that land after their claims came to nothing, as with a durable nonce they may: honoured still, and once."""

import asyncio
import datetime as dt
import time

import pytest

from ledger.claims import follow_transfers, settle_pending
from ledger.invariants import check_invariants
from tests.support.job_shop import fast_settings
from tests.support.ledger_rows import NO_NODE, Vendor, new_signature
from worker.claims.decide import reconcile
from worker.claims.match_requests import match_new_payments, sweep_requests
from worker.context import open_worker_context


@pytest.fixture
async def context(database_url):
    async with open_worker_context(fast_settings(), database_url, [NO_NODE]) as opened:
        yield opened


async def given_up(vendor, status="expired", code="TRANSACTION_FAILED", **fields):
    """A proof of a payment that was not seen in time, whose claim has come to nothing."""
    proof = vendor.proof(new_signature(), **fields)
    assert (await vendor.client.verify(proof)).code == "PAYMENT_PENDING"
    claim = await vendor.claim(proof["nonce"])
    assert await settle_pending(vendor.pool, [(claim["id"], status, code)]) == 1
    return proof


@pytest.mark.parametrize(("status", "code"), [("expired", "TRANSACTION_FAILED"), ("failed", "INSUFFICIENT_AMOUNT")])
@pytest.mark.parametrize("is_requested", [True, False])
async def test_its_proof_is_honoured_once_and_its_claim_is_the_one_that_was_made(vendor, status, code, is_requested):
    fields = {"nonce": (await vendor.requested())["nonce"]} if is_requested else {}
    proof = await given_up(vendor, status, code, **fields)
    assert (await vendor.client.verify(proof)).code == code
    await vendor.paid(signature=proof["transactionId"])
    replies = await asyncio.gather(*(vendor.client.verify(proof) for _ in range(6)))
    assert sorted(reply.code for reply in replies) == ["REPLAY_ATTACK"] * 5 + ["VALID"]
    (claim,) = await vendor.pool.fetch("SELECT status, code, path, settled_at FROM transactions")
    assert tuple(claim) == ("confirmed", None, "0", None)
    assert await check_invariants(vendor.pool) == []


async def test_too_little_stays_too_little(vendor):
    proof = await given_up(vendor)
    await vendor.paid(9_999, signature=proof["transactionId"])
    assert (await vendor.client.verify(proof)).code == "INSUFFICIENT_AMOUNT"


async def test_the_nonce_may_have_been_used_meanwhile(vendor):
    proof = await given_up(vendor)
    assert (await vendor.client.verify(vendor.proof(await vendor.paid(), nonce=proof["nonce"]))).code == "VALID"
    await vendor.paid(signature=proof["transactionId"])
    assert (await vendor.client.verify(proof)).code == "REPLAY_ATTACK"


@pytest.mark.parametrize("status", ["pending", "expired", "failed"])
@pytest.mark.parametrize("look", [match_new_payments, sweep_requests])
async def test_its_request_is_paid_by_reference(vendor, context, status, look):
    request = await vendor.requested()
    # The proof asks for more than its request does: exactly this amount.
    terms = {"nonce": request["nonce"], "scheme": "exact"}
    if status == "pending":
        proof = vendor.proof(new_signature(), **terms)
        assert (await vendor.client.verify(proof)).code == "PAYMENT_PENDING"
    else:
        proof = await given_up(vendor, status, "AMOUNT_MISMATCH", **terms)
    await vendor.paid(10_001, signature=proof["transactionId"], reference_keys=[request["reference"]])
    assert await look(context) == 1
    assert await look(context) == 0
    shown = await vendor.client.get(f"/payments/requests/{request['nonce']}")
    assert (shown["status"], shown["receivedBaseUnits"]) == ("paid", "10001")
    del proof["scheme"]
    fresh = {**proof, "timestamp": int(time.time() * 1000)}
    assert [(await vendor.client.verify(fresh)).code for _ in range(2)] == ["VALID", "REPLAY_ATTACK"]
    await reconcile(context)
    assert await check_invariants(vendor.pool) == []


async def test_one_transfer_pays_one_of_two_requests_that_gave_it_up(vendor, context):
    requests = [await vendor.requested() for _ in range(2)]
    signature = new_signature()
    for request in requests:
        proof = vendor.proof(signature, nonce=request["nonce"])
        assert (await vendor.client.verify(proof)).code == "PAYMENT_PENDING"
        claim = await vendor.claim(request["nonce"])
        await settle_pending(vendor.pool, [(claim["id"], "expired", "TRANSACTION_FAILED")])
    await vendor.paid(signature=signature, memos=[request["nonce"] for request in requests])
    await asyncio.gather(*(match_new_payments(context) for _ in range(4)))
    query = "SELECT status::text FROM transactions ORDER BY status"
    assert [row["status"] for row in await vendor.pool.fetch(query)] == ["confirmed", "expired"]
    assert await check_invariants(vendor.pool) == []


async def test_of_another_merchant_nothing_is_taken_up(vendor, context):
    """The same payer showed the same payment to somebody else first."""
    rival = await Vendor(vendor.api, vendor.pool, user="rival", buyer=vendor.buyer).open()
    request = await vendor.requested()
    proof = await given_up(rival)
    await vendor.paid(signature=proof["transactionId"], memos=[request["nonce"]])
    assert await match_new_payments(context) == 1
    assert (await rival.client.verify(proof)).code in {"REPLAY_ATTACK", "NONCE_MISMATCH", "RECIPIENT_MISMATCH"}
    assert (await rival.claim(proof["nonce"]))["status"] == "expired"


async def test_what_was_answered_and_undone_is_answered_no_second_time(vendor):
    """Its fork died, its claim failed, and the transaction landed again."""
    proof = vendor.proof(await vendor.paid())
    key = {"Idempotency-Key": "the order"}
    assert (await vendor.client.verify(proof, headers=key)).code == "VALID"
    await vendor.pool.execute("UPDATE transfers SET finality = 'orphaned'")
    await follow_transfers(vendor.pool)
    await follow_transfers(vendor.pool, dead_seconds=0)
    assert (await vendor.claim(proof["nonce"]))["status"] == "failed"
    await vendor.pool.execute("UPDATE transfers SET finality = 'confirmed'")
    codes = [(await vendor.client.verify(proof)).code for _ in range(2)]
    assert codes == ["REPLAY_ATTACK"] * 2
    # The very request that had the yes has it again.
    assert (await vendor.client.verify(proof, headers=key)).code == "VALID"
    assert await check_invariants(vendor.pool) == []


async def test_what_too_few_nodes_have_seen_is_pending_and_not_failed(vendor):
    """Its payer would believe that it moved no money, and pay again."""
    proof = await given_up(vendor)
    await vendor.paid(signature=proof["transactionId"], awaits_witness_since=dt.datetime.now(dt.UTC))
    assert (await vendor.client.verify(proof)).code == "PAYMENT_PENDING"
    await vendor.pool.execute("UPDATE transfers SET awaits_witness_since = NULL")
    assert (await vendor.client.verify(proof)).code == "VALID"


async def test_who_has_no_key_pays_a_test_request_to_a_live_wallet(vendor, context):
    """As a job that was ordered with a test key: API and worker judge alike."""
    request = await vendor.requested()
    await vendor.pool.execute("UPDATE nonces SET environment = 'test'")
    proof = vendor.proof(new_signature(), nonce=request["nonce"])
    assert (await vendor.api.verify(proof)).code == "PAYMENT_PENDING"
    await vendor.paid(signature=proof["transactionId"])
    await reconcile(context)
    assert (await vendor.claim(request["nonce"]))["status"] == "confirmed"
