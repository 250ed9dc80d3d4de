"""The console in a real browser: news without reloading, nothing that runs or is loaded from elsewhere, no barrier.

Skipped, with the reason, where there is no Chromium.
"""

import datetime as dt
import re

import pytest
from playwright.async_api import expect

from ledger.api_keys import revoke_key
from tests.support.api_client import key_for
from tests.support.api_operations import prefix
from tests.support.chromium import faults, reading_at, running_chromium
from tests.support.feed_publishing import log_event, publish

pytestmark = pytest.mark.timeout(300)
# Where nobody waits for the screen, a busy machine may take its time.
PATIENCE_MS = 30_000
ATTACKS = [
    "<script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "<svg onload=document.title='owned'>",
]  # fmt: skip


@pytest.fixture
async def browser():
    async with running_chromium() as running:
        yield running


@pytest.fixture
async def reader(vendor, browser):
    """A page at the overview, signed in; nothing may be complained of in it."""
    async with reading_at(browser, vendor.api.url, vendor.client.key) as (page, complaints):
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        yield page
        assert complaints == []


async def arrives(vendor, pool, amount, **columns):
    """A payment is recorded and published, as indexer and worker do it."""
    signature = await vendor.paid(amount, **columns)
    await log_event(pool, "transfer.confirmed", None, signature, path="0", slot=100)
    await publish(pool)
    return signature


async def filled(vendor, pool):
    """Some of everything: honoured and other payments, memos that attack, requests in every state."""
    for number, attack in enumerate(ATTACKS):
        signature = await arrives(vendor, pool, 1_000_000 + number, memos=[attack], block_time=dt.datetime.now(dt.UTC))
        await vendor.client.verify(vendor.proof(signature, f"1.00000{number}"))
        asked = await vendor.requested(1_000 + number, resource=attack, seconds=900 if number else -1)
        await vendor.paid(500, memos=[asked["nonce"]])
    return signature, asked["nonce"]


async def hooked(pool):
    """A webhook with a delivery that has failed; returns its id."""
    hook = await pool.fetchval(
        "INSERT INTO webhooks (user_id, environment, url) VALUES ('merchant', 'live', $1) RETURNING id",
        "https://receiver.example/a-long-path-that-has-to-be-broken-somewhere/and-on-and-on/and-on",
    )
    await pool.execute(
        "INSERT INTO webhook_secrets (webhook_id, secret, signing_seed, public_key) VALUES ($1, '', '', '')", hook
    )
    await pool.execute(
        """
        INSERT INTO webhook_deliveries
          (webhook_id, feed_id, status, tries, answer_status, answer_ms, answer_start, error)
        SELECT $1, max(id), 'failed', 9, 500, 12, $2, 'it answered 500' FROM feed
        """,
        hook, ATTACKS[0],
    )  # fmt: skip
    return hook


async def test_a_payment_appears_in_the_open_page(reader, vendor, pool):
    await expect(reader.get_by_text("Live", exact=True)).to_be_visible()
    await reader.evaluate("window.isTheSamePage = true")
    await arrives(vendor, pool, 4_200_000, memos=["while you look"])
    await expect(reader.get_by_text("while you look")).to_be_visible()
    await expect(reader.get_by_role("status")).to_contain_text("4.2 USDC")
    assert await reader.evaluate("window.isTheSamePage")


async def test_a_request_is_made_and_turns_paid_before_ones_eyes(reader, vendor, pool):
    await reader.get_by_role("link", name="Request a payment").click()
    await reader.get_by_label("Amount", exact=True).fill("0.25")
    await reader.get_by_label("What for").fill("one coffee")
    await reader.get_by_role("button", name="Request it").click()
    code = reader.locator("img.code")
    await expect(code).to_be_visible()
    assert await code.evaluate("image => image.complete && image.naturalWidth > 0")
    await expect(reader.get_by_text("Live", exact=True)).to_be_visible()
    nonce = reader.url.rpartition("/")[2]
    signature = await arrives(vendor, pool, 250_000, memos=[nonce])
    assert (await vendor.client.verify(vendor.proof(signature, "0.25", nonce=nonce))).code == "VALID"
    await publish(pool)
    await expect(reader.locator("#standing .state")).to_have_text("paid")
    await expect(code).to_have_count(0)


