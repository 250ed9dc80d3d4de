"""Claims whose payment is still on its way: remembered within bounds, settled meanwhile, told once."""

import asyncio

import pytest
from solders.keypair import Keypair

from ledger import claims
from ledger.claims import honour_pending
from ledger.invariants import check_invariants
from tests.support.api_client import key_for, proof_of, running_api
from tests.support.ledger_rows import NO_NODE, Vendor, book, new_signature


async def pending(vendor, amount="0.01", **fields):
    """A claim of a payment that nobody has seen; answers its proof and the row that was made."""
    proof = vendor.proof(new_signature(), amount, **fields)
    reply = await vendor.client.verify(proof)
    assert (reply.status, reply.code) == (402, "PAYMENT_PENDING"), reply.text
    assert int(reply.headers["Retry-After"]) >= 1
    return proof, await vendor.claim(proof["nonce"])


async def arrives(vendor, proof, amount=10_000, **columns):
    return await book(vendor.pool, proof["payer"], vendor.wallet, amount, signature=proof["transactionId"], **columns)


async def worker_honours(vendor, row, path="0"):
    return await honour_pending(vendor.pool, [(row["id"], path)])


async def test_asked_again_a_pending_claim_is_honoured_once_its_payment_is_there(vendor):
    proof, row = await pending(vendor)
    assert (row["status"], row["answered_at"]) == ("pending", None)
    await arrives(vendor, proof)
    reply = await vendor.client.verify(proof)
    assert reply.code == "VALID"
    assert reply["transaction"]["id"] == str(row["id"])
    assert (await vendor.client.verify(proof)).code == "REPLAY_ATTACK"


async def test_a_payment_that_arrives_within_the_wait_is_honoured_at_once(database_url, redis_url, pool):
    async with running_api(database_url, redis_url, [NO_NODE], VERIFY_WAIT_MS=10_000) as api:
        vendor = await Vendor(api, pool).open()
        proof = vendor.proof(new_signature())
        asking = asyncio.create_task(vendor.client.verify(proof))
        await asyncio.sleep(0.5)
        assert not asking.done()
        await arrives(vendor, proof)
        reply = await asyncio.wait_for(asking, 5)
        assert reply.code == "VALID"


async def test_what_the_worker_has_honoured_meanwhile_is_answered_once(vendor):
    proof, row = await pending(vendor)
    await arrives(vendor, proof)
    assert len(await worker_honours(vendor, row)) == 1
    replies = await asyncio.gather(*(vendor.client.verify(proof) for _ in range(8)))
    assert sorted(reply.code for reply in replies) == ["REPLAY_ATTACK"] * 7 + ["VALID"]
    assert (await vendor.claim(proof["nonce"]))["answered_at"] is not None


async def test_what_was_honoured_meanwhile_is_answered_late_too(vendor):
    """Its proof was in time when it was made."""
    proof, row = await pending(vendor)
    await arrives(vendor, proof)
    await worker_honours(vendor, row)
    assert (await vendor.client.verify({**proof, "timestamp": proof["timestamp"] - 3_600_000})).code == "VALID"


@pytest.mark.parametrize(("status", "code"), [("failed", "INSUFFICIENT_AMOUNT"), ("expired", "TRANSACTION_FAILED")])
async def test_what_came_to_nothing_says_so_and_leaves_the_nonce_free(vendor, status, code):
    proof, row = await pending(vendor)
    assert await claims.settle_pending(vendor.pool, [(row["id"], status, code)]) == 1
    assert (await vendor.client.verify(proof)).code == code
    assert (await vendor.client.verify(proof)).code == code
    # Another payment with the same nonce is welcome.
    assert (await vendor.client.verify(vendor.proof(await vendor.paid(), nonce=proof["nonce"]))).code == "VALID"


async def test_a_bogus_pending_claim_burns_no_nonce(vendor):
    """Somebody who has seen the nonce claims it for a transaction that will never be."""
    request = await vendor.requested()
    for _ in range(3):
        stranger = Vendor(vendor.api, vendor.pool)
        bogus = proof_of(stranger.buyer, new_signature(), "0.01", nonce=request["nonce"])
        assert (await vendor.api.verify(bogus)).code == "PAYMENT_PENDING"
    assert (await vendor.api.verify(vendor.proof(await vendor.paid(), nonce=request["nonce"]))).code == "VALID"


async def test_who_knows_a_nonce_cannot_use_up_what_its_merchant_may_have_pending(vendor):
    request = await vendor.requested()
    for _ in range(25):
        stranger = Vendor(vendor.api, vendor.pool)
        await vendor.api.verify(proof_of(stranger.buyer, new_signature(), "0.01", nonce=request["nonce"]))
    assert await vendor.pool.fetchval("SELECT count(*) FROM transactions") == 20
    await pending(vendor)
    assert await vendor.pool.fetchval("SELECT count(*) FROM transactions") == 21


