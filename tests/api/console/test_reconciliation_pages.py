"""Reconciliation as pages: what did not match, what it means, and deciding about it."""

import csv
import io
import json
import re

import pytest

from tests.support.api_client import key_for
from tests.support.console_browser import signed_in
from tests.support.ledger_rows import Vendor, book
from tests.support.reconciling import reconcile

HERE = "/console/reconciliation"


@pytest.fixture
async def browser(vendor):
    return await signed_in(vendor.api, vendor.client.key)


def rows_of(seen):
    return re.findall(r'data-row="([^"]+)"', seen.body)


async def unmatched(vendor, browser, database_url, amount=5_250_000):
    """The address of the page of a payment that nobody claimed, and its signature."""
    signature = await vendor.paid(amount)
    await reconcile(database_url)
    (found,) = rows_of(await browser.get(HERE))
    return f"{HERE}/{found}", signature


async def test_without_a_report_and_without_findings_the_page_says_what_to_do(browser, database_url):
    seen = await browser.get(HERE)
    assert "Nothing was reconciled yet" in seen.text
    await reconcile(database_url)
    seen = await browser.get(HERE)
    assert "Nothing waits for you" in seen.text
    assert seen.page.all("a", href=f"{HERE}?state=")
    assert "No finding is like that" in (await browser.get(f"{HERE}?kind=latePayment")).text
    assert (await browser.get(f"{HERE}?kind=nonsense")).status == 400


async def test_a_finding_says_what_it_means_and_whose_it_is(vendor, browser, database_url):
    page, signature = await unmatched(vendor, browser, database_url)
    seen = await browser.get(HERE)
    for text in ("Unmatched transfer", "5.25", "USDC", "(1 open of 1)"):
        assert text in seen.text
    one = await browser.get(page)
    for text in ("nobody has claimed it", "5.25", str(vendor.buyer.pubkey()), vendor.wallet, signature, "merchant"):
        assert text in one.text
    assert one.page.all("a", href=f"/console/payments/{signature}")
    code = await browser.get(f"{page}/code")
    assert (code.status, code.headers["Content-Type"]) == (200, "image/svg+xml")
    overview = await browser.get("/console")
    assert overview.page.all("a", href=f"{HERE}?kind=unmatchedTransfer")


async def test_it_is_accepted_noted_and_given_back_by_forms(vendor, browser, pool, database_url):
    page, _ = await unmatched(vendor, browser, database_url)
    token = await browser.token(page)
    noted = await browser.post(f"{page}/note", {"form_token": token, "note": "asked\r\nthe payer"})
    assert (noted.status, noted.location) == (303, page)
    assert await pool.fetchval("SELECT note FROM finding_decisions") == "asked\nthe payer"
    wrong = await browser.post(f"{page}/refund", {"form_token": token, "signature": "1" * 64})
    assert wrong.status == 409
    assert "no final transfer" in wrong.text
    short = await browser.post(f"{page}/refund", {"form_token": token, "signature": "1"})
    assert short.status == 400
    assert "Signature:" in short.text
    back = await book(pool, vendor.wallet, vendor.buyer.pubkey(), 5_250_000, slot=200, finality="finalized")
    offered = await browser.get(page)
    assert back in offered.text
    assert "This gave it back" in offered.text
    done = await browser.post(f"{page}/refund", {"form_token": token, "signature": back})
    assert (done.status, done.location) == (303, page)
    seen = await browser.get(page)
    assert "given back" in seen.text
    assert [form["action"] for form in seen.page.all("form", method="post")] == [
        "/console/sign-out", f"{page}/note", f"{page}/withdraw",
    ]  # fmt: skip
    assert (await browser.get(f"{page}/code")).status == 404
    assert rows_of(await browser.get(HERE)) == []
    assert len(rows_of(await browser.get(f"{HERE}?state=refunded"))) == 1
    # It was another payment that this gave back.
    assert "pays for nothing any more" in seen.text
    undone = await browser.post(f"{page}/withdraw", {"form_token": token, "signature": back})
    assert (undone.status, undone.location) == (303, page)
    seen = await browser.get(page)
    assert "withdrawn by merchant" in seen.text
    assert seen.page.all("form", action=f"{page}/withdraw") == []
    assert len(rows_of(await browser.get(HERE))) == 1
    wrong = await browser.post(f"{page}/withdraw", {"form_token": token, "signature": "1" * 64})
    assert wrong.status == 409
    assert "No refund by this transaction" in wrong.text


