"""POST /verify before any transfer is looked at: whose money, which nonce, when, by which policy."""

import time

from solders.keypair import Keypair

from tests.support.api_client import key_for, running_api
from tests.support.ledger_rows import NO_NODE, Vendor, book


async def test_without_a_key_a_registered_nonce_says_whose_money_it_is(vendor):
    request = await vendor.requested(10_000)
    proof = vendor.proof(await vendor.paid(10_000), nonce=request["nonce"])
    reply = await vendor.api.verify(proof)
    assert reply.code == "VALID", reply.text
    assert reply["transaction"]["recipient"] == vendor.wallet
    assert (await vendor.api.verify(proof)).code == "REPLAY_ATTACK"
    assert (await vendor.client.verify(proof)).code == "REPLAY_ATTACK"


async def test_a_caller_alone_does_not_say_whose_money_it_is(vendor):
    """A signature over a nonce is known to whoever was shown it once: naming a wallet proves nothing more."""
    transaction = await vendor.paid(10_000)
    stranger = str(Keypair().pubkey())
    for named in ({}, {"recipient": stranger}, {"recipient": vendor.wallet}):
        assert (await vendor.api.verify(vendor.proof(transaction, **named))).code == "RECIPIENT_REQUIRED"
    proof = vendor.proof(transaction, recipient=vendor.wallet)
    assert (await vendor.client.verify(proof)).code == "VALID"
    assert (await vendor.client.verify(vendor.proof(transaction))).code == "REPLAY_ATTACK"


async def test_an_admin_asks_for_the_merchant_whose_wallet_it_names(vendor):
    admin = vendor.api.holding(await key_for(vendor.pool, "operations", ("admin",)))
    transaction = await vendor.paid(10_000)
    assert (await admin.verify(vendor.proof(transaction))).code == "RECIPIENT_NOT_FOLLOWED"
    assert (await admin.verify(vendor.proof(transaction, recipient=str(Keypair().pubkey())))).code == (
        "RECIPIENT_NOT_FOLLOWED"
    )
    proof = vendor.proof(transaction, recipient=vendor.wallet)
    assert (await admin.verify(proof)).code == "VALID"
    assert (await vendor.claim(proof["nonce"]))["user_id"] == vendor.user
    assert (await vendor.client.verify(proof)).code == "REPLAY_ATTACK"


async def test_a_merchant_without_wallets_is_answered_so(vendor):
    nobody = vendor.api.holding(await key_for(vendor.pool, "nobody"))
    assert (await nobody.verify(vendor.proof(await vendor.paid()))).code == "RECIPIENT_NOT_FOLLOWED"


async def test_a_wallet_that_is_not_followed_any_more_is_not_paid(vendor):
    transaction = await vendor.paid()
    await vendor.pool.execute("UPDATE recipients SET active = false")
    assert (await vendor.client.verify(vendor.proof(transaction))).code == "RECIPIENT_NOT_FOLLOWED"
    named = vendor.proof(transaction, recipient=vendor.wallet)
    assert (await vendor.client.verify(named)).code == "RECIPIENT_NOT_FOLLOWED"


async def test_nonces_are_each_merchants_own(vendor):
    """Nobody burns another merchant's nonce, whether it is registered or the payer's own."""
    rival = await Vendor(vendor.api, vendor.pool, user="rival").open()
    request = await vendor.requested()
    for nonce in ("a nonce of the payer", request["nonce"]):
        burnt = await rival.client.verify(rival.proof(await rival.paid(), nonce=nonce))
        assert burnt.code == "VALID"
        assert (await vendor.client.verify(vendor.proof(await vendor.paid(), nonce=nonce))).code == "VALID"
        again = await vendor.client.verify(vendor.proof(await vendor.paid(), nonce=nonce))
        assert again.code == "REPLAY_ATTACK"


TERMS = [
    ({}, "VALID"),
    ({"amount": "0.29"}, "VALID"),
    ({"amount": 0.289999}, "VALID"),
    ({"resource": "/report"}, "VALID"),
    ({"mint": "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU"}, "VALID"),
    ({"amount": "0.3"}, "NONCE_MISMATCH"),
    ({"amount": "0.28"}, "NONCE_MISMATCH"),
    ({"currency": "USDT"}, "NONCE_MISMATCH"),
    ({"resource": "/other"}, "NONCE_MISMATCH"),
]


