"""The console's pages: they say what the JSON routes say, to the unit, and find what one has in hand."""

import datetime as dt
import re
from urllib.parse import quote, urlencode

import pytest
from solders.keypair import Keypair

from ledger.recipients import register_wallet
from ledger.times import epoch_ms
from localnet.payments import USDC
from tests.support.api_client import key_for
from tests.support.console_browser import signed_in
from tests.support.ledger_rows import book

HOUR = dt.timedelta(hours=1)


@pytest.fixture
async def browser(vendor):
    return await signed_in(vendor.api, vendor.client.key)


def rows_of(seen):
    return re.findall(r'data-row="([^"]+)"', seen.body)


@pytest.mark.parametrize("path", ["/console", "/console/payments", "/console/requests"])
async def test_a_page_without_data_says_what_to_do(browser, path):
    seen = await browser.get(path)
    assert seen.status == 200
    assert seen.page.all("p", **{"class": "empty"})
    assert rows_of(seen) == []


async def test_amounts_are_exact_and_times_are_utc_for_whoever_runs_no_script(vendor, browser, pool):
    at = dt.datetime(2026, 3, 1, 23, 59, 58, tzinfo=dt.UTC)
    signature = await vendor.paid(12_345_678_900_001, block_time=at, memos=["order 7"])
    for path in ("/console", "/console/payments", f"/console/payments/{signature}"):
        seen = await browser.get(path)
        assert "12,345,678.900001" in seen.text, path
        assert "1 Mar 2026, 23:59:58 UTC" in seen.text
        assert seen.page.all("time", datetime="2026-03-01T23:59:58.000Z")
        assert "order 7" in seen.text


async def test_the_pages_of_payments_are_those_of_the_route_for_programs(vendor, browser):
    for slot in range(120):
        await vendor.paid(1_000 + slot, slot=slot)
    path, listed = "/console/payments", []
    while path:
        seen = await browser.get(path)
        listed += rows_of(seen)
        (older,) = seen.page.all("a", rel="next") or [{"href": None}]
        path = older["href"]
    answered = (await vendor.client.get("/payments?limit=500"))["payments"]
    assert listed == [f"{payment['signature']}/{payment['path']}" for payment in answered]
    assert len(listed) == 120


async def test_payments_are_filtered_as_the_route_for_programs_filters_them(vendor, browser, pool):
    wallet = str(Keypair().pubkey())
    await register_wallet(pool, address=wallet, user_id="merchant", label=None, followed_from_slot=0)
    other = await book(pool, vendor.buyer.pubkey(), wallet, 5)
    final = await vendor.paid(6, finality="finalized")
    undone = await vendor.paid(7, finality="orphaned")
    stranger = str(Keypair().pubkey())
    theirs = await book(pool, stranger, vendor.wallet, 8)

    async def shown(**filters):
        return {row.partition("/")[0] for row in rows_of(await browser.get(f"/console/payments?{urlencode(filters)}"))}

    assert await shown(recipient=wallet) == {other}
    assert await shown(payer=stranger) == {theirs}
    assert await shown(status="finalized") == {final}
    assert await shown(status="reversed") == {undone}
    assert await shown(currency="usdc") == {other, final, undone, theirs}
    assert await shown(currency="USDC", status="confirmed", recipient=vendor.wallet) == {final, theirs}
    wrong = await browser.get("/console/payments?payer=nobody")
    assert (wrong.status, rows_of(wrong)) == (400, [])
    assert "Payer is no Solana address" in wrong.text


