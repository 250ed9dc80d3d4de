"""Claims whose payment is still on its way: remembered within bounds, settled meanwhile, told once."""

import asyncio

import pytest

from ledger import claims
from ledger.claims import honour_pending
from tests.support.api_client import key_for, proof_of, running_api
from tests.support.ledger_rows import NO_NODE, Till, book, new_signature


async def pending(till, amount="0.01", **fields):
    """A claim of a payment that nobody has seen; answers its proof and the row that was made."""
    proof = till.proof(new_signature(), amount, **fields)
    reply = await till.client.verify(proof)
    assert (reply.status, reply.code) == (402, "PAYMENT_PENDING"), reply.text
    assert int(reply.headers["Retry-After"]) >= 1
    return proof, await till.claim(proof["nonce"])


async def arrives(till, proof, amount=10_000, **columns):
    return await book(till.pool, proof["payer"], till.wallet, amount, signature=proof["transactionId"], **columns)


async def worker_honours(till, row, path="0"):
    return await honour_pending(till.pool, [(row["id"], path)])


async def test_asked_again_a_pending_claim_is_honoured_once_its_payment_is_there(till):
    proof, row = await pending(till)
    assert (row["status"], row["answered_at"]) == ("pending", None)
    await arrives(till, proof)
    reply = await till.client.verify(proof)
    assert reply.code == "VALID"
    assert reply["transaction"]["id"] == str(row["id"])
    assert (await till.client.verify(proof)).code == "REPLAY_ATTACK"


async def test_a_payment_that_arrives_within_the_wait_is_honoured_at_once(database_url, redis_url, pool):
    async with running_api(database_url, redis_url, [NO_NODE], VERIFY_WAIT_MS=10_000) as api:
        till = await Till(api, pool).open()
        proof = till.proof(new_signature())
        asking = asyncio.create_task(till.client.verify(proof))
        await asyncio.sleep(0.5)
        assert not asking.done()
        await arrives(till, proof)
        reply = await asyncio.wait_for(asking, 5)
        assert reply.code == "VALID"


async def test_what_the_worker_has_honoured_meanwhile_is_told_once(till):
    proof, row = await pending(till)
    await arrives(till, proof)
    assert len(await worker_honours(till, row)) == 1
    replies = await asyncio.gather(*(till.client.verify(proof) for _ in range(8)))
    assert sorted(reply.code for reply in replies) == ["REPLAY_ATTACK"] * 7 + ["VALID"]
    assert (await till.claim(proof["nonce"]))["answered_at"] is not None


async def test_what_was_honoured_meanwhile_is_told_late_too(till):
    """Its proof was in time when it was made."""
    proof, row = await pending(till)
    await arrives(till, proof)
    await worker_honours(till, row)
    assert (await till.client.verify({**proof, "timestamp": proof["timestamp"] - 3_600_000})).code == "VALID"


@pytest.mark.parametrize(("status", "code"), [("failed", "INSUFFICIENT_AMOUNT"), ("expired", "TRANSACTION_FAILED")])
async def test_what_came_to_nothing_says_so_and_leaves_the_nonce_free(till, status, code):
    proof, row = await pending(till)
    assert await claims.settle_pending(till.pool, [(row["id"], status, code)]) == 1
    assert (await till.client.verify(proof)).code == code
    assert (await till.client.verify(proof)).code == code
    # Another payment with the same nonce is welcome.
    assert (await till.client.verify(till.proof(await till.paid(), nonce=proof["nonce"]))).code == "VALID"


async def test_a_bogus_pending_claim_burns_no_nonce(till):
    """Somebody who has seen the nonce claims it for a transaction that will never be."""
    request = await till.requested()
    for _ in range(3):
        stranger = Till(till.api, till.pool)
        bogus = proof_of(stranger.buyer, new_signature(), "0.01", nonce=request["nonce"])
        assert (await till.api.verify(bogus)).code == "PAYMENT_PENDING"
    assert (await till.api.verify(till.proof(await till.paid(), nonce=request["nonce"]))).code == "VALID"


async def test_who_knows_a_nonce_cannot_use_up_what_its_merchant_may_have_pending(till):
    request = await till.requested()
    for _ in range(25):
        stranger = Till(till.api, till.pool)
        await till.api.verify(proof_of(stranger.buyer, new_signature(), "0.01", nonce=request["nonce"]))
    assert await till.pool.fetchval("SELECT count(*) FROM transactions") == 20
    await pending(till)
    assert await till.pool.fetchval("SELECT count(*) FROM transactions") == 21


async def test_who_names_only_a_wallet_leaves_nothing_behind(till):
    reply = await till.api.verify(till.proof(new_signature(), recipient=till.wallet))
    assert reply.code == "RECIPIENT_REQUIRED"
    assert await till.pool.fetchval("SELECT count(*) FROM transactions") == 0


