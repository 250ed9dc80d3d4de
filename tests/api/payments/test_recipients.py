"""Wallets: registered by their own signature or by an admin, one user each, and nothing that is no wallet."""

import asyncio
import time

import pytest
from solders.keypair import Keypair

from chain.programs import TOKEN_PROGRAM
from ledger.claims import Match, honour_matches
from ledger.recipients import register_wallet, stop_following
from localnet import payments as pay
from localnet.payments import USDC
from tests.support.api_client import key_for, running_api
from tests.support.funded_jobs import ordered_job
from tests.support.job_shop import fast_settings
from tests.support.ledger_rows import NO_NODE
from tests.support.reconciling import reconcile
from worker.claims.match_requests import match_new_payments, sweep_requests
from worker.context import open_worker_context


def order(wallet, user="merchant", signed_at=None, **changes):
    text = f"402pay recipient {wallet.pubkey()} for {user}"
    if signed_at is not None:
        text, changes = f"{text} at {signed_at}", {"signedAt": signed_at, **changes}
    return {"address": str(wallet.pubkey()), "signature": str(wallet.sign_message(text.encode())), **changes}


def now_ms(seconds=0):
    return time.time_ns() // 1_000_000 + round(seconds * 1000)


@pytest.fixture
async def shop_owner(api, pool):
    return api.holding(await key_for(pool, "merchant"))


async def test_a_wallet_signs_for_whom_it_is_followed(shop_owner, api, pool):
    wallet = Keypair()
    made = await shop_owner.post("/recipients", order(wallet, label="API sales"))
    assert made.status == 201, made.text
    assert (made["address"], made["userId"], made["label"], made["active"]) == (
        str(wallet.pubkey()), "merchant", "API sales", True,
    )  # fmt: skip
    again = await shop_owner.post("/recipients", order(wallet))
    assert (again.status, again["label"]) == (201, "API sales")
    stranger = api.holding(await key_for(pool, "stranger"))
    taken = await stranger.post("/recipients", order(wallet, "stranger"))
    assert (taken.status, taken.code) == (409, "CONFLICT")
    assert (await shop_owner.get("/recipients"))["total"] == 1
    assert (await stranger.get("/recipients"))["recipients"] == []
    assert (await stranger.delete(f"/recipients/{wallet.pubkey()}")).code == "NOT_FOUND"
    assert (await shop_owner.delete(f"/recipients/{wallet.pubkey()}")).status == 200
    assert (await shop_owner.delete(f"/recipients/{wallet.pubkey()}")).code == "NOT_FOUND"
    assert (await shop_owner.get("/recipients"))["total"] == 0
    # What was signed before it was removed is no longer good for anybody, whoever has kept it.
    assert (await stranger.post("/recipients", order(wallet, "stranger"))).code == "CONFLICT"
    assert (await shop_owner.post("/recipients", order(wallet))).code == "CONFLICT"
    assert (await shop_owner.post("/recipients", order(wallet, signed_at=now_ms()))).status == 201


async def test_a_removed_wallet_goes_to_whoever_it_signs_for_anew(shop_owner, api, pool):
    wallet = Keypair()
    await shop_owner.post("/recipients", order(wallet, label="sales"))
    old = order(wallet, "stranger", signed_at=now_ms())
    stranger = api.holding(await key_for(pool, "stranger"))
    assert (await stranger.post("/recipients", old)).code == "CONFLICT"
    await asyncio.sleep(0.01)
    await shop_owner.delete(f"/recipients/{wallet.pubkey()}")
    assert (await stranger.post("/recipients", old)).code == "CONFLICT", "signed before it was removed"
    for wrong in (now_ms(-601), now_ms(120)):
        assert (await stranger.post("/recipients", order(wallet, "stranger", signed_at=wrong))).code == "FORBIDDEN"
    changed = {**order(wallet, "stranger", signed_at=now_ms(-1)), "signedAt": now_ms()}
    assert (await stranger.post("/recipients", changed)).code == "FORBIDDEN"
    made = await stranger.post("/recipients", order(wallet, "stranger", signed_at=now_ms(0.01)))
    assert (made.status, made["userId"], made["label"]) == (201, "stranger", None)
    # It is theirs alone now, and neither the first signature nor the second brings it back.
    assert (await shop_owner.get("/recipients"))["total"] == 0
    for again in (order(wallet), order(wallet, signed_at=now_ms())):
        assert (await shop_owner.post("/recipients", again)).code == "CONFLICT"


async def test_whoever_removed_a_wallet_to_which_open_jobs_are_paid_is_asked_to_sign_anew(shop_owner, api, pool):
    wallet = Keypair()
    await shop_owner.post("/recipients", order(wallet))
    await ordered_job(pool, str(wallet.pubkey()))
    assert (await shop_owner.delete(f"/recipients/{wallet.pubkey()}")).status == 200
    refused = await shop_owner.post("/recipients", order(wallet))
    assert (refused.status, refused.code) == (409, "CONFLICT")
    assert "send signedAt" in refused["error"]
    stranger = api.holding(await key_for(pool, "stranger"))
    taken = await stranger.post("/recipients", order(wallet, "stranger", signed_at=now_ms()))
    assert (taken.status, taken.code) == (409, "CONFLICT")
    assert "Jobs are open" in taken["error"]
    assert (await shop_owner.post("/recipients", order(wallet, signed_at=now_ms()))).status == 201


