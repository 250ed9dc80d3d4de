"""Attacks on the console, as HTTP: what strangers write, forms of other sites, sessions that were planted, frames.

`tests/api/console/test_in_a_browser.py` has what only a browser can show.
"""

import pytest
from solders.keypair import Keypair

from api.app import _ROUTERS
from api.console.forms import form_token
from ledger.payment_requests import create_request
from ledger.recipients import register_wallet
from tests.support.api_client import key_for
from tests.support.console_browser import Browser, signed_in
from tests.support.foreign_markup import PAYLOADS, foreign_parts
from tests.support.ledger_rows import book

PAGES = [
    "/console", "/console/payments", "/console/requests", "/console/requests/new", "/console/webhooks",
    "/console/audit", "/console/keys", "/console/keys/new", "/console/wallets", "/console/wallets/new",
    "/console/sign-in",
]  # fmt: skip


def console_routes(method):
    """The paths of the console's routes that take a method."""
    found = {
        route.path
        for router in _ROUTERS
        for route in router.routes
        if route.path.startswith("/console") and method in route.methods
    }
    assert found
    return sorted(found)


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_what_strangers_write_is_text_wherever_it_is_shown(vendor, pool, payload):
    """In memos, what a request is for, names of wallets, symbols of tokens, names of users, nonces and searches."""
    key = await key_for(pool, f"shop {payload}")
    wallet, mint = str(Keypair().pubkey()), str(Keypair().pubkey())
    await register_wallet(pool, address=wallet, user_id=f"shop {payload}", label=payload, followed_from_slot=0)
    await pool.execute(
        "INSERT INTO tokens (mint, program, decimals, symbol, network) VALUES ($1, $2, 6, $3, 'devnet')",
        mint, str(Keypair().pubkey()), payload,
    )  # fmt: skip
    signature = await book(pool, str(Keypair().pubkey()), wallet, 1_000, memos=[payload, f"again {payload}"], mint=mint)
    asked = await create_request(
        pool, user_id=f"shop {payload}", recipient=wallet, mint=mint, currency=payload, amount=5, resource=payload,
        expires_at=await pool.fetchval("SELECT now() + interval '1 hour'"), reference=str(Keypair().pubkey()),
    )  # fmt: skip
    browser = await signed_in(vendor.api, key)
    seen = [
        await browser.get(path)
        for path in (
            "/console",
            "/console/payments",
            f"/console/payments/{signature}",
            "/console/requests",
            f"/console/requests/{asked.nonce}",
            "/console/requests/new",
        )
    ]
    found = await browser.send("GET", f"/console/payments?{_query(q=payload)}")
    filtered = await browser.send("GET", f"/console/payments?{_query(recipient=payload[:200], currency=payload)}")
    refilled = await browser.post(
        "/console/requests/new",
        {"form_token": await browser.token(), "amount": payload, "resource": payload, "minutes": "15"},
    )
    assert [one.status for one in (*seen, found, filtered, refilled)] == [200] * 7 + [400, 400]
    for one in (*seen, found, filtered, refilled):
        assert foreign_parts(one.page) == [[]] * 7
        assert len(one.page.all("title")) <= 1 + one.body.count("<rect")
        assert len(one.page.all("script")) == 1
        if "<" in payload:
            assert payload not in one.body
    shown = [one for one in seen if payload.split()[0] in one.text or payload in one.text]
    assert len(shown) == len(seen)


def _query(**fields):
    from urllib.parse import urlencode

    return urlencode(fields)


