"""Signing in at the console: a session from a key, which ends with it, and forms that only its own pages can send."""

import datetime as dt

import pytest

from api.access import sessions
from ledger.api_keys import revoke_key
from tests.support.api_client import key_for, running_api
from tests.support.api_operations import SECRET, bearing, prefix
from tests.support.console_browser import Browser, signed_in
from tests.support.ledger_checks import eventually
from tests.support.ledger_rows import NO_NODE

PAGES = [
    "/console", "/console/payments", "/console/requests", "/console/requests/new", "/console/webhooks",
    "/console/audit", "/console/keys", "/console/keys/new", "/console/wallets", "/console/wallets/new",
]  # fmt: skip


@pytest.fixture
async def browser(vendor):
    return await signed_in(vendor.api, vendor.client.key)


async def test_a_browser_is_led_to_the_console_and_a_program_learns_what_is_here(vendor):
    browser = Browser(vendor.api.url, vendor.api.http)
    led = await browser.get("/")
    assert (led.status, led.location, led.headers["Vary"]) == (303, "/console", "Accept, Origin")
    answered = await vendor.api.get("/", headers={"Accept": "*/*"})
    assert (answered.status, answered["console"], answered["docs"]) == (200, "/console", "/docs")


@pytest.mark.parametrize("path", PAGES)
async def test_who_is_not_signed_in_is_asked_for_a_key_and_then_led_back(vendor, path):
    browser = Browser(vendor.api.url, vendor.api.http)
    led = await browser.get(path)
    assert (led.status, led.headers["Cache-Control"]) == (303, "no-store")
    assert led.location == f"/console/sign-in?to={path.replace('/', '%2F')}"
    asked = await browser.get(led.location)
    (to,) = asked.page.all("input", name="to")
    seen = await browser.sign_in(vendor.client.key, to["value"])
    assert (seen.status, seen.location) == (303, path)
    assert (await browser.get(path)).status == 200
    # Who is signed in is not asked again.
    assert (await browser.get("/console/sign-in")).location == "/console"


async def test_a_session_is_a_cookie_that_only_this_host_gets_and_no_script_reads(vendor):
    browser = Browser(vendor.api.url, vendor.api.http)
    seen = await browser.sign_in(vendor.client.key)
    (cookie,) = [line for line in seen.set_cookies if line.startswith("pay402_session=")]
    flags = {flag.strip().lower() for flag in cookie.split(";")[1:]}
    assert flags == {"httponly", "samesite=strict", "path=/", f"max-age={sessions.SESSION_SECONDS}"}
    assert vendor.client.key not in "".join(seen.set_cookies)


async def test_in_production_and_by_tls_cookies_are_for_tls_alone(database_url, redis_url, pool):
    key = await key_for(pool)
    async with running_api(database_url, redis_url, [NO_NODE], APP_ENV="production", JWT_SECRET=SECRET) as client:
        seen = await Browser(client.url, client.http).sign_in(key)
        assert all("; Secure" in line and line.startswith("__Host-") for line in seen.set_cookies)
    async with running_api(database_url, redis_url, [NO_NODE], TRUSTED_PROXIES="127.0.0.1") as client:
        browser = Browser(client.url, client.http)
        by_tls = {"X-Forwarded-Proto": "https"}
        (cookie,) = (await browser.get("/console/sign-in", headers=by_tls)).set_cookies
        assert cookie.startswith("__Host-")
        assert "; Secure" in cookie
        assert not any("Secure" in line for line in (await browser.get("/console/sign-in")).set_cookies)


async def test_the_database_holds_no_session_that_could_be_used(browser, pool):
    row = await pool.fetchrow("SELECT * FROM console_sessions")
    assert browser.session not in map(str, row.values())
    assert len(row["token_hash"]) == 64


@pytest.mark.parametrize("how", ["revoked", "replaced", "expired", "deleted", "session over"])
async def test_a_session_ends_with_its_key(vendor, pool, how):
    key = await key_for(pool)
    browser = await signed_in(vendor.api, key)
    assert (await browser.get("/console")).status == 200
    moment = await pool.fetchval("SELECT clock_timestamp()")
    if how == "revoked":
        assert await revoke_key(pool, prefix(key), moment)
    elif how == "replaced":
        # The key itself stays good for an hour; who is signed in with it has to show the new one at once.
        assert (await vendor.api.holding(key).post(f"/api-keys/{prefix(key)}/rotate")).status == 201
        assert (await browser.get("/console")).status == 303
        assert (await vendor.api.holding(key).get("/payments")).status == 200
    elif how == "expired":
        at = dt.timedelta(seconds=1)
        await pool.execute("UPDATE api_keys SET expires_at = $2 WHERE key_prefix = $1", prefix(key), moment - at)
    elif how == "deleted":
        await pool.execute("DELETE FROM api_keys WHERE key_prefix = $1", prefix(key))
    else:
        await pool.execute("UPDATE console_sessions SET expires_at = clock_timestamp()")

    async def has_ended():
        return (await browser.get("/console")).status == 303

    await eventually(has_ended)