async def test_an_admin_gives_a_removed_wallet_away_without_a_signature(admin, shop_owner):
    wallet = str(Keypair().pubkey())
    await admin.post("/recipients", {"address": wallet, "userId": "merchant"})
    assert (await admin.post("/recipients", {"address": wallet, "userId": "other"})).code == "CONFLICT"
    assert (await shop_owner.delete(f"/recipients/{wallet}")).status == 200
    made = await admin.post("/recipients", {"address": wallet, "userId": "other"})
    assert (made.status, made["userId"]) == (201, "other")


async def test_what_was_paid_before_stays_with_whom_it_was_paid_to(vendor):
    before = await vendor.paid(1)
    await vendor.pool.execute("UPDATE transfers SET recorded_at = recorded_at - interval '1 hour'")
    heir = await handed_over(vendor)
    after = await vendor.paid(2)
    for client, seen, other in ((vendor.client, before, after), (heir, after, before)):
        assert [one["signature"] for one in (await client.get("/payments"))["payments"]] == [seen]
        assert (await client.get(f"/payments/{seen}")).status == 200
        assert (await client.get(f"/payments/{other}")).code == "NOT_FOUND"
    # Nor can the new user claim what was paid to the one before, or the other way round.
    assert (await heir.verify(vendor.proof(before, "0.000001"))).code == "RECIPIENT_MISMATCH"
    assert (await vendor.client.verify(vendor.proof(after, "0.000002"))).code == "RECIPIENT_NOT_FOLLOWED"
    assert (await heir.verify(vendor.proof(after, "0.000002"))).code == "VALID"


async def handed_over(vendor):
    """The client of the user whose the vendor's wallet is from now on."""
    await stop_following(vendor.pool, vendor.wallet)
    await register_wallet(
        vendor.pool, address=vendor.wallet, user_id="heir", label=None, followed_from_slot=0, by_admin=True
    )
    return vendor.api.holding(await key_for(vendor.pool, "heir"))


async def matched(database_url):
    """How many payment requests the worker finds paid."""
    async with open_worker_context(fast_settings(), database_url, [NO_NODE]) as context:
        return await match_new_payments(context) + await sweep_requests(context)


@pytest.mark.parametrize("finality", ["confirmed", "finalized"])
@pytest.mark.parametrize("named_by", ["reference", "memo"])
async def test_a_former_owners_request_takes_nothing_of_the_present_one(vendor, database_url, named_by, finality):
    request = await vendor.requested(seconds=86_400)
    heir = await handed_over(vendor)
    named = {"memos": [request["nonce"]]} if named_by == "memo" else {"reference_keys": [request["reference"]]}
    transaction = await vendor.paid(4_000, **named, finality=finality)
    await vendor.paid(10_000, **named, finality=finality, signature=transaction, path="1")
    assert await matched(database_url) == 0
    shown = await vendor.client.get(f"/payments/requests/{request['nonce']}")
    assert (shown["status"], shown["receivedBaseUnits"], shown["transfers"]) == ("open", "0", [])
    await reconcile(database_url)
    assert (await vendor.client.get("/analytics/reconciliation/findings"))["findings"] == []
    found = (await heir.get("/analytics/reconciliation/findings"))["findings"]
    assert {one["kind"] for one in found} == {"unmatchedTransfer"}
    # Nor does it keep the present one from the money.
    assert (await heir.verify(vendor.proof(transaction))).code == "VALID"


async def test_the_database_gives_a_former_owners_request_nothing(vendor):
    """As for a match that was found before the wallet was handed over, and is written after it."""
    request = await vendor.requested(seconds=86_400)
    await handed_over(vendor)
    transaction = await vendor.paid(reference_keys=[request["reference"]])
    match = Match(request["nonce"], transaction, "0", str(vendor.buyer.pubkey()), 10_000, None)
    assert await honour_matches(vendor.pool, [match]) == 0


async def test_what_was_paid_while_a_wallet_was_theirs_pays_the_request(vendor, database_url):
    paid, late = await vendor.requested(seconds=86_400), await vendor.requested(seconds=86_400)
    await vendor.paid(reference_keys=[paid["reference"]], finality="finalized")
    await vendor.pool.execute("UPDATE transfers SET recorded_at = recorded_at - interval '1 hour'")
    await stop_following(vendor.pool, vendor.wallet)
    await vendor.paid(reference_keys=[late["reference"]], finality="finalized")
    assert await matched(database_url) == 1
    await register_wallet(
        vendor.pool, address=vendor.wallet, user_id="heir", label=None, followed_from_slot=0, by_admin=True
    )
    for request, status, received in ((paid, "paid", "10000"), (late, "open", "0")):
        shown = await vendor.client.get(f"/payments/requests/{request['nonce']}")
        assert (shown["status"], shown["receivedBaseUnits"]) == (status, received)


