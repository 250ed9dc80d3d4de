"""Who may take whose payment: thieves with old signatures, rival merchants, delegates, and what moves nothing."""

import datetime as dt

import pytest
from solders.keypair import Keypair

from tests.support.api_client import bound_proof_of, key_for, proof_of
from tests.support.ledger_rows import Vendor, book, new_signature


async def rival_of(vendor, user="rival"):
    """Another merchant who is paid by the same buyer."""
    rival = await Vendor(vendor.api, vendor.pool, user=user).open()
    rival.buyer = vendor.buyer
    return rival


# A thief who has seen a signature.


async def test_a_thief_with_an_old_signature_takes_no_payment(vendor):
    """The nonce was never used, the payment is unclaimed: without a key or a registered nonce that proves nothing."""
    leaked = vendor.proof(await vendor.paid(), nonce="shown to somebody once")
    later = await vendor.paid()
    for named in ({}, {"recipient": vendor.wallet}):
        stolen = await vendor.api.verify({**leaked, "transactionId": later, **named})
        assert stolen.code == "RECIPIENT_REQUIRED"
    assert (await vendor.client.verify(vendor.proof(later))).code == "VALID"


@pytest.mark.parametrize("by", ["reference", "memo"])
async def test_what_names_a_request_is_taken_by_that_request_only(vendor, by):
    request = await vendor.requested()
    other = await vendor.requested()
    named = {"reference_keys": [request["reference"]]} if by == "reference" else {"memos": [request["nonce"]]}
    transaction = await vendor.paid(**named)
    for nonce in ("a nonce of the thief's", other["nonce"]):
        for client in (vendor.client, vendor.api):
            reply = await client.verify(vendor.proof(transaction, nonce=nonce))
            assert reply.code in {"NONCE_MISMATCH", "RECIPIENT_REQUIRED"}, reply.text
    assert (await vendor.api.verify(vendor.proof(transaction, nonce=other["nonce"]))).code == "NONCE_MISMATCH"
    assert (await vendor.api.verify(vendor.proof(transaction, nonce=request["nonce"]))).code == "VALID"


async def test_what_names_an_expired_request_is_no_other_requests_either(vendor):
    expired = await vendor.requested(seconds=-1)
    transaction = await vendor.paid(memos=[expired["nonce"]])
    assert (await vendor.client.verify(vendor.proof(transaction))).code == "NONCE_MISMATCH"


async def test_a_memo_that_is_a_request_of_another_merchant_binds_nothing(vendor):
    """Else a payer could be kept from claiming by whoever makes a request for a wallet of their own."""
    rival = await rival_of(vendor)
    request = await rival.requested()
    transaction = await vendor.paid(memos=[request["nonce"]], reference_keys=[request["reference"]])
    assert (await vendor.client.verify(vendor.proof(transaction))).code == "VALID"


async def test_of_two_transfers_the_one_that_names_no_request_can_be_claimed(vendor):
    request = await vendor.requested()
    transaction = await vendor.paid(reference_keys=[request["reference"]])
    await book(vendor.pool, vendor.buyer.pubkey(), vendor.wallet, 10_000, signature=transaction, path="1")
    reply = await vendor.client.verify(vendor.proof(transaction))
    assert (reply.code, reply["transaction"]["path"]) == ("VALID", "1")
    assert (await vendor.client.verify(vendor.proof(transaction))).code == "NONCE_MISMATCH"


# Merchant against merchant.


async def test_a_payers_nonce_is_used_up_everywhere(vendor):
    rival = await rival_of(vendor)
    proof = vendor.proof(await vendor.paid(), nonce="one signature")
    assert (await vendor.client.verify(proof)).code == "VALID"
    stolen = proof_of(vendor.buyer, await rival.paid(), "0.01", nonce="one signature")
    assert (await rival.client.verify(stolen)).code == "REPLAY_ATTACK"
    # Another payer's signature over it is another signature.
    stranger = await Vendor(vendor.api, vendor.pool, user="third").open()
    assert (await stranger.client.verify(stranger.proof(await stranger.paid(), nonce="one signature"))).code == "VALID"


