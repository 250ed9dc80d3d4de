"""Wallets: registered by their own signature or by an admin, one user each, and nothing that is no wallet."""

import pytest
from solders.keypair import Keypair

from chain.programs import TOKEN_PROGRAM
from localnet import payments as pay
from localnet.payments import USDC
from tests.support.api_client import key_for, running_api
from tests.support.ledger_rows import NO_NODE


def order(wallet, user="merchant", **changes):
    text = f"402pay recipient {wallet.pubkey()} for {user}"
    return {"address": str(wallet.pubkey()), "signature": str(wallet.sign_message(text.encode())), **changes}


@pytest.fixture
async def clerk(api, pool):
    return api.holding(await key_for(pool, "merchant"))


async def test_a_wallet_signs_for_whom_it_is_followed(clerk, api, pool):
    wallet = Keypair()
    made = await clerk.post("/recipients", order(wallet, label="API sales"))
    assert made.status == 201, made.text
    assert (made["address"], made["userId"], made["label"], made["active"]) == (
        str(wallet.pubkey()), "merchant", "API sales", True,
    )  # fmt: skip
    again = await clerk.post("/recipients", order(wallet))
    assert (again.status, again["label"]) == (201, "API sales")
    stranger = api.holding(await key_for(pool, "stranger"))
    taken = await stranger.post("/recipients", order(wallet, "stranger"))
    assert (taken.status, taken.code) == (409, "CONFLICT")
    assert (await clerk.get("/recipients"))["total"] == 1
    assert (await stranger.get("/recipients"))["recipients"] == []
    assert (await stranger.delete(f"/recipients/{wallet.pubkey()}")).code == "NOT_FOUND"
    assert (await clerk.delete(f"/recipients/{wallet.pubkey()}")).status == 200
    assert (await clerk.delete(f"/recipients/{wallet.pubkey()}")).code == "NOT_FOUND"
    assert (await clerk.get("/recipients"))["total"] == 0
    # The ledger keeps what it has, and with it whose it was.
    assert (await stranger.post("/recipients", order(wallet, "stranger"))).code == "CONFLICT"
    assert (await clerk.post("/recipients", order(wallet))).status == 201


async def test_nobody_registers_a_wallet_that_has_not_signed_for_them(clerk):
    wallet, other = Keypair(), Keypair()
    for wrong, status in (
        ({"address": str(wallet.pubkey())}, 403),
        (order(wallet, "somebody else"), 403),
        (order(wallet, signature=order(other)["signature"]), 403),
        (order(wallet, signature="nonsense"), 400),
        (order(wallet, userId="somebody else"), 403),
    ):
        assert (await clerk.post("/recipients", wrong)).status == status, wrong
    assert (await clerk.get("/recipients"))["total"] == 0


async def test_an_admin_needs_no_signature_and_may_say_whose_it_is(admin, clerk):
    wallet = str(Keypair().pubkey())
    made = await admin.post("/recipients", {"address": wallet, "userId": "merchant"})
    assert (made.status, made["userId"]) == (201, "merchant")
    assert [row["address"] for row in (await clerk.get("/recipients"))["recipients"]] == [wallet]
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


async def test_without_a_node_nobody_can_tell_a_wallet_from_a_token_account(database_url, redis_url, pool):
    async with running_api(database_url, redis_url, [NO_NODE]) as api:
        admin = api.holding(await key_for(pool, "operations", ("admin",)))
        refused = await admin.post("/recipients", {"address": str(Keypair().pubkey())})
        assert (refused.status, refused.code) == (503, "UNAVAILABLE")
        assert "node" in refused["error"]
        assert refused.headers["Retry-After"]