async def test_a_form_is_taken_from_a_page_of_its_own_session_only(vendor, pool):
    # With every right, so that nothing else is why a form is refused.
    mine = await signed_in(vendor.api, await key_for(pool, permissions=["read", "write", "admin"]))
    theirs = await signed_in(vendor.api, await key_for(pool, "rival"))
    terms = {"amount": "1", "currency": "USDC", "minutes": "15"}
    token, other = await mine.token(), await theirs.token()
    assert token != other
    forms = {
        "no token": ({}, {}),
        "an empty token": ({"form_token": ""}, {}),
        "another's token": ({"form_token": other}, {}),
        "the session itself": ({"form_token": mine.session}, {}),
        "a guess": ({"form_token": form_token("")}, {}),
        "another site": ({"form_token": token}, {"Sec-Fetch-Site": "cross-site"}),
        "another host of ours": ({"form_token": token}, {"Sec-Fetch-Site": "same-site"}),
    }
    posts = console_routes("POST")
    assert {"/console/sign-in", "/console/sign-out", "/console/requests/new"} <= set(posts)
    for path in posts:
        for name, (more, headers) in forms.items():
            refused = await mine.post(path, {**terms, "key": vendor.client.key, **more}, headers=headers)
            assert refused.status == 403, (path, name)
        twice = await mine.post(path, f"form_token={other}&form_token={token}&amount=1&currency=USDC&minutes=15")
        assert twice.status == 400, path
        for kind in ("application/json", "text/plain", "multipart/form-data; boundary=x"):
            refused = await mine.post(path, '{"amount": 1}', headers={"Content-Type": kind})
            assert refused.status == 415, (path, kind)
    assert await pool.fetchval("SELECT count(*) FROM nonces") == 0
    # The session still stands, and its own form is taken.
    made = await mine.post("/console/requests/new", {**terms, "form_token": token})
    assert made.status == 303
    assert await pool.fetchval("SELECT count(*) FROM nonces") == 1


async def test_forms_are_no_way_into_the_routes_of_programs(vendor):
    """A form can be sent from any page, JSON cannot: only the console takes forms."""
    browser = await signed_in(vendor.api, vendor.client.key)
    for path in ("/payments/requests", "/api-keys", "/auth/token", "/consolation"):
        assert (await browser.post(path, {"amount": "1"})).status == 415, path


async def test_a_session_that_was_planted_is_never_the_one_that_is_signed_in(vendor, pool):
    planted = "planted-by-somebody-who-waits"
    victim = Browser(vendor.api.url, vendor.api.http, {"pay402_session": planted})
    assert (await victim.sign_in(vendor.client.key)).status == 303
    assert victim.session != planted
    thief = Browser(vendor.api.url, vendor.api.http, {"pay402_session": planted})
    assert (await thief.get("/console")).status == 303
    # A session of the thief's own does not become the victim's, and has ended where the victim signs in over it.
    thief = await signed_in(vendor.api, await key_for(pool, "rival"))
    own = thief.session
    victim = Browser(vendor.api.url, vendor.api.http, {"pay402_session": own})
    victim.cookies["pay402_form"] = "known-to-the-thief"
    token = form_token("known-to-the-thief")
    seen = await victim.post("/console/sign-in", {"form_token": token, "key": vendor.client.key})
    assert seen.status == 303
    assert victim.session != own
    assert (await thief.get("/console")).status == 303
    assert "merchant" in (await victim.get("/console")).text


async def test_nobody_is_signed_in_by_another_sites_form(vendor):
    """As somebody else than they think: what they enter then would be the other's."""
    victim = Browser(vendor.api.url, vendor.api.http, {"pay402_form": "set-by-another-host-of-the-domain"})
    form = {"form_token": form_token("set-by-another-host-of-the-domain"), "key": vendor.client.key}
    refused = await victim.post("/console/sign-in", form, headers={"Sec-Fetch-Site": "cross-site"})
    assert (refused.status, victim.session) == (403, None)


