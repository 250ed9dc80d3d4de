"""Settlements over x402 as pages: whose they are, where they stand, and what is left for fees."""

import re

import pytest

from ledger.settlements import FailureReason, fail, note_sent
from tests.support.api_client import key_for
from tests.support.console_browser import signed_in
from tests.support.settlement_rows import LAMPORTS, reserved
from tests.support.small_ledger import add_merchant

HERE = "/console/x402"


def rows_of(seen):
    return re.findall(r'data-row="([^"]+)"', seen.body)


@pytest.fixture
async def merchant(pool):
    return await add_merchant(pool, "merchant", 60)


@pytest.fixture
async def browser(vendor, merchant, pool):
    return await signed_in(vendor.api, await key_for(pool, "merchant"))


@pytest.fixture
async def admin_browser(vendor, pool):
    return await signed_in(vendor.api, await key_for(pool, "operations", ("read", "write", "admin")))


async def test_without_settlements_the_page_says_what_to_do(browser):
    seen = await browser.get(HERE)
    assert "Point your seller's facilitator at /x402" in seen.text
    assert "0.1 SOL of 0.1 SOL are left today" in seen.text
    assert "No settlement is failed" in (await browser.get(f"{HERE}?standing=failed")).text
    assert (await browser.get(f"{HERE}?standing=nonsense")).status == 400


async def test_a_settlement_shows_where_it_stands_and_what_it_costs(browser, admin_browser, merchant, pool):
    payment, settlement = await reserved(pool, merchant, 2_500_000, memo="order 7")
    seen = await browser.get(f"{HERE}/{settlement}")
    for text in ("2.5", "pending", payment.payer, merchant.wallet, "https://shop.example/report", "order 7",
                 payment.signature, "at most 0.000010001 SOL", "signed by the fee payer"):  # fmt: skip
        assert text in seen.text, text
    await note_sent(pool, [settlement])
    assert await fail(pool, settlement, reason=FailureReason.NEVER_LANDED, detail=None)
    failed = await browser.get(f"{HERE}/{settlement}")
    assert "invalid_transaction_state" in failed.text
    assert "0 SOL , of 0.000010001 SOL at most" in failed.text
    assert rows_of(await browser.get(f"{HERE}?standing=failed")) == [str(settlement)]
    assert rows_of(await browser.get(f"{HERE}?standing=pending")) == []
    own, everybody = await browser.get(HERE), await admin_browser.get(HERE)
    left = 100_000_000 - LAMPORTS
    assert f"0.{left:09d} SOL of 0.1 SOL are left today (UTC) for the fees of your payments" in own.text
    assert "of 1 SOL are left today (UTC) for the fees of all payments" in everybody.text
    assert rows_of(everybody) == [str(settlement)]


async def test_the_pages_together_are_all_of_a_merchants(browser, admin_browser, merchant, pool):
    other = await add_merchant(pool, "rival", 61)
    mine = [str((await reserved(pool, merchant))[1]) for _ in range(60)]
    theirs = (await reserved(pool, other))[1]
    path, listed = HERE, []
    while path:
        seen = await browser.get(path)
        listed += rows_of(seen)
        (older,) = seen.page.all("a", rel="next") or [{"href": None}]
        path = older["href"]
    assert listed == mine[::-1]
    assert len(rows_of(await admin_browser.get(HERE))) == 50
    assert (await admin_browser.get(f"{HERE}/{theirs}")).status == 200
    for hidden in (f"{HERE}/{theirs}", f"{HERE}/nonsense", f"{HERE}/00000000-0000-0000-0000-000000000000"):
        assert (await browser.get(hidden)).status == 404, hidden
    assert (await browser.get(f"{HERE}?cursor=nonsense")).status == 400
