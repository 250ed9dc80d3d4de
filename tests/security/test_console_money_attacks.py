"""Attacks on the console's pages of findings, jobs and settlements: what strangers write there, and others' rows."""

import re

import pytest
from solders.keypair import Keypair

from tests.support.api_client import key_for
from tests.support.console_browser import signed_in
from tests.support.funded_jobs import ordered_job, waiting_payout
from tests.support.reconciling import reconcile
from tests.support.settlement_rows import reserved
from tests.support.small_ledger import Merchant

PAYLOADS = [
    "<script>document.title='owned'</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</textarea></title><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
]
LINKS = ("/console", "/docs", "#content", "https://explorer.solana.com/tx/", "solana:")


def is_clean(page):
    """True where nothing in a page runs, is loaded from elsewhere or leads there, but what its template put there."""
    scripts = [one for one in page.all("script") if not one.get("src", "").startswith("/console/static/console-")]
    pictures = [one for one in page.all("img") if not one["src"].startswith("/console/")]
    handlers = [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    links = [one for one in page.all("a") if not one["href"].startswith(LINKS)]
    forms = [one for one in page.all("form") if not one["action"].startswith("/console")]
    others = [tag for tag, attributes in page.elements if tag in {"iframe", "svg", "style"} or "style" in attributes]
    return [scripts, pictures, handlers, links, forms, others] == [[]] * 6


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_names_notes_texts_and_symbols_are_text_on_pages_of_money(vendor, pool, database_url, payload):
    """Of agents, services, orders, disputes, ratings, notes, memos, resources, tokens and users."""
    await pool.execute("UPDATE recipients SET user_id = $1", payload)
    mint = str(Keypair().pubkey())
    await pool.execute(
        "INSERT INTO tokens (mint, program, decimals, symbol, network) VALUES ($1, $2, 6, $3, 'devnet')",
        mint, str(Keypair().pubkey()), payload,
    )  # fmt: skip
    await vendor.paid(5_000_000, mint=mint, memos=[payload])
    await reconcile(database_url)
    job = await ordered_job(pool, vendor.wallet, name=payload, client=payload, provider=payload, order={"it": payload})
    await waiting_payout(pool, job, waits_for=payload)
    await pool.execute("UPDATE job_requests SET dispute_reason = $1", payload)
    await pool.execute(
        "INSERT INTO ratings (job_id, service_id, client_user_id, score, feedback)"
        " SELECT id, service_id, client_user_id, 1, $1 FROM job_requests",
        payload,
    )
    merchant = Merchant(payload, vendor.wallet)
    _, settlement = await reserved(pool, merchant, mint=mint, memo=payload, resource=payload)
    browser = await signed_in(vendor.api, await key_for(pool, payload, ("read", "write", "admin")))
    (finding,) = await vendor_findings(browser)
    form = {"form_token": await browser.token(), "note": payload, "signature": payload}
    assert (await browser.post(f"{finding}/note", form)).status == 303
    refused = await browser.post(f"{finding}/refund", form)
    assert refused.status == 400
    pages = [
        "/console/reconciliation", finding, "/console/jobs", f"/console/jobs/{job}", "/console/payouts",
        "/console/x402", f"/console/x402/{settlement}",
    ]  # fmt: skip
    for seen in [refused, *[await browser.get(path) for path in pages]]:
        assert seen.status in {200, 400}
        assert is_clean(seen.page)
        assert len(seen.page.all("title")) == len(seen.page.all("script")) == 1
        assert payload.split()[0] in seen.text
        if "<" in payload:
            assert payload not in seen.body


async def vendor_findings(browser):
    """The addresses of the findings on the page."""
    seen = await browser.get("/console/reconciliation")
    return [f"/console/reconciliation/{found}" for found in re.findall(r'data-row="([0-9a-f]{32})"', seen.body)]


async def test_a_form_of_money_is_taken_from_its_own_session_only(vendor, pool, database_url):
    await vendor.paid(5_000_000)
    await reconcile(database_url)
    job = await ordered_job(pool, vendor.wallet, provider="merchant")
    payout = await waiting_payout(pool, job)
    mine = await signed_in(vendor.api, vendor.client.key)
    theirs = await signed_in(vendor.api, await key_for(pool, "rival"))
    (finding,) = await vendor_findings(mine)
    back = str(Keypair().sign_message(b"none"))
    fields = {"note": "n", "signature": back, "wallet": str(Keypair().pubkey()), "confirmed": "yes"}
    token, other = await mine.token(), await theirs.token()
    forms = [f"{finding}/{action}" for action in ("accept", "note", "refund")]
    for path in (*forms, f"/console/jobs/{job}/payouts/{payout}/redirect"):
        for sent, headers in (
            (fields, {}),
            ({**fields, "form_token": other}, {}),
            ({**fields, "form_token": token}, {"Sec-Fetch-Site": "cross-site"}),
        ):
            assert (await mine.post(path, sent, headers=headers)).status == 403, path
        assert (await theirs.post(path, {**fields, "form_token": other})).status == 404, path
    for table in ("finding_decisions", "payout_redirects"):
        assert await pool.fetchval(f"SELECT count(*) FROM {table}") == 0


@pytest.mark.parametrize("written", ["1,50", "0,01", "1.000,50", "0,010", "1,5000", ",500"])
async def test_a_decimal_comma_makes_no_request_for_a_hundred_times_as_much(vendor, pool, written):
    browser = await signed_in(vendor.api, vendor.client.key)
    form = {"form_token": await browser.token(), "amount": written, "currency": "USDC", "minutes": "15"}
    made = await browser.post("/console/requests/new", form)
    assert made.status == 400
    assert "groups no thousands" in made.text
    assert await pool.fetchval("SELECT count(*) FROM nonces") == 0


async def test_commas_may_group_thousands(vendor, pool):
    browser = await signed_in(vendor.api, vendor.client.key)
    form = {"form_token": await browser.token(), "amount": "1,234,567.5", "currency": "USDC", "minutes": "15"}
    assert (await browser.post("/console/requests/new", form)).status == 303
    assert await pool.fetchval("SELECT amount FROM nonces") == 1_234_567_500_000