async def test_whatever_one_has_in_hand_leads_to_the_payment(vendor, browser, pool):
    signature = await vendor.paid(1_234_500, memos=["for table 9"])
    asked = await vendor.requested(77_000)
    verified = await vendor.client.verify(vendor.proof(signature, "1.2345", nonce="nonce-of-theirs"))
    assert verified.code == "VALID"

    async def searched(text):
        seen = await browser.get(f"/console/payments?{urlencode({'q': text})}")
        return seen.location or {row.partition("/")[0] for row in rows_of(seen)}

    payment = f"/console/payments/{signature}"
    assert await searched(f" {signature} ") == payment
    assert await searched("nonce-of-theirs") == payment
    assert await searched(asked["nonce"]) == f"/console/requests/{quote(asked['nonce'])}"
    assert await searched(str(vendor.buyer.pubkey())) == f"/console/payments?payer={vendor.buyer.pubkey()}"
    assert await searched(vendor.wallet) == f"/console/payments?recipient={vendor.wallet}"
    for text in ("for table 9", "1.2345", "1.23450 usdc", "1.2345 USDC"):
        assert await searched(text) == {signature}, text
    for text in ("1.2346", "1.2345 SOL", "table 9", "nothing", "0", "-1", "1e400", "\0"):
        assert await searched(text) == set(), text


async def test_the_time_line_shows_what_became_of_a_payment(vendor, browser, pool):
    signature = await vendor.paid(10_000)
    await pool.execute(
        "INSERT INTO events (type, subject, data) SELECT 'transfer.confirmed', $1, unnest($2::jsonb[])",
        signature, [{"path": "0"}, {"path": "another merchant's"}],
    )  # fmt: skip
    assert (await vendor.client.verify(vendor.proof(signature))).code == "VALID"
    seen = await browser.get(f"/console/payments/{signature}")
    moments = seen.text[seen.text.index("What happened") :]
    assert moments.index("Seen: confirmed on chain") < moments.index("Honoured: a claim took it")
    assert moments.count("Seen: confirmed on chain") == 1
    assert "10000" in seen.text
    assert "another merchant" not in seen.text


async def test_a_request_is_made_shown_with_its_code_and_turns_paid(vendor, browser, pool):
    form = {"form_token": await browser.token(), "amount": "1,000.5", "currency": "USDC", "resource": "a report",
            "recipient": vendor.wallet, "minutes": "60", "exact": "yes"}  # fmt: skip
    made = await browser.post("/console/requests/new", form)
    nonce = made.location.rpartition("/")[2]
    answered = await vendor.client.get(f"/payments/requests/{nonce}")
    assert (answered["amountBaseUnits"], answered["scheme"], answered["resource"]) == (
        "1000500000",
        "exact",
        "a report",
    )
    assert abs(answered["expiresAt"] - epoch_ms(dt.datetime.now(dt.UTC) + HOUR)) < 60_000
    seen = await browser.get(made.location)
    assert "1,000.5" in seen.text
    assert seen.page.all("a", href=answered["solanaPayUrl"])
    code = await browser.get(f"{made.location}/code")
    assert (code.status, code.headers["Content-Type"]) == (200, "image/svg+xml")
    assert code.body.startswith("<svg")
    await vendor.paid(1_000_500_000, memos=[nonce])
    assert "Received 1,000.5" in (await browser.get(made.location)).text
    proof = vendor.proof((await pool.fetchval("SELECT signature FROM transfers")), "1000.5", nonce=nonce)
    assert (await vendor.client.verify(proof)).code == "VALID"
    seen = await browser.get(made.location)
    assert "Paid by" in seen.text
    assert not seen.page.all("img", **{"class": "code"})


