"""Wallets as pages: registered by the signature over the text that is shown, listed, and let go."""

import pytest
from solders.keypair import Keypair

from tests.support.api_client import key_for, running_api
from tests.support.console_browser import rows_of_all_pages, signed_in


@pytest.fixture
async def browser(api, pool):
    return await signed_in(api, await key_for(pool))


async def asked(browser, wallet, **more):
    """The form for a wallet's signature, with what is hidden in it, and the text that is to be signed."""
    fields = "&".join(f"{name}={value}" for name, value in {"address": wallet.pubkey(), **more}.items())
    seen = await browser.get(f"/console/wallets/new?{fields}")
    assert seen.status == 200, seen.text
    form = {field["name"]: field.get("value", "") for field in seen.page.all("input") if field["name"] != "q"}
    (text,) = [button["data-copy"] for button in seen.page.all("button") if "data-copy" in button]
    return form, text


async def test_a_wallet_is_registered_with_its_signature_over_the_text_on_the_page(api, browser, pool):
    wallet = Keypair()
    assert "Register the one that you are paid to" in (await browser.get("/console/wallets")).text
    form, text = await asked(browser, wallet, label="till")
    assert text == f"402pay recipient {wallet.pubkey()} for merchant at {form['signed_at']}"
    unsigned = await browser.post("/console/wallets/new", {**form, "signature": ""})
    assert (unsigned.status, await pool.fetchval("SELECT count(*) FROM recipients")) == (403, 0)
    stranger = await browser.post(
        "/console/wallets/new", {**form, "signature": str(Keypair().sign_message(text.encode()))}
    )
    assert (stranger.status, "not the wallet's over" in stranger.text) == (403, True)
    signed = {**form, "signature": str(wallet.sign_message(text.encode()))}
    seen = await browser.post("/console/wallets/new", signed)
    assert (seen.status, seen.location) == (303, f"/console/wallets/{wallet.pubkey()}")
    row = await pool.fetchrow("SELECT * FROM recipients")
    assert (row["address"], row["user_id"], row["label"]) == (str(wallet.pubkey()), "merchant", "till")
    page = await browser.get(seen.location)
    assert "It has no account yet for" in page.text
    assert "USDC" in page.text
    assert (await browser.get("/console/wallets")).rows == [str(wallet.pubkey())]


async def test_a_signature_that_is_too_old_is_asked_for_anew(browser, pool):
    wallet = Keypair()
    form, _ = await asked(browser, wallet)
    old = int(form["signed_at"]) - 11 * 60 * 1000
    text = f"402pay recipient {wallet.pubkey()} for merchant at {old}"
    signed = {**form, "signed_at": str(old), "signature": str(wallet.sign_message(text.encode()))}
    seen = await browser.post("/console/wallets/new", signed)
    assert (seen.status, "more than 10 minutes ago" in seen.text) == (403, True)
    (fresh,) = seen.page.all("input", name="signed_at")
    assert int(fresh["value"]) >= int(form["signed_at"])
    assert await pool.fetchval("SELECT count(*) FROM recipients") == 0


async def test_what_is_no_wallet_is_said_before_anything_is_signed(browser):
    seen = await browser.get("/console/wallets/new?address=nonsense&label=till")
    assert (seen.status, "not a Solana address" in seen.text) == (400, True)
    (label,) = seen.page.all("input", name="label")
    assert label["value"] == "till"
    form = {"form_token": await browser.token(), "address": "nonsense"}
    assert (await browser.post("/console/wallets/new", form)).status == 400


async def test_a_wallet_is_let_go_after_being_asked_and_comes_back_by_a_newer_signature(browser, pool):
    wallet = Keypair()
    form, text = await asked(browser, wallet)
    await browser.post("/console/wallets/new", {**form, "signature": str(wallet.sign_message(text.encode()))})
    path = f"/console/wallets/{wallet.pubkey()}/remove"
    assert "no longer?" in (await browser.get(path)).text
    assert await pool.fetchval("SELECT active FROM recipients")
    seen = await browser.post(path, {"form_token": await browser.token()})
    assert (seen.status, seen.location) == (303, "/console/wallets")
    assert not await pool.fetchval("SELECT active FROM recipients")
    assert (await browser.get("/console/wallets")).rows == []
    assert (await browser.get(f"/console/wallets/{wallet.pubkey()}")).status == 404
    form, text = await asked(browser, wallet)
    signed = {**form, "signature": str(wallet.sign_message(text.encode()))}
    assert (await browser.post("/console/wallets/new", signed)).status == 303
    assert await pool.fetchval("SELECT active FROM recipients")


async def test_an_admin_registers_for_another_without_a_signature(api, pool):
    browser = await signed_in(api, await key_for(pool, "operations", ("read", "write", "admin")))
    form, text = await asked(browser, Keypair(), user="merchant")
    assert " for merchant at " in text
    assert (await browser.post("/console/wallets/new", {**form, "signature": ""})).status == 303
    assert await pool.fetchval("SELECT user_id FROM recipients") == "merchant"


async def test_the_finality_policy_is_said(database_url, redis_url, net, pool):
    key = await key_for(pool)
    async with running_api(database_url, redis_url, [net.rpc_url], FINALIZED_ABOVE="USDC:1000,SOL:2.5") as client:
        said = (await (await signed_in(client, key)).get("/console/wallets")).text
        assert "A payment of 2.5 SOL or 1,000 USDC or more is honoured once it is final" in said


async def test_wallets_are_listed_page_by_page_each_once(vendor, pool, monkeypatch):
    monkeypatch.setattr("api.console.wallet_pages._SHOWN", 3)
    browser = await signed_in(vendor.api, vendor.client.key)
    added = [str(Keypair().pubkey()) for _ in range(7)]
    await pool.execute(
        "INSERT INTO recipients (address, user_id, followed_from_slot) SELECT unnest($1::text[]), 'merchant', 0", added
    )
    await pool.execute(
        "INSERT INTO recipients (address, user_id, followed_from_slot) VALUES ($1, 'rival', 0)", str(Keypair().pubkey())
    )
    listed = await rows_of_all_pages(browser, "/console/wallets")
    assert listed == [one["address"] for one in (await vendor.client.get("/recipients"))["recipients"]]
    assert set(listed) == {vendor.wallet, *added}