async def test_the_database_itself_uses_a_payers_nonce_up(vendor):
    rival = await rival_of(vendor)
    for merchant in (vendor, rival):
        await merchant.client.verify(merchant.proof(await merchant.paid(), nonce="raced"))
    assert await vendor.pool.fetchval("SELECT count(*) FROM transactions WHERE nonce = 'raced'") == 1
    (taken,) = await vendor.pool.fetch("SELECT * FROM transactions WHERE nonce = 'raced'")
    transaction = await rival.paid()
    with pytest.raises(Exception, match="transactions_payer_nonce"):
        await vendor.pool.execute(
            "INSERT INTO transactions (user_id, nonce, signature, path, payer, recipient, mint, currency, amount,"
            " least_amount, received, status)"
            " VALUES ('rival', 'raced', $1, '0', $2, $3, $4, 'USDC', 1, 1, 1, 'confirmed')",
            transaction, taken["payer"], rival.wallet, taken["mint"],
        )  # fmt: skip


async def test_a_rival_cannot_keep_a_request_from_being_paid(vendor):
    """Who was shown the payer's signature over a registered nonce uses it up with themselves: it stays payable."""
    rival = await rival_of(vendor)
    request = await vendor.requested()
    assert (await rival.client.verify(rival.proof(await rival.paid(), nonce=request["nonce"]))).code == "VALID"
    proof = vendor.proof(await vendor.paid(), nonce=request["nonce"])
    assert (await vendor.client.verify(proof)).code == "VALID"
    assert (
        await vendor.client.verify(vendor.proof(await vendor.paid(), nonce=request["nonce"]))
    ).code == "REPLAY_ATTACK"


async def test_a_lost_answer_is_not_given_to_another_merchant(vendor):
    """The proof was honoured while nobody asked: the one who asks next must be the merchant it was honoured for."""
    rival = await rival_of(vendor)
    proof = vendor.proof(await vendor.paid(), nonce="unasked")
    assert (await vendor.client.verify(proof)).code == "VALID"
    await vendor.pool.execute("UPDATE transactions SET answered_at = NULL")
    assert (await rival.client.verify(proof)).code == "REPLAY_ATTACK"
    assert (await vendor.client.verify(proof)).code == "VALID"


# Proofs that are good for one payment alone.


async def test_a_bound_proof_is_good_for_its_payment_alone(vendor):
    first, second = await vendor.paid(), await vendor.paid()
    proof = bound_proof_of(vendor.buyer, first, "0.01", vendor.wallet)
    other_wallet = (await Vendor(vendor.api, vendor.pool).open()).wallet
    for wrong in (
        {"transactionId": second},
        {"recipient": other_wallet},
        {"nonce": "another"},
        {"proofVersion": 1},
    ):
        assert (await vendor.client.verify({**proof, **wrong})).code == "INVALID_SIGNATURE", wrong
    unbound = vendor.proof(first, recipient=vendor.wallet, proofVersion=2)
    assert (await vendor.client.verify(unbound)).code == "INVALID_SIGNATURE"
    assert (await vendor.client.verify(proof)).code == "VALID"
    assert (await vendor.client.verify(proof)).code == "REPLAY_ATTACK"


async def test_a_bound_proof_is_no_unbound_one_over_its_own_text(vendor):
    """Whoever sees a bound proof must not present its text as the nonce of another payment."""
    proof = bound_proof_of(vendor.buyer, await vendor.paid(), "0.01", vendor.wallet)
    text = f"402pay v2|{vendor.wallet}|{proof['nonce']}|{proof['transactionId']}"
    stolen = {**proof, "nonce": text, "proofVersion": 1, "transactionId": await vendor.paid()}
    assert (await vendor.client.verify(stolen)).code == "VALIDATION_ERROR"