async def test_no_page_can_be_framed_or_run_anything_and_none_is_kept(vendor):
    browser = await signed_in(vendor.api, vendor.client.key)
    asset = (await browser.get("/console")).page.all("script")[0]["src"]
    nonce = (await vendor.requested())["nonce"]
    paths = [*PAGES, f"/console/requests/{nonce}", f"/console/requests/{nonce}/code", "/console/nothing",
             "/console/payments?status=nonsense", f"/console/payments/{'1' * 64}"]  # fmt: skip
    stranger = Browser(vendor.api.url, vendor.api.http)
    seen = [await one.get(path) for path in paths for one in (browser, stranger)]
    assert {one.status for one in seen} == {200, 303, 400, 404}
    for one in seen:
        policy = dict(part.strip().partition(" ")[::2] for part in one.headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert {policy[name] for name in ("script-src", "style-src", "connect-src", "img-src", "form-action")} == {
            "'self'"
        }
        assert "unsafe" not in one.headers["Content-Security-Policy"]
        assert (one.headers["X-Frame-Options"], one.headers["X-Content-Type-Options"]) == ("DENY", "nosniff")
        assert one.headers["Referrer-Policy"] == "no-referrer"
        assert one.headers["Cache-Control"] == "no-store"
    file = await stranger.get(asset)
    assert (file.status, file.headers["X-Content-Type-Options"]) == (200, "nosniff")
    assert file.headers["Cache-Control"].endswith("immutable")


@pytest.mark.parametrize(
    "to",
    [
        "//evil.example", "https://evil.example/console", "/\\evil.example", "\\\\evil.example", "/console/../..//evil",
        "/console//evil.example", "/console/..", "/console@evil.example", "/console.evil.example", "/consoles",
        "javascript:alert(1)", "/console\r\nSet-Cookie: a=b", "/console?\nx", " /console/payments\t", "/payments",
        "%2F%2Fevil.example", "/console/payments#//evil", "/console/\u2215\u2215evil", "",
    ],
)  # fmt: skip
async def test_signing_in_leads_to_pages_of_the_console_and_nowhere_else(vendor, to):
    browser = Browser(vendor.api.url, vendor.api.http)
    seen = await browser.sign_in(vendor.client.key, to)
    asked = await browser.get(f"/console/sign-in?{_query(to=to)}")
    for one in (seen, asked):
        assert one.status == 303
        assert one.location in {"/console", "/console/payments"}
        assert "evil" not in one.location
    assert "a=b" not in "".join(seen.set_cookies)


async def test_nobody_is_led_to_the_host_that_a_request_names(vendor):
    browser = Browser(vendor.api.url, vendor.api.http)
    for path in ("/", "/console", "/console/payments?q=1"):
        seen = await browser.get(path, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
        assert seen.status == 303
        assert seen.location.startswith("/console")


async def test_a_key_that_may_only_read_sees_no_buttons_and_changes_nothing(vendor, pool):
    browser = await signed_in(vendor.api, await key_for(pool, permissions=["read"]))
    for path in ("/console", "/console/payments", "/console/requests"):
        page = (await browser.get(path)).page
        assert [form["action"] for form in page.all("form", method="post")] == ["/console/sign-out"]
        assert not page.all("a", href="/console/requests/new")
    assert (await browser.get("/console/requests/new")).status == 403
    form = {"form_token": await browser.token(), "amount": "1", "currency": "USDC", "minutes": "15"}
    assert (await browser.post("/console/requests/new", form)).status == 403
    assert await pool.fetchval("SELECT count(*) FROM nonces") == 0


async def test_what_is_anothers_is_on_no_page(vendor, pool):
    signature = await vendor.paid(4_321_000, memos=["for the merchant alone"])
    nonce = (await vendor.requested(7_654_000))["nonce"]
    rival = await signed_in(vendor.api, await key_for(pool, "rival"))
    for path in ("/console", "/console/payments", "/console/requests", "/console/webhooks"):
        body = (await rival.get(path)).body
        assert not [text for text in (signature, nonce, vendor.wallet, "4.321", "7.654") if text in body], path
    for path in (
        f"/console/payments/{signature}", f"/console/requests/{nonce}", f"/console/requests/{nonce}/code",
    ):  # fmt: skip
        assert (await rival.get(path)).status == 404, path
    for text in (signature, nonce, vendor.wallet, "4.321", "4.321 USDC", "for the merchant alone"):
        seen = await rival.get(f"/console/payments?{_query(q=text)}")
        seen = await rival.get(seen.location) if seen.status == 303 else seen
        assert seen.status in {200, 404}
        assert f"/console/payments/{signature}" not in seen.body, text