async def test_pending_claims_are_bounded_for_each_merchant(database_url, redis_url, pool):
    async with running_api(database_url, redis_url, [NO_NODE], VERIFY_WAIT_MS=0, API_PENDING_CLAIMS=3) as api:
        till = await Till(api, pool).open()
        rival = await Till(api, pool, user="rival").open()
        proofs = [till.proof(new_signature()) for _ in range(6)]
        for proof in proofs:
            assert (await till.client.verify(proof)).code == "PAYMENT_PENDING"
        assert await pool.fetchval("SELECT count(*) FROM transactions WHERE user_id = 'merchant'") == 3
        await pending(rival)
        # Those that are remembered can still change their terms, and none of the others is lost for good.
        assert (await till.client.verify({**proofs[0], "amount": "0.02"})).code == "PAYMENT_PENDING"
        assert (await till.claim(proofs[0]["nonce"]))["amount"] == 20_000
        await arrives(till, proofs[5])
        assert (await till.client.verify(proofs[5])).code == "VALID"


async def test_a_claim_that_is_raised_while_it_is_pending_is_judged_by_what_it_claims_now(till):
    proof, _ = await pending(till, "0.01")
    await arrives(till, proof, 10_000)
    assert (await till.client.verify({**proof, "amount": "0.02"})).code == "INSUFFICIENT_AMOUNT"
    assert (await till.client.verify({**proof, "amount": "0.009"})).code == "VALID"
    row = await till.claim(proof["nonce"])
    assert (row["amount"], row["least_amount"], row["received"]) == (9_000, 9_000, 10_000)


async def test_a_claim_that_is_lowered_while_it_is_pending_is_honoured(till):
    proof, _ = await pending(till, "5")
    await arrives(till, proof, 10_000)
    assert (await till.client.verify({**proof, "amount": "0.01"})).code == "VALID"


async def test_what_was_honoured_for_little_is_not_told_for_more(till):
    """Else a payer could claim a cent, let the worker honour it, and be told yes to a thousand."""
    proof, row = await pending(till, "0.01")
    await arrives(till, proof, 10_000)
    await worker_honours(till, row)
    assert (await till.client.verify({**proof, "amount": "1000"})).code == "INSUFFICIENT_AMOUNT"
    assert (await till.client.verify({**proof, "currency": "USDT"})).code == "CURRENCY_MISMATCH"
    assert (await till.claim(proof["nonce"]))["answered_at"] is None
    assert (await till.client.verify(proof)).code == "VALID"


async def test_what_was_honoured_early_is_told_when_it_is_final_where_that_is_asked(till):
    careful = till.api.holding(await key_for(till.pool, final_only=True))
    request = await till.requested()
    transaction = await matched_by_reference(till, request)
    proof = till.proof(transaction, nonce=request["nonce"])
    assert (await careful.verify(proof)).code == "NOT_FINALIZED"
    await till.pool.execute("UPDATE transfers SET finality = 'finalized'")
    assert (await careful.verify(proof)).code == "VALID"
    assert (await careful.verify(proof)).code == "REPLAY_ATTACK"


async def matched_by_reference(till, request):
    """A payment with the request's reference, honoured with nobody asking, as the worker does."""
    transaction = await till.paid(reference_keys=[request["reference"]])
    await till.pool.execute(
        "INSERT INTO transactions (user_id, nonce, signature, path, payer, recipient, mint, currency, amount,"
        " least_amount, received, status, honoured_at)"
        " SELECT $1, $2, signature, path, source_owner, destination_owner, mint, 'USDC', $3, $3, amount, 'confirmed',"
        " clock_timestamp() FROM transfers WHERE signature = $4",
        till.user, request["nonce"], request["amount"], transaction,
    )  # fmt: skip
    return transaction


async def test_a_request_that_was_matched_by_its_reference_is_told_once(till):
    request = await till.requested()
    transaction = await matched_by_reference(till, request)
    stranger = proof_of(Till(till.api, till.pool).buyer, transaction, "0.01", nonce=request["nonce"])
    assert (await till.client.verify(stranger)).code == "REPLAY_ATTACK"
    proof = till.proof(transaction, nonce=request["nonce"])
    assert (await till.client.verify(proof)).code == "VALID"
    assert (await till.client.verify(proof)).code == "REPLAY_ATTACK"


async def test_a_claim_whose_payment_was_undone_before_it_was_told_is_not_told(till):
    proof, row = await pending(till)
    await arrives(till, proof)
    await worker_honours(till, row)
    await till.pool.execute("UPDATE transfers SET finality = 'orphaned'")
    assert (await till.client.verify(proof)).code == "PAYMENT_PENDING"
    await claims.follow_transfers(till.pool)
    assert (await till.client.verify(proof)).code == "PAYMENT_PENDING"
    # It landed again.
    await till.pool.execute("UPDATE transfers SET finality = 'confirmed'")
    await claims.follow_transfers(till.pool)
    assert (await till.client.verify(proof)).code == "VALID"