async def test_a_bound_proof_names_its_recipient(vendor):
    proof = bound_proof_of(vendor.buyer, await vendor.paid(), "0.01", vendor.wallet)
    reply = await vendor.client.verify({name: value for name, value in proof.items() if name != "recipient"})
    assert (reply.code, reply["details"]) == ("VALIDATION_ERROR", {"field": "recipient"})
    assert (await vendor.client.verify({**proof, "proofVersion": 3})).code == "VALIDATION_ERROR"


async def test_a_key_may_demand_bound_proofs(vendor):
    made = await vendor.client.post("/api-keys", {"name": "strict", "requireProofVersion": 2})
    strict = vendor.api.holding(made["apiKey"])
    transaction = await vendor.paid()
    assert (await strict.verify(vendor.proof(transaction, recipient=vendor.wallet))).code == "INVALID_SIGNATURE"
    assert (await strict.verify(bound_proof_of(vendor.buyer, transaction, "0.01", vendor.wallet))).code == "VALID"
    # A key that replaces it demands no less, and neither does one that it makes.
    rotated = await strict.post(f"/api-keys/{made['keyPrefix']}/rotate", {})
    child = await vendor.api.holding(rotated["apiKey"]).post("/api-keys", {"name": "child"})
    for key in (rotated, child):
        reply = await vendor.api.holding(key["apiKey"]).verify(vendor.proof(await vendor.paid()))
        assert reply.code == "INVALID_SIGNATURE"


async def test_a_request_may_demand_bound_proofs(vendor):
    order = {"amount": "0.01", "currency": "USDC", "recipient": vendor.wallet, "requireProofVersion": 2}
    request = await vendor.client.post("/payments/requests", order)
    assert (request.status, request["requireProofVersion"]) == (201, 2)
    transaction = await vendor.paid()
    for client in (vendor.client, vendor.api):
        unbound = vendor.proof(transaction, nonce=request["nonce"])
        assert (await client.verify(unbound)).code == "INVALID_SIGNATURE"
    bound = bound_proof_of(vendor.buyer, transaction, "0.01", vendor.wallet, nonce=request["nonce"])
    assert (await vendor.api.verify(bound)).code == "VALID"


# What moves nothing.


async def test_what_moves_nothing_is_no_payment(vendor):
    """The merchant's own tokens, moved to themselves by the merchant or by a delegate; native SOL to itself."""
    delegate = Keypair()
    own = {"source_owner": vendor.wallet, "destination_owner": vendor.wallet}
    accounts = {"source": str(Keypair().pubkey()), "destination": str(Keypair().pubkey())}
    sol = {"kind": "nativeTransfer", "mint": "11111111111111111111111111111111"}
    moved = [
        ({**own, "source": vendor.wallet, "destination": vendor.wallet}, "USDC", "0.01"),
        ({**own, **accounts}, "USDC", "0.01"),
        ({**own, "source": vendor.wallet, "destination": vendor.wallet, **sol}, "SOL", "0.00001"),
    ]
    for columns, currency, amount in moved:
        transaction = await vendor.paid(**columns, authority=str(delegate.pubkey()))
        reply = await vendor.client.verify(proof_of(delegate, transaction, amount, currency=currency))
        assert reply.code == "RECIPIENT_MISMATCH", columns
        request = await vendor.requested()
        named = await vendor.paid(**columns, authority=str(delegate.pubkey()), memos=[request["nonce"]])
        proof = proof_of(delegate, named, "0.01", nonce=request["nonce"])
        assert (await vendor.api.verify(proof)).code in {"RECIPIENT_MISMATCH", "NONCE_MISMATCH"}


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


