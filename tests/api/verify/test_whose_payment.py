"""Who may take whose payment: thieves with old signatures, rival merchants, delegates, and what moves nothing."""

import datetime as dt

import pytest
from solders.keypair import Keypair

from tests.support.api_client import bound_proof_of, key_for, proof_of
from tests.support.ledger_rows import Till, book, new_signature


async def rival_of(till, user="rival"):
    """Another merchant who is paid by the same buyer."""
    rival = await Till(till.api, till.pool, user=user).open()
    rival.buyer = till.buyer
    return rival


# A thief who has seen a signature.


async def test_a_thief_with_an_old_signature_takes_no_payment(till):
    """The nonce was never used, the payment is unclaimed: without a key or a registered nonce that proves nothing."""
    leaked = till.proof(await till.paid(), nonce="shown to somebody once")
    later = await till.paid()
    for named in ({}, {"recipient": till.wallet}):
        stolen = await till.api.verify({**leaked, "transactionId": later, **named})
        assert stolen.code == "RECIPIENT_REQUIRED"
    assert (await till.client.verify(till.proof(later))).code == "VALID"


@pytest.mark.parametrize("by", ["reference", "memo"])
async def test_what_names_a_request_is_taken_by_that_request_only(till, by):
    request = await till.requested()
    other = await till.requested()
    named = {"reference_keys": [request["reference"]]} if by == "reference" else {"memos": [request["nonce"]]}
    transaction = await till.paid(**named)
    for nonce in ("a nonce of the thief's", other["nonce"]):
        for client in (till.client, till.api):
            reply = await client.verify(till.proof(transaction, nonce=nonce))
            assert reply.code in {"NONCE_MISMATCH", "RECIPIENT_REQUIRED"}, reply.text
    assert (await till.api.verify(till.proof(transaction, nonce=other["nonce"]))).code == "NONCE_MISMATCH"
    assert (await till.api.verify(till.proof(transaction, nonce=request["nonce"]))).code == "VALID"


async def test_what_names_an_expired_request_is_no_other_requests_either(till):
    expired = await till.requested(seconds=-1)
    transaction = await till.paid(memos=[expired["nonce"]])
    assert (await till.client.verify(till.proof(transaction))).code == "NONCE_MISMATCH"


async def test_a_memo_that_is_a_request_of_another_merchant_binds_nothing(till):
    """Else a payer could be kept from claiming by whoever makes a request for a wallet of their own."""
    rival = await rival_of(till)
    request = await rival.requested()
    transaction = await till.paid(memos=[request["nonce"]], reference_keys=[request["reference"]])
    assert (await till.client.verify(till.proof(transaction))).code == "VALID"


async def test_of_two_transfers_the_one_that_names_no_request_can_be_claimed(till):
    request = await till.requested()
    transaction = await till.paid(reference_keys=[request["reference"]])
    await book(till.pool, till.buyer.pubkey(), till.wallet, 10_000, signature=transaction, path="1")
    reply = await till.client.verify(till.proof(transaction))
    assert (reply.code, reply["transaction"]["path"]) == ("VALID", "1")
    assert (await till.client.verify(till.proof(transaction))).code == "NONCE_MISMATCH"


# Merchant against merchant.


async def test_a_payers_nonce_is_used_up_everywhere(till):
    rival = await rival_of(till)
    proof = till.proof(await till.paid(), nonce="one signature")
    assert (await till.client.verify(proof)).code == "VALID"
    stolen = proof_of(till.buyer, await rival.paid(), "0.01", nonce="one signature")
    assert (await rival.client.verify(stolen)).code == "REPLAY_ATTACK"
    # Another payer's signature over it is another signature.
    stranger = await Till(till.api, till.pool, user="third").open()
    assert (await stranger.client.verify(stranger.proof(await stranger.paid(), nonce="one signature"))).code == "VALID"


async def test_the_database_itself_uses_a_payers_nonce_up(till):
    rival = await rival_of(till)
    for merchant in (till, rival):
        await merchant.client.verify(merchant.proof(await merchant.paid(), nonce="raced"))
    assert await till.pool.fetchval("SELECT count(*) FROM transactions WHERE nonce = 'raced'") == 1
    (taken,) = await till.pool.fetch("SELECT * FROM transactions WHERE nonce = 'raced'")
    transaction = await rival.paid()
    with pytest.raises(Exception, match="transactions_payer_nonce"):
        await till.pool.execute(
            "INSERT INTO transactions (user_id, nonce, signature, path, payer, recipient, mint, currency, amount,"
            " least_amount, received, status)"
            " VALUES ('rival', 'raced', $1, '0', $2, $3, $4, 'USDC', 1, 1, 1, 'confirmed')",
            transaction, taken["payer"], rival.wallet, taken["mint"],
        )  # fmt: skip


