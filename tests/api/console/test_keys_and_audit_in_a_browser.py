"""Keys, wallets and the audit in a real browser: by keyboard, narrow and wide, and what is shown once only.

Skipped, with the reason, where there is no Chromium.
"""

import re

import pytest
from playwright.async_api import expect
from solders.keypair import Keypair

from ledger.recipients import register_wallet
from localnet.payments import USDC
from tests.support.api_client import key_for
from tests.support.api_operations import prefix
from tests.support.chromium import faults, reading_at, running_chromium
from tests.support.ledger_rows import TOKEN_PROGRAM

pytestmark = pytest.mark.timeout(300)
PATIENCE_MS = 30_000
LONG = "a name without any space that has to be broken somewhere".replace(" ", "-") * 3


@pytest.fixture
async def browser():
    async with running_chromium() as running:
        expect.set_options(timeout=PATIENCE_MS)
        yield running


@pytest.fixture
async def admin_key(pool):
    return await key_for(pool, "operations", ("read", "write", "admin"))


async def filled(pool):
    """A wallet with a long name and an account in doubt, and a key of the same user; returns their names."""
    wallet, account = str(Keypair().pubkey()), str(Keypair().pubkey())
    await register_wallet(pool, address=wallet, user_id=LONG[:100], label=LONG, followed_from_slot=0)
    await pool.execute(
        "INSERT INTO token_accounts (address, recipient, mint, program, drift, gaps, heal_wanted_at, heal_reason)"
        " VALUES ($1, $2, $3, $4, 5, 1, now(), $5)",
        account, wallet, str(USDC), TOKEN_PROGRAM, LONG,
    )  # fmt: skip
    return wallet, account, prefix(await key_for(pool, LONG[:100]))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_nobody_is_kept_out_and_nothing_is_cut_off(vendor, pool, browser, admin_key, scheme, width):
    wallet, account, key = await filled(pool)
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}, "reduced_motion": "reduce"}
    async with reading_at(browser, vendor.api.url, admin_key, **options) as (page, complaints):
        for path in ("/console/audit", "/console/audit?show=doubt", f"/console/audit/{account}", "/console/keys",
                     "/console/keys/new", f"/console/keys/{key}/rotate", f"/console/keys/{key}/revoke",
                     "/console/wallets", "/console/wallets/new", f"/console/wallets/new?address={wallet}",
                     f"/console/wallets/{wallet}", f"/console/wallets/{wallet}/remove"):  # fmt: skip
            await page.goto(path)
            assert await faults(page) == [], path
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert complaints == []


async def test_a_key_is_made_by_keyboard_and_loading_its_page_again_makes_and_shows_none(vendor, pool, browser):
    async with reading_at(browser, vendor.api.url, vendor.client.key) as (page, complaints):
        await page.goto("/console/keys/new")
        await page.get_by_label("Name", exact=True).focus()
        await page.keyboard.type("by keyboard")
        reached = set()
        for _ in range(20):
            await page.keyboard.press("Tab")
            name = await page.evaluate("document.activeElement.name || document.activeElement.textContent.trim()")
            reached.add(name)
            if name == "key":
                await page.keyboard.type(vendor.client.key)
                await page.keyboard.press("Enter")
                break
        assert {"environment", "days", "read", "write", "bound", "final", "key"} <= reached
        await expect(page.get_by_role("heading", name="Your new key")).to_be_visible()
        key = await page.locator("#secret code").text_content()
        assert re.fullmatch(r"sk_live_\w+", key)
        assert page.url.endswith("/console/keys")
        for again in (page.reload, page.go_back, page.go_forward):
            await again()
            assert key not in await page.content()
        assert complaints == []
    assert await pool.fetchval("SELECT count(*) FROM api_keys WHERE name = 'by keyboard'") == 1


async def test_an_account_that_is_healed_says_so_in_the_open_page(vendor, pool, browser, admin_key):
    _, account, _ = await filled(pool)
    async with reading_at(browser, vendor.api.url, admin_key) as (page, complaints):
        await page.goto(f"/console/audit/{account}")
        await page.get_by_role("button", name="Heal now").click()
        await expect(page.get_by_text("Healing is ordered and waits for an indexer.")).to_be_visible()
        await expect(page.get_by_role("button", name="Heal now")).to_have_count(0)
        await page.evaluate("window.isTheSamePage = true")
        await pool.execute(
            "UPDATE backfill_requests SET status = 'done', finished_at = now(),"
            """ progress = '{"found": 5, "new": 2, "known": 3, "failed": 0, "accounts": 1, "accountsDone": 1}'"""
        )
        await expect(page.get_by_text("Healed: 5 transactions found, 2 of them new.")).to_be_visible()
        assert await page.evaluate("window.isTheSamePage")
        assert complaints == []