async def test_a_request_that_was_paid_in_time_is_honoured_after_it_expired(vendor):
    request = await vendor.requested(seconds=-60)
    in_time = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=90)
    proof = vendor.proof(await vendor.paid(notified_at=in_time), nonce=request["nonce"])
    assert (await vendor.api.verify(proof)).code == "VALID"


async def test_a_pending_claim_does_not_lift_the_expiry_of_its_request(vendor):
    """A free option on the price: claim first, wait how it moves, pay later."""
    request = await vendor.requested(seconds=300)
    transaction = new_signature()
    proof = vendor.proof(transaction, nonce=request["nonce"])
    assert (await vendor.client.verify(proof)).code == "PAYMENT_PENDING"
    await vendor.pool.execute("UPDATE nonces SET expires_at = clock_timestamp() - interval '1 second'")
    await book(vendor.pool, vendor.buyer.pubkey(), vendor.wallet, 10_000, signature=transaction)
    for client in (vendor.client, vendor.api):
        assert (await client.verify(proof)).code == "PAYMENT_EXPIRED"
    assert (await vendor.claim(request["nonce"]))["status"] == "pending"


async def test_an_expired_request_whose_payment_is_on_its_way_is_not_refused_yet(vendor):
    """It may have been paid in time: what the ledger does not have yet is no bad payment."""
    request = await vendor.requested(seconds=-5)
    assert (await vendor.client.verify(vendor.proof(new_signature(), nonce=request["nonce"]))).code == "PAYMENT_PENDING"


# An honest delegate.


async def matched(vendor, request, transaction, owner):
    """The claim that the worker makes for a payment that names a request."""
    await vendor.pool.execute(
        "INSERT INTO transactions (user_id, nonce, signature, path, payer, recipient, mint, currency, amount,"
        " least_amount, received, status, for_request) SELECT n.user_id, n.nonce, $2, '0', $3, n.recipient, n.mint,"
        " n.currency, n.amount, n.amount, n.amount, 'confirmed', true FROM nonces AS n WHERE nonce = $1",
        request["nonce"], transaction, str(owner),
    )  # fmt: skip


async def test_a_delegate_who_paid_with_a_reference_proves_it(vendor):
    owner, delegate, stranger = Keypair().pubkey(), Keypair(), Keypair()
    request = await vendor.requested()
    transaction = await vendor.paid(
        source_owner=str(owner), authority=str(delegate.pubkey()), reference_keys=[request["reference"]]
    )
    await matched(vendor, request, transaction, owner)
    assert (await vendor.api.verify(proof_of(stranger, transaction, "0.01", nonce=request["nonce"]))).code == (
        "REPLAY_ATTACK"
    )
    proof = proof_of(delegate, transaction, "0.01", nonce=request["nonce"])
    assert (await vendor.api.verify(proof)).code == "VALID"
    assert (await vendor.api.verify(proof)).code == "REPLAY_ATTACK"


async def test_what_was_matched_in_time_is_answered_after_its_request_expired(vendor):
    request = await vendor.requested(seconds=300)
    transaction = await vendor.paid(reference_keys=[request["reference"]])
    await matched(vendor, request, transaction, vendor.buyer.pubkey())
    await vendor.pool.execute("UPDATE nonces SET expires_at = clock_timestamp()")
    assert (await vendor.api.verify(vendor.proof(transaction, nonce=request["nonce"]))).code == "VALID"


async def test_an_admin_names_whose_payment_it_is_and_nobody_else(vendor):
    rival = await rival_of(vendor)
    transaction = await vendor.paid()
    named = vendor.proof(transaction, recipient=vendor.wallet)
    assert (await rival.client.verify(named)).code == "RECIPIENT_MISMATCH"
    reader = vendor.api.holding(await key_for(vendor.pool, "reader", ("write",)))
    assert (await reader.verify(named)).code == "RECIPIENT_MISMATCH"
    admin = vendor.api.holding(await key_for(vendor.pool, "operations", ("admin",)))
    assert (await admin.verify(named)).code == "VALID"