async def test_a_rival_cannot_keep_a_request_from_being_paid(till):
    """Who was shown the payer's signature over a registered nonce uses it up with themselves: it stays payable."""
    rival = await rival_of(till)
    request = await till.requested()
    assert (await rival.client.verify(rival.proof(await rival.paid(), nonce=request["nonce"]))).code == "VALID"
    proof = till.proof(await till.paid(), nonce=request["nonce"])
    assert (await till.client.verify(proof)).code == "VALID"
    assert (await till.client.verify(till.proof(await till.paid(), nonce=request["nonce"]))).code == "REPLAY_ATTACK"


async def test_a_lost_answer_is_not_given_to_another_merchant(till):
    """The proof was honoured while nobody asked: the one who asks next must be the merchant it was honoured for."""
    rival = await rival_of(till)
    proof = till.proof(await till.paid(), nonce="unasked")
    assert (await till.client.verify(proof)).code == "VALID"
    await till.pool.execute("UPDATE transactions SET answered_at = NULL")
    assert (await rival.client.verify(proof)).code == "REPLAY_ATTACK"
    assert (await till.client.verify(proof)).code == "VALID"


# Proofs that are good for one payment alone.


async def test_a_bound_proof_is_good_for_its_payment_alone(till):
    first, second = await till.paid(), await till.paid()
    proof = bound_proof_of(till.buyer, first, "0.01", till.wallet)
    other_wallet = (await Till(till.api, till.pool).open()).wallet
    for wrong in (
        {"transactionId": second},
        {"recipient": other_wallet},
        {"nonce": "another"},
        {"proofVersion": 1},
    ):
        assert (await till.client.verify({**proof, **wrong})).code == "INVALID_SIGNATURE", wrong
    unbound = till.proof(first, recipient=till.wallet, proofVersion=2)
    assert (await till.client.verify(unbound)).code == "INVALID_SIGNATURE"
    assert (await till.client.verify(proof)).code == "VALID"
    assert (await till.client.verify(proof)).code == "REPLAY_ATTACK"


async def test_a_bound_proof_is_no_unbound_one_over_its_own_text(till):
    """Whoever sees a bound proof must not present its text as the nonce of another payment."""
    proof = bound_proof_of(till.buyer, await till.paid(), "0.01", till.wallet)
    text = f"402pay v2|{till.wallet}|{proof['nonce']}|{proof['transactionId']}"
    stolen = {**proof, "nonce": text, "proofVersion": 1, "transactionId": await till.paid()}
    assert (await till.client.verify(stolen)).code == "VALIDATION_ERROR"


async def test_a_bound_proof_names_its_recipient(till):
    proof = bound_proof_of(till.buyer, await till.paid(), "0.01", till.wallet)
    reply = await till.client.verify({name: value for name, value in proof.items() if name != "recipient"})
    assert (reply.code, reply["details"]) == ("VALIDATION_ERROR", {"field": "recipient"})
    assert (await till.client.verify({**proof, "proofVersion": 3})).code == "VALIDATION_ERROR"


async def test_a_key_may_demand_bound_proofs(till):
    made = await till.client.post("/api-keys", {"name": "strict", "requireProofVersion": 2})
    strict = till.api.holding(made["apiKey"])
    transaction = await till.paid()
    assert (await strict.verify(till.proof(transaction, recipient=till.wallet))).code == "INVALID_SIGNATURE"
    assert (await strict.verify(bound_proof_of(till.buyer, transaction, "0.01", till.wallet))).code == "VALID"
    # A key that replaces it demands no less, and neither does one that it makes.
    rotated = await strict.post(f"/api-keys/{made['keyPrefix']}/rotate", {})
    child = await till.api.holding(rotated["apiKey"]).post("/api-keys", {"name": "child"})
    for key in (rotated, child):
        reply = await till.api.holding(key["apiKey"]).verify(till.proof(await till.paid()))
        assert reply.code == "INVALID_SIGNATURE"


async def test_a_request_may_demand_bound_proofs(till):
    order = {"amount": "0.01", "currency": "USDC", "recipient": till.wallet, "requireProofVersion": 2}
    request = await till.client.post("/payments/requests", order)
    assert (request.status, request["requireProofVersion"]) == (201, 2)
    transaction = await till.paid()
    for client in (till.client, till.api):
        unbound = till.proof(transaction, nonce=request["nonce"])
        assert (await client.verify(unbound)).code == "INVALID_SIGNATURE"
    bound = bound_proof_of(till.buyer, transaction, "0.01", till.wallet, nonce=request["nonce"])
    assert (await till.api.verify(bound)).code == "VALID"


# What moves nothing.


async def test_what_moves_nothing_is_no_payment(till):
    """The merchant's own tokens, moved to themselves by the merchant or by a delegate; native SOL to itself."""
    delegate = Keypair()
    own = {"source_owner": till.wallet, "destination_owner": till.wallet}
    accounts = {"source": str(Keypair().pubkey()), "destination": str(Keypair().pubkey())}
    sol = {"kind": "nativeTransfer", "mint": "11111111111111111111111111111111"}
    moved = [
        ({**own, "source": till.wallet, "destination": till.wallet}, "USDC", "0.01"),
        ({**own, **accounts}, "USDC", "0.01"),
        ({**own, "source": till.wallet, "destination": till.wallet, **sol}, "SOL", "0.00001"),
    ]
    for columns, currency, amount in moved:
        transaction = await till.paid(**columns, authority=str(delegate.pubkey()))
        reply = await till.client.verify(proof_of(delegate, transaction, amount, currency=currency))
        assert reply.code == "RECIPIENT_MISMATCH", columns
        request = await till.requested()
        named = await till.paid(**columns, authority=str(delegate.pubkey()), memos=[request["nonce"]])
        proof = proof_of(delegate, named, "0.01", nonce=request["nonce"])
        assert (await till.api.verify(proof)).code in {"RECIPIENT_MISMATCH", "NONCE_MISMATCH"}