async def test_what_strangers_write_runs_nowhere(reader, vendor, pool):
    signature, nonce = await filled(vendor, pool)
    for path in ("/console", "/console/payments", f"/console/payments/{signature}", "/console/requests",
                 f"/console/requests/{nonce}"):  # fmt: skip
        await reader.goto(path)
        # News of before the stream is open is on the page that is asked for then, and is not announced.
        await expect(reader.locator("#live-state")).to_have_text("Live")
        await arrives(vendor, pool, 7, memos=[ATTACKS[0], ATTACKS[1]])
        await expect(reader.get_by_role("status")).not_to_be_empty()
        assert "owned" not in await reader.title()
        assert await reader.locator("main script, main img:not(.code), main [onload], main [onerror]").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_nobody_is_kept_out_and_nothing_is_cut_off(vendor, pool, browser, scheme, width):
    signature, nonce = await filled(vendor, pool)
    hook = await hooked(pool)
    size = {"width": width, "height": 800}
    options = {"color_scheme": scheme, "viewport": size, "reduced_motion": "reduce"}
    async with reading_at(browser, vendor.api.url, vendor.client.key, **options) as (page, complaints):
        for path in ("/console", "/console/payments", f"/console/payments/{signature}", "/console/requests",
                     "/console/requests/new", f"/console/requests/{nonce}", "/console/payments?q=nothing",
                     "/console/webhooks", f"/console/webhooks/{hook}"):  # fmt: skip
            await page.goto(path)
            assert await faults(page) == [], path
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert complaints == []
        await page.get_by_role("button", name="Sign out").click()
        await page.wait_for_url("**/console/sign-in")
        assert await faults(page) == []


async def test_the_keyboard_reaches_everything(reader):
    await reader.keyboard.press("Tab")
    assert await reader.evaluate("document.activeElement.textContent") == "Skip to the content"
    await reader.keyboard.press("Enter")
    assert await reader.evaluate("document.activeElement.id") == "content"
    await reader.goto("/console/requests/new")
    seen = set()
    for _ in range(30):
        await reader.keyboard.press("Tab")
        seen.add(await reader.evaluate("document.activeElement.name || document.activeElement.textContent.trim()"))
    assert {"amount", "currency", "resource", "recipient", "minutes", "exact", "Request it", "Sign out", "q"} <= seen


async def test_times_are_in_the_readers_zone_with_utc_beside(vendor, browser):
    await vendor.paid(5, block_time=dt.datetime(2026, 1, 31, 23, 30, tzinfo=dt.UTC))
    options = {"timezone_id": "Asia/Tokyo", "locale": "en-GB"}
    async with reading_at(browser, vendor.api.url, vendor.client.key, **options) as (page, _):
        time = page.locator("#feed time").first
        await expect(time.locator(".local")).to_have_text(re.compile(r"1 Feb 2026, 0?8:30:00"))
        await expect(time.locator(".utc")).to_have_text("31 Jan 2026, 23:30:00 UTC")


async def test_an_open_page_leads_to_the_sign_in_when_its_session_ends(vendor, browser, pool):
    key = await key_for(pool)
    async with reading_at(browser, vendor.api.url, key) as (page, _):
        await expect(page.get_by_text("Live", exact=True)).to_be_visible(timeout=PATIENCE_MS)
        await revoke_key(pool, prefix(key), await pool.fetchval("SELECT clock_timestamp()"))
        await page.wait_for_url("**/console/sign-in?to=**", timeout=PATIENCE_MS)


async def test_no_script_and_no_html_can_be_brought_into_a_page(vendor, browser):
    async with reading_at(browser, vendor.api.url, vendor.client.key) as (page, complaints):
        await page.evaluate(
            """() => {
              const script = document.createElement("script");
              try { script.textContent = "document.title = 'owned'"; document.head.append(script); } catch {}
              try { document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='document.title=1'>"); } catch {}
              try { document.body.setAttribute("onclick", "document.title = 'owned'"); document.body.click(); } catch {}
            }"""
        )
        assert "Overview" in await page.title()
        assert complaints


async def test_no_other_page_shows_the_console_in_a_frame(vendor, browser):
    async with reading_at(browser, vendor.api.url, vendor.client.key) as (page, _):
        other = await page.context.new_page()
        await other.route("https://evil.example/", lambda route: route.fulfill(
            content_type="text/html", body=f'<iframe src="{vendor.api.url}/console"></iframe>'
        ))  # fmt: skip
        await other.goto("https://evil.example/")
        frame = next(one for one in other.frames if one != other.main_frame)
        assert "Overview" not in await frame.content()
        assert await frame.locator("main").count() == 0
