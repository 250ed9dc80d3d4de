"""Attacks on the pages of keys and wallets: names that strangers chose, what is another's, rights that are not held."""

import pytest
from solders.keypair import Keypair

from ledger.recipients import register_wallet
from tests.support.api_client import key_for
from tests.support.api_operations import prefix
from tests.support.console_browser import signed_in
from tests.support.foreign_markup import PAYLOADS, foreign_parts


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_names_of_keys_wallets_and_users_are_text(vendor, pool, payload):
    user, wallet = f"shop {payload}", str(Keypair().pubkey())
    await register_wallet(pool, address=wallet, user_id=user, label=payload, followed_from_slot=0)
    key = await key_for(pool, user)
    await pool.execute("UPDATE api_keys SET name = $2 WHERE key_prefix = $1", prefix(key), payload)
    admin = await key_for(pool, "operations", ("read", "write", "admin"))
    pages = [
        "/console/keys", f"/console/keys/{prefix(key)}/rotate", f"/console/keys/{prefix(key)}/revoke",
        "/console/wallets", f"/console/wallets/{wallet}", f"/console/wallets/{wallet}/remove",
    ]  # fmt: skip
    for holder in (key, admin):
        browser = await signed_in(vendor.api, holder)
        form = {"form_token": await browser.token(), "key": holder, "name": payload, "environment": "live",
                "read": "yes", "days": ""}  # fmt: skip
        seen = [await browser.get(path) for path in pages]
        seen.append(await browser.post("/console/keys/new", form))
        seen.append(await browser.post("/console/keys/new", {**form, "days": payload, "user": payload}))
        wanted = {"form_token": form["form_token"], "address": wallet, "label": payload, "signature": payload[:128]}
        seen.append(await browser.post("/console/wallets/new", wanted))
        assert [one.status for one in seen] == [200] * 6 + [201, 400, 400]
        for one in seen:
            assert foreign_parts(one.page) == [[]] * 7
            assert len(one.page.all("script")) == len(one.page.all("title")) == 1
            assert "<" not in payload or payload not in one.body


async def test_what_is_anothers_is_neither_seen_nor_changed(vendor, pool):
    theirs = prefix(await key_for(pool))
    rival_key = await key_for(pool, "rival")
    rival = await signed_in(vendor.api, rival_key)
    form = {"form_token": await rival.token(), "key": rival_key, "grace": "0"}
    for path in ("/console/keys", "/console/keys?show=all", "/console/wallets"):
        body = (await rival.get(path)).body
        assert theirs not in body
        assert vendor.wallet not in body
    for path in (f"/console/keys/{theirs}/rotate", f"/console/keys/{theirs}/revoke",
                 f"/console/wallets/{vendor.wallet}/remove"):  # fmt: skip
        assert (await rival.get(path)).status == 404, path
        assert (await rival.post(path, form)).status == 404, path
    assert (await rival.get(f"/console/wallets/{vendor.wallet}")).status == 404
    for path in ("/console/keys/nonsense/revoke", "/console/keys/%00/rotate", "/console/wallets/%00"):
        assert (await rival.get(path)).status == 404, path
    assert await pool.fetchval("SELECT count(*) FROM api_keys WHERE revoked_at IS NOT NULL") == 0
    assert await pool.fetchval("SELECT active FROM recipients")


async def test_a_key_that_may_only_read_sees_no_buttons_and_changes_nothing(vendor, pool):
    own = await key_for(pool, permissions=["read"])
    browser = await signed_in(vendor.api, own)
    form = {"form_token": await browser.token(), "key": vendor.client.key, "name": "x", "read": "yes", "grace": "0"}
    for path in ("/console/keys", "/console/wallets", f"/console/wallets/{vendor.wallet}"):
        page = (await browser.get(path)).page
        assert [one["action"] for one in page.all("form", method="post")] == ["/console/sign-out"]
        links = [one["href"] for one in page.all("a")]
        assert not [one for one in links if one.endswith(("/new", "/rotate", "/revoke", "/remove"))]
    for path in ("/console/keys/new", f"/console/keys/{prefix(own)}/rotate", f"/console/keys/{prefix(own)}/revoke",
                 "/console/wallets/new", f"/console/wallets/{vendor.wallet}/remove"):  # fmt: skip
        assert (await browser.get(path)).status == 403, path
        assert (await browser.post(path, form)).status == 403, path
    assert await pool.fetchval("SELECT count(*) FROM api_keys WHERE revoked_at IS NOT NULL OR name = 'x'") == 0
    assert await pool.fetchval("SELECT active FROM recipients")


async def test_nobody_gives_or_takes_rights_that_they_do_not_hold(vendor, pool):
    """Of the same user, whose keys may do different things."""
    powerful = prefix(await key_for(pool, permissions=["read", "write", "admin"]))
    browser = await signed_in(vendor.api, vendor.client.key)
    form = {"form_token": await browser.token(), "key": vendor.client.key, "grace": "0"}
    assert (await browser.post(f"/console/keys/{powerful}/rotate", form)).status == 403
    assert (await browser.post(f"/console/keys/{powerful}/revoke", form)).status == 403
    # A session with every right, in which a lesser key is entered: that key's rights are what counts.
    admin = await signed_in(vendor.api, await key_for(pool, permissions=["read", "write", "admin"]))
    form["form_token"] = await admin.token()
    more = {"name": "x", "environment": "live", "days": "", "admin": "yes"}
    assert (await admin.post("/console/keys/new", {**form, **more})).status == 403
    assert (await admin.post(f"/console/keys/{powerful}/rotate", form)).status == 403
    assert await pool.fetchval("SELECT count(*) FROM api_keys WHERE revoked_at IS NOT NULL OR name = 'x'") == 0


async def test_a_test_key_changes_nothing_live(vendor, pool):
    key = await key_for(pool, environment="test")
    browser = await signed_in(vendor.api, key)
    form = {"form_token": await browser.token(), "key": key, "grace": "0", "name": "x", "environment": "live",
            "read": "yes", "days": ""}  # fmt: skip
    live = prefix(vendor.client.key)
    for path in (f"/console/keys/{live}/revoke", f"/console/keys/{live}/rotate", "/console/keys/new",
                 f"/console/wallets/{vendor.wallet}/remove"):  # fmt: skip
        assert (await browser.post(path, form)).status == 403, path
    assert (await vendor.client.get("/payments")).status == 200
    assert await pool.fetchval("SELECT active FROM recipients")