@pytest.mark.parametrize(
    ("source", "destination", "source_owner", "destination_owner", "moves"),
    [
        ("a", "b", "payer", "shop", True),
        ("a", "a", "shop", "shop", False),
        ("a", "b", "shop", "shop", False),
        ("a", "a", None, "shop", False),
        ("a", "b", None, "shop", True),
        (None, "b", None, "shop", True),
    ],
)
async def test_the_database_knows_what_moves_money(pool, source, destination, source_owner, destination_owner, moves):
    found = await pool.fetchval(
        "SELECT moves_money($1, $2, $3, $4)", source, destination, source_owner, destination_owner
    )
    assert found is moves


# When it was paid.


async def test_a_request_that_was_paid_in_time_is_honoured_after_it_expired(till):
    request = await till.requested(seconds=-60)
    in_time = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=90)
    proof = till.proof(await till.paid(notified_at=in_time), nonce=request["nonce"])
    assert (await till.api.verify(proof)).code == "VALID"


async def test_a_pending_claim_does_not_lift_the_expiry_of_its_request(till):
    """A free option on the price: claim first, wait how it moves, pay later."""
    request = await till.requested(seconds=300)
    transaction = new_signature()
    proof = till.proof(transaction, nonce=request["nonce"])
    assert (await till.client.verify(proof)).code == "PAYMENT_PENDING"
    await till.pool.execute("UPDATE nonces SET expires_at = clock_timestamp() - interval '1 second'")
    await book(till.pool, till.buyer.pubkey(), till.wallet, 10_000, signature=transaction)
    for client in (till.client, till.api):
        assert (await client.verify(proof)).code == "PAYMENT_EXPIRED"
    assert (await till.claim(request["nonce"]))["status"] == "pending"


async def test_an_expired_request_whose_payment_is_on_its_way_is_not_refused_yet(till):
    """It may have been paid in time: what the ledger does not have yet is no bad payment."""
    request = await till.requested(seconds=-5)
    assert (await till.client.verify(till.proof(new_signature(), nonce=request["nonce"]))).code == "PAYMENT_PENDING"


# An honest delegate.


async def matched(till, request, transaction, owner):
    """The claim that the worker makes for a payment that names a request."""
    await till.pool.execute(
        "INSERT INTO transactions (user_id, nonce, signature, path, payer, recipient, mint, currency, amount,"
        " least_amount, received, status, for_request) SELECT n.user_id, n.nonce, $2, '0', $3, n.recipient, n.mint,"
        " n.currency, n.amount, n.amount, n.amount, 'confirmed', true FROM nonces AS n WHERE nonce = $1",
        request["nonce"], transaction, str(owner),
    )  # fmt: skip


async def test_a_delegate_who_paid_with_a_reference_proves_it(till):
    owner, delegate, stranger = Keypair().pubkey(), Keypair(), Keypair()
    request = await till.requested()
    transaction = await till.paid(
        source_owner=str(owner), authority=str(delegate.pubkey()), reference_keys=[request["reference"]]
    )
    await matched(till, request, transaction, owner)
    assert (await till.api.verify(proof_of(stranger, transaction, "0.01", nonce=request["nonce"]))).code == (
        "REPLAY_ATTACK"
    )
    proof = proof_of(delegate, transaction, "0.01", nonce=request["nonce"])
    assert (await till.api.verify(proof)).code == "VALID"
    assert (await till.api.verify(proof)).code == "REPLAY_ATTACK"


async def test_what_was_matched_in_time_is_answered_after_its_request_expired(till):
    request = await till.requested(seconds=300)
    transaction = await till.paid(reference_keys=[request["reference"]])
    await matched(till, request, transaction, till.buyer.pubkey())
    await till.pool.execute("UPDATE nonces SET expires_at = clock_timestamp()")
    assert (await till.api.verify(till.proof(transaction, nonce=request["nonce"]))).code == "VALID"


async def test_an_admin_names_whose_payment_it_is_and_nobody_else(till):
    rival = await rival_of(till)
    transaction = await till.paid()
    named = till.proof(transaction, recipient=till.wallet)
    assert (await rival.client.verify(named)).code == "RECIPIENT_MISMATCH"
    reader = till.api.holding(await key_for(till.pool, "reader", ("write",)))
    assert (await reader.verify(named)).code == "RECIPIENT_MISMATCH"
    admin = till.api.holding(await key_for(till.pool, "operations", ("admin",)))
    assert (await admin.verify(named)).code == "VALID"