async def test_who_names_only_a_wallet_leaves_nothing_behind(vendor):
    reply = await vendor.api.verify(vendor.proof(new_signature(), recipient=vendor.wallet))
    assert reply.code == "RECIPIENT_REQUIRED"
    assert await vendor.pool.fetchval("SELECT count(*) FROM transactions") == 0


async def test_pending_claims_are_bounded_for_each_merchant(database_url, redis_url, pool):
    async with running_api(database_url, redis_url, [NO_NODE], VERIFY_WAIT_MS=0, API_PENDING_CLAIMS=3) as api:
        vendor = await Vendor(api, pool).open()
        rival = await Vendor(api, pool, user="rival").open()
        proofs = [vendor.proof(new_signature()) for _ in range(6)]
        for proof in proofs:
            assert (await vendor.client.verify(proof)).code == "PAYMENT_PENDING"
        assert await pool.fetchval("SELECT count(*) FROM transactions WHERE user_id = 'merchant'") == 3
        await pending(rival)
        # Those that are remembered can still change their terms, and none of the others is lost for good.
        assert (await vendor.client.verify({**proofs[0], "amount": "0.02"})).code == "PAYMENT_PENDING"
        assert (await vendor.claim(proofs[0]["nonce"]))["amount"] == 20_000
        await arrives(vendor, proofs[5])
        assert (await vendor.client.verify(proofs[5])).code == "VALID"


async def test_a_claim_that_is_raised_while_it_is_pending_is_judged_by_what_it_claims_now(vendor):
    proof, _ = await pending(vendor, "0.01")
    await arrives(vendor, proof, 10_000)
    assert (await vendor.client.verify({**proof, "amount": "0.02"})).code == "INSUFFICIENT_AMOUNT"
    assert (await vendor.client.verify({**proof, "amount": "0.009"})).code == "VALID"
    row = await vendor.claim(proof["nonce"])
    assert (row["amount"], row["least_amount"], row["received"]) == (9_000, 9_000, 10_000)


async def test_a_claim_that_is_lowered_while_it_is_pending_is_honoured(vendor):
    proof, _ = await pending(vendor, "5")
    await arrives(vendor, proof, 10_000)
    assert (await vendor.client.verify({**proof, "amount": "0.01"})).code == "VALID"


async def test_what_was_honoured_for_little_is_not_answered_for_more(vendor):
    """Else a payer could claim a cent, let the worker honour it, and be told yes to a thousand."""
    proof, row = await pending(vendor, "0.01")
    await arrives(vendor, proof, 10_000)
    await worker_honours(vendor, row)
    assert (await vendor.client.verify({**proof, "amount": "1000"})).code == "INSUFFICIENT_AMOUNT"
    assert (await vendor.client.verify({**proof, "currency": "USDT"})).code == "CURRENCY_MISMATCH"
    assert (await vendor.claim(proof["nonce"]))["answered_at"] is None
    assert (await vendor.client.verify(proof)).code == "VALID"


async def test_what_was_honoured_early_is_answered_when_it_is_final_where_that_is_asked(vendor):
    careful = vendor.api.holding(await key_for(vendor.pool, final_only=True))
    request = await vendor.requested()
    transaction = await matched_by_reference(vendor, request)
    proof = vendor.proof(transaction, nonce=request["nonce"])
    assert (await careful.verify(proof)).code == "NOT_FINALIZED"
    await vendor.pool.execute("UPDATE transfers SET finality = 'finalized'")
    assert (await careful.verify(proof)).code == "VALID"
    assert (await careful.verify(proof)).code == "REPLAY_ATTACK"


async def matched_by_reference(vendor, request):
    """A payment with the request's reference, honoured with nobody asking, as the worker does."""
    transaction = await vendor.paid(reference_keys=[request["reference"]])
    await vendor.pool.execute(
        "INSERT INTO transactions (user_id, nonce, signature, path, payer, recipient, mint, currency, amount,"
        " least_amount, received, status, honoured_at)"
        " SELECT $1, $2, signature, path, source_owner, destination_owner, mint, 'USDC', $3, $3, amount, 'confirmed',"
        " clock_timestamp() FROM transfers WHERE signature = $4",
        vendor.user, request["nonce"], request["amount"], transaction,
    )  # fmt: skip
    return transaction


async def test_a_request_that_was_matched_by_its_reference_is_answered_once(vendor):
    request = await vendor.requested()
    transaction = await matched_by_reference(vendor, request)
    stranger = proof_of(Vendor(vendor.api, vendor.pool).buyer, transaction, "0.01", nonce=request["nonce"])
    assert (await vendor.client.verify(stranger)).code == "REPLAY_ATTACK"
    proof = vendor.proof(transaction, nonce=request["nonce"])
    assert (await vendor.client.verify(proof)).code == "VALID"
    assert (await vendor.client.verify(proof)).code == "REPLAY_ATTACK"