async def test_signing_out_ends_the_session_for_whoever_has_its_cookie(browser, vendor, pool):
    thief = Browser(browser.url, browser.http, dict(browser.cookies))
    assert (await thief.get("/console")).status == 200
    seen = await browser.post("/console/sign-out", {"form_token": await browser.token()})
    assert (seen.status, seen.location, browser.session) == (303, "/console/sign-in", None)
    assert (await thief.get("/console")).status == 303
    assert await pool.fetchval("SELECT count(*) FROM console_sessions") == 0


@pytest.mark.parametrize("key", ["sk_live_" + "0" * 74, "nonsense", "demo-key", "of writing", "token"])
async def test_what_is_no_good_key_signs_nobody_in(vendor, pool, key):
    if key == "of writing":
        key, status, said = await key_for(pool, permissions=["write"]), 403, "permission read"
    elif key == "token":
        key, status, said = (await vendor.client.post("/auth/token", {}))["token"], 403, "access token"
    else:
        status, said = 401, "not known, has expired or was revoked"
    browser = Browser(vendor.api.url, vendor.api.http)
    seen = await browser.sign_in(key)
    assert (seen.status, browser.session) == (status, None)
    assert said in seen.text
    assert key not in seen.body
    assert (await browser.get("/console")).status == 303


async def test_who_guesses_keys_at_the_console_is_limited(database_url, redis_url):
    async with running_api(database_url, redis_url, [NO_NODE], PUBLIC_RATE_LIMIT=8) as client:
        browser = Browser(client.url, client.http)
        token = await browser.token("/console/sign-in")
        form = {"form_token": token, "key": "sk_live_" + "1" * 74}
        statuses = [(await browser.post("/console/sign-in", form)).status for _ in range(12)]
        assert set(statuses) == {401, 429}
        assert statuses[-1] == 429


async def test_the_demo_key_signs_in_in_development(database_url, redis_url):
    async with running_api(database_url, redis_url, [NO_NODE], APP_ENV="development") as client:
        browser = await signed_in(client, "demo-key")
        assert "operator" in (await browser.get("/console")).text


async def test_a_session_opens_pages_and_the_stream_and_nothing_else(browser):
    for path in ("/payments", "/api-keys", "/recipients", "/events", "/analytics/revenue"):
        assert (await browser.get(path)).status == 401, path
    refused = await browser.send(
        "POST", "/payments/requests", form='{"amount": 1, "currency": "USDC"}',
        headers={"Content-Type": "application/json"},
    )  # fmt: skip
    assert refused.status == 401
    headers = {"Cookie": f"pay402_session={browser.session}"}
    async with browser.http.get(f"{browser.url}/events/stream", headers=headers) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
    async with browser.http.get(f"{browser.url}/events/stream") as response:
        assert response.status == 401


async def test_a_stream_of_a_session_ends_with_it(browser, pool):
    headers = {"Cookie": f"pay402_session={browser.session}"}
    async with browser.http.get(f"{browser.url}/events/stream", headers=headers) as response:
        assert await response.content.readuntil(b"\n\n") == b"retry: 1000\n\n"
        await browser.post("/console/sign-out", {"form_token": await browser.token()})
        while await response.content.readany():
            pass
        assert response.content.at_eof()


async def test_a_key_has_so_many_sessions_and_those_that_ended_are_cleared_away(vendor, pool, monkeypatch):
    monkeypatch.setattr(sessions, "_SESSIONS_OF_KEY_MAX", 3)
    first = await signed_in(vendor.api, vendor.client.key)
    others = [await signed_in(vendor.api, vendor.client.key) for _ in range(3)]
    assert (await first.get("/console")).status == 303
    assert [(await one.get("/console")).status for one in others] == [200] * 3
    await pool.execute("UPDATE console_sessions SET expires_at = clock_timestamp()")
    await signed_in(vendor.api, vendor.client.key)
    assert await pool.fetchval("SELECT count(*) FROM console_sessions") == 1


async def test_a_token_of_the_api_is_no_session(vendor):
    token = (await vendor.client.post("/auth/token", {}))["token"]
    browser = Browser(vendor.api.url, vendor.api.http, {"pay402_session": token})
    assert (await browser.get("/console", headers=bearing(token))).status == 303