async def test_an_admin_asks_for_the_money_of_whose_wallet_it_is(vendor, admin, database_url):
    order = {"amount": 0.01, "currency": "USDC", "expiresIn": 60_000, "recipient": vendor.wallet}
    by_proof, by_reference = [await admin.post("/payments/requests", order) for _ in range(2)]
    said = await vendor.client.verify(vendor.proof(await vendor.paid(), nonce=by_proof["nonce"]))
    assert said.code == "VALID"
    await vendor.paid(reference_keys=[by_reference["reference"]])
    assert await matched(database_url) == 1
    for client in (admin, vendor.client):
        for made in (by_proof, by_reference):
            assert (await client.get(f"/payments/requests/{made['nonce']}"))["status"] == "paid"
    assert (await vendor.claim(by_reference["nonce"]))["user_id"] == vendor.user


async def test_a_test_key_changes_no_live_wallet(shop_owner, api, pool):
    live, tested = Keypair(), Keypair()
    await shop_owner.post("/recipients", order(live, label="sales"))
    tester = api.holding(await key_for(pool, "merchant", environment="test"))
    test_admin = api.holding(await key_for(pool, "merchant", ("read", "write", "admin"), environment="test"))
    for key in (tester, test_admin):
        assert (await key.delete(f"/recipients/{live.pubkey()}")).code == "FORBIDDEN"
        assert (await key.post("/recipients", order(live, label="taken"))).code == "FORBIDDEN"
    (shown,) = (await shop_owner.get("/recipients"))["recipients"]
    assert (shown["active"], shown["label"], shown["environment"]) == (True, "sales", "live")
    made = await tester.post("/recipients", order(tested))
    assert (made.status, made["environment"]) == (201, "test")
    # A live key makes it live; from then on it is out of the test key's reach.
    assert (await shop_owner.post("/recipients", order(tested)))["environment"] == "live"
    assert (await tester.delete(f"/recipients/{tested.pubkey()}")).code == "FORBIDDEN"
    assert (await shop_owner.delete(f"/recipients/{tested.pubkey()}")).status == 200
    assert (await tester.post("/recipients", order(tested, signed_at=now_ms(1)))).code == "FORBIDDEN"


async def test_nobody_registers_a_wallet_that_has_not_signed_for_them(shop_owner):
    wallet, other = Keypair(), Keypair()
    for wrong, status in (
        ({"address": str(wallet.pubkey())}, 403),
        (order(wallet, "somebody else"), 403),
        (order(wallet, signature=order(other)["signature"]), 403),
        (order(wallet, signature="nonsense"), 400),
        (order(wallet, userId="somebody else"), 403),
    ):
        assert (await shop_owner.post("/recipients", wrong)).status == status, wrong
    assert (await shop_owner.get("/recipients"))["total"] == 0


async def test_an_admin_needs_no_signature_and_may_say_whose_it_is(admin, shop_owner):
    wallet = str(Keypair().pubkey())
    made = await admin.post("/recipients", {"address": wallet, "userId": "merchant"})
    assert (made.status, made["userId"]) == (201, "merchant")
    assert [row["address"] for row in (await shop_owner.get("/recipients"))["recipients"]] == [wallet]
    # A signature that is sent is held against the wallet all the same.
    assert (await admin.post("/recipients", order(Keypair(), signature=order(Keypair())["signature"]))).status == 403
    assert (await admin.delete(f"/recipients/{wallet}")).status == 200


async def test_what_is_no_wallet_is_refused_and_called_what_it_is(admin, market, pool):
    before = await pool.fetchval("SELECT count(*) FROM recipients")
    account = str(pay.token_account(market.recipients[0].pubkey(), USDC))
    for address, words in (
        ("nonsense", "not a Solana address"),
        ("1" * 31, "not a Solana address"),
        (account, "token account"),
        (str(USDC), "mint"),
        (TOKEN_PROGRAM, "program"),
    ):
        refused = await admin.post("/recipients", {"address": address})
        assert (refused.status, refused.code) == (400, "VALIDATION_ERROR"), address
        assert words in refused["error"]
    assert await pool.fetchval("SELECT count(*) FROM recipients") == before


async def test_without_a_node_nobody_can_know_a_wallet_from_a_token_account(database_url, redis_url, pool):
    async with running_api(database_url, redis_url, [NO_NODE]) as api:
        admin = api.holding(await key_for(pool, "operations", ("admin",)))
        refused = await admin.post("/recipients", {"address": str(Keypair().pubkey())})
        assert (refused.status, refused.code) == (503, "UNAVAILABLE")
        assert "node" in refused["error"]
        assert refused.headers["Retry-After"]


async def test_a_wallet_hears_for_which_tokens_it_has_no_account(api, admin, net):
    wallet = Keypair().pubkey()
    first = await admin.post("/recipients", {"address": str(wallet)})
    assert first["missingTokenAccounts"] == ["PYUSD", "SOL", "USDC", "USDT"]
    net.chain.faucet.fund_token(wallet, USDC, 0)
    net.chain.tick(2)
    again = await admin.post("/recipients", {"address": str(wallet)})
    assert again["missingTokenAccounts"] == ["PYUSD", "SOL", "USDT"]