async def test_accepting_leaves_nothing_to_decide(vendor, browser, pool, database_url):
    page, _ = await unmatched(vendor, browser, database_url)
    done = await browser.post(f"{page}/accept", {"form_token": await browser.token(page)})
    assert (done.status, done.location) == (303, page)
    assert "Accepted by merchant" in (await browser.get(page)).text
    assert "left nothing to decide" in (await browser.get("/console")).text
    assert await pool.fetchval("SELECT count(*) FROM events WHERE type = 'finding.accepted'") == 1


async def test_what_is_shown_is_downloaded(vendor, browser, pool, database_url):
    await pool.execute("UPDATE recipients SET user_id = '=HYPERLINK(1)'")
    await vendor.paid(1_500_000)
    await vendor.paid(2)
    await reconcile(database_url)
    admin = await signed_in(vendor.api, await key_for(pool, "operations", ("read", "write", "admin")))
    table = await admin.get(f"{HERE}/findings.csv")
    assert table.headers["Content-Disposition"] == 'attachment; filename="findings.csv"'
    rows = list(csv.DictReader(io.StringIO(table.body)))
    assert {(row["amount"], row["amount_base_units"]) for row in rows} == {("1.5", "1500000"), ("0.000002", "2")}
    assert {row["user_id"] for row in rows} == {"'=HYPERLINK(1)"}
    answered = json.loads((await admin.get(f"{HERE}/findings.json")).body)
    assert [one["id"] for one in answered] == [row["id"] for row in rows] == rows_of(await admin.get(HERE))
    assert json.loads((await admin.get(f"{HERE}/findings.json?kind=latePayment")).body) == []
    assert json.loads((await browser.get(f"{HERE}/findings.json")).body) == []


async def test_the_pages_are_the_list_of_the_route_for_programs(vendor, browser, database_url):
    for n in range(120):
        await vendor.paid(1_000 + n)
    await reconcile(database_url)
    path, listed = HERE, []
    while path:
        seen = await browser.get(path)
        listed += rows_of(seen)
        (older,) = seen.page.all("a", rel="next") or [{"href": None}]
        path = older["href"]
    answered = (await vendor.client.get("/analytics/reconciliation/findings?limit=500"))["findings"]
    assert listed == [one["id"] for one in answered]
    assert len(listed) == 120


async def test_whose_finding_it_is_not_sees_none_and_a_reader_has_no_buttons(vendor, browser, pool, database_url):
    page, _ = await unmatched(vendor, browser, database_url)
    other = await Vendor(vendor.api, pool, "rival").open()
    rival = await signed_in(vendor.api, other.client.key)
    reader = await signed_in(vendor.api, await key_for(pool, permissions=["read"]))
    seen = await reader.get(page)
    assert [form["action"] for form in seen.page.all("form", method="post")] == ["/console/sign-out"]
    back = await book(pool, vendor.wallet, vendor.buyer.pubkey(), 5_250_000, slot=200, finality="finalized")
    form = {"note": "mine", "signature": back}
    for action in ("accept", "note", "refund", "withdraw"):
        assert (await reader.post(f"{page}/{action}", {"form_token": await reader.token(), **form})).status == 403
        assert (await rival.post(f"{page}/{action}", {"form_token": await rival.token(), **form})).status == 404
    assert (await rival.get(page)).status == (await rival.get(f"{page}/code")).status == 404
    assert rows_of(await rival.get(f"{HERE}?state=")) == []
    assert await pool.fetchval("SELECT count(*) FROM finding_decisions") == 0
