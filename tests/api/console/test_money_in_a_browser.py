"""Pages of findings, jobs and settlements in a real browser: deciding about money, no barrier, nothing cut off.

Skipped, with the reason, where there is no Chromium.
"""

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from tests.support.api_client import key_for
from tests.support.chromium import reading_at, running_chromium
from tests.support.funded_jobs import ordered_job, waiting_payout
from tests.support.ledger_rows import book
from tests.support.reconciling import reconcile
from tests.support.settlement_rows import reserved
from tests.support.small_ledger import Merchant

pytestmark = pytest.mark.timeout(300)
PATIENCE_MS = 30_000
LONG = "a name that goes on and on-and-on-without-any-room-for-a-break-" * 2


@pytest.fixture
async def browser():
    async with running_chromium() as running:
        yield running


async def faults(page):
    """What axe finds that is serious or worse."""
    found = await Axe().run(page)
    return [
        (violation["id"], [node["html"][:120] for node in violation["nodes"]])
        for violation in found.response["violations"]
        if violation["impact"] in {"serious", "critical"}
    ]


async def test_a_refund_is_made_and_noted_by_keyboard_and_button(vendor, browser, pool, database_url):
    await vendor.paid(4_200_000)
    await reconcile(database_url)
    async with reading_at(browser, vendor.api.url, vendor.client.key) as (page, complaints):
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        await page.get_by_role("link", name="Reconciliation").click()
        await page.get_by_role("link", name="Look at it").focus()
        await page.keyboard.press("Enter")
        code = page.locator("img.code")
        await expect(code).to_be_visible()
        assert await code.evaluate("image => image.complete && image.naturalWidth > 0")
        await page.get_by_label("What is to be known").fill("the payer asked")
        await page.get_by_role("button", name="Write it down").click()
        await expect(page.get_by_text("the payer asked")).to_be_visible()
        back = await book(pool, vendor.wallet, vendor.buyer.pubkey(), 4_200_000, slot=200, finality="finalized")
        await page.reload()
        await page.get_by_role("button", name="This gave it back").click()
        await expect(page.locator("h1 .state")).to_have_text("given back")
        await expect(page.locator("#timeline")).to_contain_text(back)
        assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_nobody_is_kept_out_of_pages_of_money(vendor, pool, database_url, browser, scheme, width):
    key = await key_for(pool, "operations", ("read", "write", "admin"))
    size = {"width": width, "height": 800}
    options = {"color_scheme": scheme, "viewport": size, "reduced_motion": "reduce"}
    async with reading_at(browser, vendor.api.url, key, **options) as (page, complaints):
        page.set_default_timeout(PATIENCE_MS)
        for path in ("/console/reconciliation", "/console/jobs", "/console/payouts", "/console/x402"):
            await page.goto(path)
            assert await faults(page) == [], path
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
        await vendor.paid(123_456_789_012_345_678)
        await reconcile(database_url)
        job = await ordered_job(pool, vendor.wallet, name=LONG, client=LONG, provider=LONG, order={"text": LONG})
        await waiting_payout(pool, job)
        _, settlement = await reserved(pool, Merchant("merchant", vendor.wallet), memo=LONG, resource=LONG)
        await page.goto("/console/reconciliation")
        finding = await page.get_by_role("link", name="Look at it").get_attribute("href")
        for path in ("/console/reconciliation", finding, "/console/jobs", f"/console/jobs/{job}", "/console/payouts",
                     "/console/x402", f"/console/x402/{settlement}"):  # fmt: skip
            await page.goto(path)
            for summary in await page.locator("summary").all():
                await summary.click()
            assert await faults(page) == [], path
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert complaints == []
