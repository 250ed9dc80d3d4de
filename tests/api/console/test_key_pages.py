"""API keys as pages: listed, made and shown once, replaced, revoked."""

import re

import pytest

from tests.support.api_client import key_for
from tests.support.api_operations import prefix
from tests.support.console_browser import rows_of_all_pages, signed_in
from tests.support.ledger_checks import eventually

A_KEY = re.compile(r"sk_(?:live|test)_[A-Za-z0-9_-]{40,}")
NEW = {"name": "the shop", "environment": "live", "days": "", "read": "yes"}


@pytest.fixture
async def browser(vendor):
    return await signed_in(vendor.api, vendor.client.key)


async def ordered(browser, key, **fields):
    return await browser.post("/console/keys/new", {"form_token": await browser.token(), "key": key, **NEW, **fields})


async def test_a_key_is_made_with_another_and_shown_in_this_answer_alone(vendor, browser, pool, capfd):
    made = await ordered(browser, vendor.client.key, days="30", final="yes", bound="yes")
    assert (made.status, made.headers["Cache-Control"]) == (201, "no-store")
    (key,) = set(A_KEY.findall(made.text))
    assert (await vendor.api.holding(key).get("/payments")).status == 200
    stored = await pool.fetchrow("SELECT * FROM api_keys WHERE name = 'the shop'")
    assert (stored["user_id"], stored["permissions"], stored["final_only"], stored["proof_version"]) == (
        "merchant", ["read"], True, 2,
    )  # fmt: skip
    assert 29 <= (stored["expires_at"] - stored["created_at"]).days <= 30
    listed = await browser.get("/console/keys")
    assert listed.rows[0] == stored["key_prefix"]
    assert "final payments, proofs that name the payment" in listed.text
    elsewhere = [listed, await browser.get("/console/keys?show=all"), await browser.get("/console")]
    assert not [one for one in elsewhere if key in one.body]
    # Neither the new key nor the one that it was made with: in no log line, no event, no column.
    logged = "".join(capfd.readouterr())
    rows = [*await pool.fetch("SELECT events::text AS row FROM events"),
            *await pool.fetch("SELECT api_keys::text AS row FROM api_keys")]  # fmt: skip
    assert "/console/keys/new" in logged
    for secret in (key, vendor.client.key):
        assert secret not in logged
        assert not [row for row in rows if secret in row["row"]]


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"name": ""}, 400, "Name"),
        ({"read": ""}, 400, "Permissions"),
        ({"days": "7"}, 400, "how long the key is good"),
        ({"environment": "moon"}, 400, "Environment"),
        ({"admin": "yes"}, 403, "permissions that yours lacks"),
        ({"environment": "test"}, 403, "makes live keys only"),
        ({"user": "rival"}, 403, "Keys of other users are made by admins"),
        ({"key": ""}, 403, "not known, has expired or was revoked"),
        ({"key": "sk_live_" + "0" * 74}, 403, "not known, has expired or was revoked"),
    ],
)
async def test_what_may_not_be_made_comes_back_as_it_was_filled_in(vendor, browser, pool, fields, status, said):
    before = await pool.fetchval("SELECT count(*) FROM api_keys")
    filled = {"key": vendor.client.key, "name": 'tea & "cake"', **fields}
    seen = await ordered(browser, **filled)
    assert (seen.status, said in seen.text) == (status, True), seen.text
    (name,) = seen.page.all("input", name="name")
    assert name["value"] == filled["name"]
    (key,) = seen.page.all("input", name="key")
    assert key.get("value") is None
    assert not filled["key"] or filled["key"] not in seen.body
    assert await pool.fetchval("SELECT count(*) FROM api_keys") == before


async def test_a_session_makes_no_key_by_a_token_of_the_api_or_by_anothers_key(vendor, browser, pool):
    token = (await vendor.client.post("/auth/token", {}))["token"]
    assert "Keys are made with a key, not with an access token" in (await ordered(browser, token)).text
    assert "another user's" in (await ordered(browser, await key_for(pool, "rival"))).text
    assert "permission write" in (await ordered(browser, await key_for(pool, permissions=["read"]))).text
    assert await pool.fetchval("SELECT count(*) FROM api_keys WHERE name = 'the shop'") == 0


async def test_an_admin_makes_keys_for_others_and_sees_everybodys(vendor, pool):
    admin = await key_for(pool, "operations", ("read", "write", "admin"))
    browser = await signed_in(vendor.api, admin)
    made = await ordered(browser, admin, user="rival", admin="yes")
    (key,) = set(A_KEY.findall(made.text))
    assert await pool.fetchval("SELECT user_id FROM api_keys WHERE key_prefix = $1", prefix(key)) == "rival"
    assert {prefix(key), prefix(admin), vendor.client.key[: len(prefix(vendor.client.key))]} == set(
        (await browser.get("/console/keys")).rows
    )


async def test_a_key_is_replaced_and_the_old_one_lives_on_as_was_chosen(vendor, browser, pool):
    old = await key_for(pool)
    path = f"/console/keys/{prefix(old)}/rotate"
    assert "takes the place of" in (await browser.get(path)).text
    form = {"form_token": await browser.token(), "key": vendor.client.key, "grace": "60"}
    for wrong, status in (({"grace": "5"}, 400), ({"key": "nonsense"}, 403)):
        assert (await browser.post(path, {**form, **wrong})).status == status
    made = await browser.post(path, form)
    assert (made.status, made.headers["Cache-Control"]) == (201, "no-store")
    (new,) = set(A_KEY.findall(made.text))
    for key in (old, new):
        assert (await vendor.api.holding(key).get("/payments")).status == 200
    assert f"The old key {prefix(old)} is refused from" in made.text
    again = await browser.post(path, form)
    assert (again.status, "replaced already" in again.text) == (409, True)
    assert "replaced" in (await browser.get("/console/keys")).text


async def test_a_key_is_revoked_after_being_asked_and_a_session_ends_with_its_own(vendor, browser, pool):
    other = await key_for(pool)
    path = f"/console/keys/{prefix(other)}/revoke"
    asked = await browser.get(path)
    assert asked.page.all("form", action=path, method="post")
    assert (await vendor.api.holding(other).get("/payments")).status == 200
    seen = await browser.post(path, {"form_token": await browser.token()})
    assert (seen.status, seen.location) == (303, "/console/keys")
    assert (await vendor.api.holding(other).get("/payments")).status == 401
    assert prefix(other) not in (await browser.get("/console/keys")).rows
    assert prefix(other) in (await browser.get("/console/keys?show=all")).rows
    own = f"/console/keys/{prefix(vendor.client.key)}/revoke"
    assert "This session ends with it." in (await browser.get(own)).text
    assert (await browser.post(own, {"form_token": await browser.token()})).status == 303

    async def has_ended():
        return (await browser.get("/console/keys")).status == 303

    await eventually(has_ended)


async def test_keys_are_listed_page_by_page_each_once(vendor, browser, pool, monkeypatch):
    monkeypatch.setattr("api.console.key_pages._SHOWN", 3)
    made = [prefix(await key_for(pool)) for _ in range(7)]
    await key_for(pool, "rival")
    # Some at the very same moment: the prefix decides then.
    await pool.execute("UPDATE api_keys SET created_at = now() WHERE key_prefix = ANY($1)", made[2:5])
    listed = await rows_of_all_pages(browser, "/console/keys")
    assert sorted(listed) == sorted([*made, prefix(vendor.client.key)])
    assert listed == [key["keyPrefix"] for key in (await vendor.client.get("/api-keys"))["apiKeys"]]