async def test_a_registered_nonce_is_good_for_its_own_terms_only(vendor):
    for fields, code in TERMS:
        request = await vendor.requested(290_000, resource="/report")
        proof = vendor.proof(await vendor.paid(300_000), "0.29", nonce=request["nonce"])
        reply = await vendor.client.verify({**proof, **fields})
        assert reply.code == code, (fields, reply.text)
        if code == "VALID":
            # What was requested is what was paid for, whatever the claim left out or rounded.
            assert reply["transaction"]["amountBaseUnits"] == "290000"
            assert reply["transaction"]["resource"] == "/report"


async def test_a_registered_nonce_is_not_good_for_another_wallet(vendor):
    other = await Vendor(vendor.api, vendor.pool).open()
    request = await vendor.requested()
    proof = vendor.proof(await other.paid(), nonce=request["nonce"])
    assert (await vendor.client.verify({**proof, "recipient": other.wallet})).code == "NONCE_MISMATCH"
    paid_other = await book(vendor.pool, vendor.buyer.pubkey(), other.wallet, 10_000)
    assert (await vendor.client.verify(vendor.proof(paid_other, nonce=request["nonce"]))).code == "RECIPIENT_MISMATCH"


async def test_a_proof_has_its_time(vendor):
    transaction = await vendor.paid()
    now = int(time.time() * 1000)
    for made_at, code in (
        (now - 15 * 60_000 - 2_000, "PAYMENT_EXPIRED"),
        (now + 62_000, "PAYMENT_EXPIRED"),
        (0, "PAYMENT_EXPIRED"),
        (2**53 - 1, "PAYMENT_EXPIRED"),
        (now - 14 * 60_000, "VALID"),
    ):
        assert (await vendor.client.verify(vendor.proof(transaction, timestamp=made_at))).code == code, made_at
    assert (await vendor.client.verify(vendor.proof(await vendor.paid(), timestamp=now + 50_000))).code == "VALID"


async def test_a_payment_request_has_its_time(vendor):
    request = await vendor.requested(seconds=-1)
    proof = vendor.proof(await vendor.paid(), nonce=request["nonce"])
    assert (await vendor.client.verify(proof)).code == "PAYMENT_EXPIRED"
    assert (await vendor.api.verify(proof)).code == "PAYMENT_EXPIRED"


async def test_exactly_the_amount_where_that_is_asked(vendor):
    too_much = vendor.proof(await vendor.paid(10_001))
    assert (await vendor.client.verify({**too_much, "scheme": "exact"})).code == "AMOUNT_MISMATCH"
    reply = await vendor.client.verify(too_much)
    assert reply.code == "VALID"
    assert (await vendor.claim(too_much["nonce"]))["received"] == 10_001
    assert (await vendor.client.verify(vendor.proof(await vendor.paid(10_000), scheme="exact"))).code == "VALID"
    request = await vendor.requested(10_000, scheme="exact")
    over = vendor.proof(await vendor.paid(10_001), nonce=request["nonce"])
    assert (await vendor.client.verify(over)).code == "AMOUNT_MISMATCH"


async def test_finality_is_asked_from_an_amount_on(database_url, redis_url, pool):
    async with running_api(
        database_url, redis_url, [NO_NODE], VERIFY_WAIT_MS=0, FINALIZED_ABOVE="USDC:0.02,usdt:0,SOL:0.0000000001"
    ) as api:
        vendor = await Vendor(api, pool).open()
        assert (await vendor.client.verify(vendor.proof(await vendor.paid(19_999), "0.019999"))).code == "VALID"
        transaction = await vendor.paid(20_000)
        proof = vendor.proof(transaction, "0.02")
        early = await vendor.client.verify(proof)
        assert (early.code, early.headers["Retry-After"]) == ("NOT_FINALIZED", "2")
        await pool.execute("UPDATE transfers SET finality = 'finalized' WHERE signature = $1", transaction)
        reply = await vendor.client.verify(proof)
        assert reply.code == "VALID"
        assert (reply["transaction"]["status"], reply["transaction"]["finality"]) == ("confirmed", "finalized")
        in_usdt = await vendor.paid(1, mint="EJwZgeZrdC8TXTQbQBoL6bfuAnFUUy1PVCMB4DYPzVaS")
        assert (await vendor.client.verify(vendor.proof(in_usdt, "0.000001", currency="usdt"))).code == "NOT_FINALIZED"
        native = await vendor.paid(1, mint="11111111111111111111111111111111", kind="nativeTransfer")
        assert (await vendor.client.verify(vendor.proof(native, "0.000000001", currency="SOL"))).code == "NOT_FINALIZED"


