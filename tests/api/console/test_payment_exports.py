"""Payments as files: all that the list shows, nothing else, to the unit, and nothing that a spreadsheet would run."""

import csv
import io
import json
from urllib.parse import urlencode

import pytest
from solders.keypair import Keypair

from tests.support.api_client import key_for
from tests.support.console_browser import rows_of_all_pages, signed_in
from tests.support.ledger_rows import book


@pytest.fixture
async def browser(vendor):
    return await signed_in(vendor.api, vendor.client.key)


async def exported(browser, form, **filters):
    """What a download holds, row by row."""
    seen = await browser.get(f"/console/payments/export?{urlencode({**filters, 'format': form})}")
    assert seen.status == 200, seen.text
    assert seen.headers["Content-Disposition"] == f'attachment; filename="payments.{form}"'
    assert seen.headers["Cache-Control"] == "no-store"
    if form == "csv":
        return list(csv.DictReader(io.StringIO(seen.body)))
    return [json.loads(line) for line in seen.body.splitlines()]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
async def test_all_pages_of_a_list_are_in_the_file_each_payment_once(vendor, browser, monkeypatch, form):
    monkeypatch.setattr("api.console.payment_exports._PAGE", 7)
    for slot in range(60):
        await vendor.paid(10**15 + slot, slot=slot // 2)
    rows = await exported(browser, form)
    assert [f"{row['signature']}/{row['path']}" for row in rows] == await rows_of_all_pages(
        browser, "/console/payments"
    )
    assert {row["amountBaseUnits"] for row in rows} == {str(10**15 + slot) for slot in range(60)}
    # As text, exactly: a double has no digit for the last ones.
    assert {row["amount"] for row in rows} >= {"1000000000", "1000000000.000059"}


@pytest.mark.parametrize("form", ["csv", "jsonl"])
async def test_the_filters_and_the_search_of_the_list_are_kept(vendor, browser, form):
    kept = await vendor.paid(5, finality="finalized")
    await vendor.paid(6)
    stranger = str(Keypair().pubkey())
    theirs = await book(vendor.pool, stranger, vendor.wallet, 8, memos=["for table 9"])
    for filters, wanted in (
        ({"status": "finalized"}, kept),
        ({"payer": stranger}, theirs),
        ({"q": "for table 9"}, theirs),
    ):
        page = await browser.get(f"/console/payments?{urlencode(filters)}")
        (link,) = [one["href"] for one in page.page.all("a") if one["href"].endswith(f"format={form}")]
        assert link == f"/console/payments/export?{urlencode(filters)}&format={form}"
        assert [row["signature"] for row in await exported(browser, form, **filters)] == [wanted]
    assert await exported(browser, form, payer=str(Keypair().pubkey())) == []
    for wrong in ("payer=nobody&format=csv", "format=xlsx", ""):
        assert (await browser.get(f"/console/payments/export?{wrong}")).status == 400


async def test_what_strangers_write_is_no_formula_in_a_spreadsheet(vendor, browser):
    attacks = ['=HYPERLINK("https://evil.example")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", 'a "b", c\n=2']
    for attack in attacks:
        signature = await vendor.paid(1_000_000, memos=[attack])
        await vendor.client.verify(vendor.proof(signature, "1", nonce=attack.strip().replace("\n", " ")))
    rows = await exported(browser, "csv")
    assert len(rows) == len(attacks)
    for row in rows:
        assert not [text for text in row.values() if text.startswith(("=", "+", "-", "@", "\t", "\r"))]
    as_written = {memo for row in await exported(browser, "jsonl") for memo in row["memos"]}
    assert as_written == set(attacks)
    assert {memo for row in rows for memo in json.loads(row["memos"])} == set(attacks)
    honoured = [row["claimNonce"] for row in rows if row["claimStatus"] == "confirmed"]
    assert "'+1" in honoured


async def test_a_file_holds_what_its_reader_may_see(vendor, pool):
    await vendor.paid(5, memos=["for the merchant alone"])
    rival = await signed_in(vendor.api, await key_for(pool, "rival"))
    for filters in ({}, {"recipient": vendor.wallet}, {"q": "for the merchant alone"}):
        assert await exported(rival, "jsonl", **filters) == []
    reader = await signed_in(vendor.api, await key_for(pool, permissions=["read"]))
    assert len(await exported(reader, "csv")) == 1