@pytest.mark.parametrize(
    ("received", "columns", "said"),
    [
        (900, {}, "Short:"),
        (1_100, {}, "Over:"),
        (1_000, {"late": True}, "Late:"),
    ],
)
async def test_a_request_that_was_paid_otherwise_says_what_to_do(vendor, browser, received, columns, said):
    asked = await vendor.requested(1_000, seconds=-5 if columns else 900)
    await vendor.paid(received, memos=[asked["nonce"]], block_time=dt.datetime.now(dt.UTC))
    seen = await browser.get(f"/console/requests/{asked['nonce']}")
    assert said in seen.text


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"amount": "0"}, "must be more than 0"),
        ({"amount": "1.2345678"}, "more than the 6 decimals"),
        ({"amount": "much"}, "must be a decimal number"),
        ({"amount": ""}, "Amount"),
        ({"currency": "NONE"}, "not known"),
        ({"minutes": "1"}, "Choose how long"),
        ({"recipient": str(Keypair().pubkey())}, "not a wallet of yours"),
    ],
)
async def test_a_form_that_is_filled_in_wrongly_comes_back_as_it_was_filled_in(browser, pool, wrong, said):
    form = {"amount": "1", "currency": "USDC", "resource": 'tea & "cake"', "minutes": "15", **wrong}
    seen = await browser.post("/console/requests/new", {**form, "form_token": await browser.token()})
    assert seen.status == 400
    assert said in seen.text
    (field,) = seen.page.all("input", name="resource")
    assert field["value"] == 'tea & "cake"'
    assert await pool.fetchval("SELECT count(*) FROM nonces") == 0


async def test_requests_are_listed_page_by_page_as_for_programs(vendor, browser, pool):
    nonces = [(await vendor.requested(n + 1))["nonce"] for n in range(7)]
    # Some at the very same moment: the nonce decides then.
    await pool.execute("UPDATE nonces SET created_at = now() WHERE nonce = ANY($1)", nonces[2:5])
    admin = vendor.api.holding(await key_for(pool, "operations", ("read", "admin")))
    for client in (vendor.client, admin):
        listed, cursor = [], ""
        while cursor is not None:
            page = await client.get(f"/payments/requests?limit=2{f'&cursor={cursor}' if cursor else ''}")
            listed += [asked["nonce"] for asked in page["requests"]]
            cursor = page["nextCursor"]
        assert sorted(listed) == sorted(nonces)
        assert len(set(listed)) == 7
    assert rows_of(await browser.get("/console/requests")) == [
        asked["nonce"] for asked in (await vendor.client.get("/payments/requests"))["requests"]
    ]
    assert (await vendor.api.holding(await key_for(pool, "rival")).get("/payments/requests"))["requests"] == []
    for cursor in ("nonsense", "MS8", "%00", "é"):
        assert (await vendor.client.get(f"/payments/requests?cursor={quote(cursor)}")).status == 400


async def test_the_overview_adds_up_what_was_honoured_by_token_and_day(vendor, browser):
    for amount in (1_000_000, 2_500_001):
        assert (
            await vendor.client.verify(vendor.proof(await vendor.paid(amount), str(amount / 10**6)))
        ).code == "VALID"
    await vendor.requested()
    seen = await browser.get("/console")
    assert "Today 3.500001 7 days 3.500001 30 days 3.500001" in seen.text
    assert "1 open." in seen.text
    assert len(seen.page.all("rect")) == 30
    assert sum(int(bar["height"]) > 0 for bar in seen.page.all("rect")) == 1


async def test_the_light_says_for_each_part_why(vendor, browser, pool):
    seen = await browser.get("/console")
    assert "The ledger needs attention." in seen.text
    assert "No indexer has shown life" in seen.text
    await pool.execute(
        """
        INSERT INTO token_accounts (address, recipient, mint, program, drift, gaps)
        VALUES ($1, $2, $3, $1, 5, 2)
        """,
        str(Keypair().pubkey()), vendor.wallet, str(USDC),
    )  # fmt: skip
    assert "disagree about 1 accounts, with 2 gaps" in (await browser.get("/console")).text
    rival = await signed_in(vendor.api, await key_for(pool, "rival"))
    assert "disagree" not in (await rival.get("/console")).text
    assert "Nodes" not in (await rival.get("/console")).text
    admin = await signed_in(vendor.api, await key_for(pool, "operations", ("read", "admin")))
    assert "Nodes good: They agree about every transfer." in (await admin.get("/console")).text