async def test_the_earlier_of_two_refusals_is_the_answer(vendor):
    """Of the order itself `tests/ledger/test_judge.py` is the proof; here it is that routes keep to it."""
    old = int(time.time() * 1000) - 60 * 60_000
    stranger = Keypair()
    bad = {
        **vendor.proof(await vendor.paid(1), "5", timestamp=old, recipient=str(stranger.pubkey())),
        "signature": str(stranger.sign_message(b"something else")),
    }
    bad_key = vendor.api.holding("sk_live_unknown")
    assert (await bad_key.verify({**bad, "amount": 0})).code == "VALIDATION_ERROR"
    assert (await bad_key.verify(bad)).code == "INVALID_API_KEY"
    assert (await vendor.client.verify(bad)).code == "INVALID_SIGNATURE"
    bad = {**bad, "signature": str(vendor.buyer.sign_message(bad["nonce"].encode()))}
    assert (await vendor.client.verify(bad)).code == "PAYMENT_EXPIRED"
    bad = {**bad, "timestamp": int(time.time() * 1000)}
    assert (await vendor.client.verify(bad)).code == "RECIPIENT_NOT_FOLLOWED"
    bad = {**bad, "recipient": vendor.wallet}
    assert (await vendor.client.verify(bad)).code == "INSUFFICIENT_AMOUNT"


NO_AMOUNTS = [
    0, -1, "0", "-0", "1e999", "1e-999999999", 1e-7, "NaN", "Infinity", "", "1,5", True, None, [], "\u0663", "1_0",
]  # fmt: skip


async def test_what_is_no_amount_is_refused_as_malformed(vendor):
    for amount in NO_AMOUNTS:
        reply = await vendor.client.verify({**vendor.proof(await vendor.paid()), "amount": amount})
        assert (reply.status, reply.code) == (400, "VALIDATION_ERROR"), (amount, reply.text)


NO_PROOFS = [
    {"currency": "DOGE"},
    {"currency": None},
    {"currency": "USDC", "mint": "So11111111111111111111111111111111111111112"},
    {"transactionId": None},
    {"transactionId": "not base58 at all" * 4},
    {"payer": "short"},
    {"payer": "1" * 44},
    {"signature": "z" * 88},
    {"nonce": ""},
    {"nonce": "x" * 257},
    {"nonce": "two\nlines"},
    {"nonce": "\x85"},
    {"timestamp": "yesterday"},
    {"timestamp": -1},
    {"timestamp": None},
    {"scheme": "whatever"},
    {"recipient": "me"},
]


async def test_what_is_no_proof_is_refused_as_malformed(vendor):
    for change in NO_PROOFS:
        reply = await vendor.client.verify({**vendor.proof(await vendor.paid()), **change})
        assert (reply.status, reply.code) == (400, "VALIDATION_ERROR"), (change, reply.text)
        assert reply["requestId"] == reply.headers["X-Request-Id"]


async def test_no_claim_is_honoured_before_it_is_made(vendor):
    for _ in range(10):
        assert (await vendor.client.verify(vendor.proof(await vendor.paid()))).code == "VALID"
    rows = await vendor.pool.fetch('SELECT "timestamp", answered_at, honoured_at FROM transactions')
    assert len(rows) == 10
    assert all(row["timestamp"] == row["honoured_at"] == row["answered_at"] for row in rows)