async def test_a_claim_whose_payment_was_undone_before_it_was_answered_is_not_answered(vendor):
    proof, row = await pending(vendor)
    await arrives(vendor, proof)
    await worker_honours(vendor, row)
    await vendor.pool.execute("UPDATE transfers SET finality = 'orphaned'")
    assert (await vendor.client.verify(proof)).code == "PAYMENT_PENDING"
    await claims.follow_transfers(vendor.pool)
    assert (await vendor.client.verify(proof)).code == "PAYMENT_PENDING"
    # It landed again.
    await vendor.pool.execute("UPDATE transfers SET finality = 'confirmed'")
    await claims.follow_transfers(vendor.pool)
    assert (await vendor.client.verify(proof)).code == "VALID"


@pytest.fixture
async def crowd(database_url, redis_url, pool):
    """A merchant whose keys may have 25 claims pending, and strangers as many, from whatever address they come."""
    settings = {"VERIFY_WAIT_MS": 0, "API_PENDING_CLAIMS": 25, "TRUSTED_PROXIES": "127.0.0.1"}
    async with running_api(database_url, redis_url, [NO_NODE], **settings) as api:
        yield await Vendor(api, pool).open()


async def claimed_from(vendor, address, proof):
    """Let somebody without a key claim from an address; answers the row that is there afterwards."""
    reply = await vendor.api.verify(proof, headers={"X-Forwarded-For": address})
    assert reply.code == "PAYMENT_PENDING", reply.text
    return await vendor.pool.fetchrow("SELECT * FROM transactions WHERE signature = $1", proof["transactionId"])


def thrown_away(nonce):
    """A claim by a key made for it, of a transaction that there is not."""
    return proof_of(Keypair(), new_signature(), "0.01", nonce=nonce)


async def test_strangers_keep_nobody_who_pays_from_being_remembered(crowd):
    nonce = (await crowd.requested())["nonce"]
    for _ in range(30):
        await claimed_from(crowd, "192.0.2.1", thrown_away(nonce))
    # At another address there is room for the buyer, and at the same one the newest claim counts.
    for address in ("192.0.2.2", "192.0.2.1"):
        proof = crowd.proof(new_signature(), nonce=nonce)
        row = await claimed_from(crowd, address, proof)
        assert (row["status"], row["payer"]) == ("pending", proof["payer"])
        assert await crowd.pool.fetchval("SELECT count(*) FROM transactions") == 20
    # Whoever claims much displaces claims of its own.
    kept = crowd.proof(new_signature(), nonce=nonce)
    await claimed_from(crowd, "192.0.2.3", kept)
    for _ in range(30):
        await claimed_from(crowd, "192.0.2.1", thrown_away(nonce))
    row = await crowd.pool.fetchrow("SELECT * FROM transactions WHERE signature = $1", kept["transactionId"])
    await arrives(crowd, kept)
    assert len(await worker_honours(crowd, row)) == 1
    assert await check_invariants(crowd.pool) == []


async def test_strangers_who_know_many_nonces_use_up_nothing_of_the_merchants(crowd):
    nonces = [(await crowd.requested())["nonce"] for _ in range(8)]
    for nonce in nonces[:7]:
        for _ in range(5):
            await claimed_from(crowd, "192.0.2.1", thrown_away(nonce))
    assert await crowd.pool.fetchval("SELECT count(*) FROM transactions") == 25
    await pending(crowd)
    # Nor do they keep others away from a nonce that has no claim yet.
    assert await claimed_from(crowd, "192.0.2.2", crowd.proof(new_signature(), nonce=nonces[7])) is not None
    assert await crowd.pool.fetchval("SELECT count(*) FROM transactions") == 26


async def test_a_displaced_claim_takes_no_transfer_in_the_place_of_its_successor(crowd):
    nonce = (await crowd.requested())["nonce"]
    first = await claimed_from(crowd, "192.0.2.1", thrown_away(nonce))
    for _ in range(20):
        last = thrown_away(nonce)
        await claimed_from(crowd, "192.0.2.1", last)
    await arrives(crowd, last)
    assert await worker_honours(crowd, first) == {}
    assert await crowd.pool.fetchval("SELECT count(*) FROM transactions WHERE status <> 'pending'") == 0


async def test_a_stranger_leaves_a_claim_of_whoever_has_a_key_as_it_is(crowd):
    strict = crowd.api.holding(await key_for(crowd.pool, final_only=True))
    proof = crowd.proof(new_signature(), nonce=(await crowd.requested())["nonce"])
    assert (await crowd.api.verify(proof)).code == "PAYMENT_PENDING"
    assert (await strict.verify(proof)).code == "PAYMENT_PENDING"
    row = await crowd.claim(proof["nonce"])
    assert row["final_only"]
    assert await claimed_from(crowd, "192.0.2.1", {**proof, "resource": "another"}) == row
