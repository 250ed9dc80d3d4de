"""The audit as pages: a light with its reason for each account, where changes are missing, and healing on demand."""

import asyncio

import pytest
from solders.keypair import Keypair

from indexer.context import open_context
from indexer.index_requests import IndexRequests
from ledger.index_requests import Stretch, note_backfill_progress, request_backfill, take_backfill
from ledger.recipients import register_wallet
from localnet import payments as pay
from localnet.payments import USDC
from runtime.process import working
from tests.support.api_client import key_for, running_api
from tests.support.console_browser import rows_of_all_pages, signed_in
from tests.support.ledger_checks import eventually, fast_settings
from tests.support.ledger_rows import TOKEN_PROGRAM, book, new_signature


def new_address():
    return str(Keypair().pubkey())


@pytest.fixture
async def browser(vendor):
    return await signed_in(vendor.api, vendor.client.key)


@pytest.fixture
async def operator(vendor, pool):
    return await signed_in(vendor.api, await key_for(pool, "operations", ("read", "write", "admin")))


async def account_of(pool, wallet, **columns):
    """A token account of a followed wallet; returns its address."""
    row = {"address": new_address(), "recipient": wallet, "mint": str(USDC), "program": TOKEN_PROGRAM, **columns}
    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    await pool.execute(f"INSERT INTO token_accounts ({', '.join(row)}) VALUES ({places})", *row.values())
    return row["address"]


async def changed(pool, account, slot, pre, post, finality="finalized"):
    """A balance change of an account."""
    await pool.execute(
        """
        INSERT INTO balance_changes (signature, account, slot, mint, pre, post, finality)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        new_signature(), account, slot, str(USDC), pre, post, finality,
    )  # fmt: skip


async def proven(pool, account, slot, balance):
    await pool.execute(
        "UPDATE token_accounts SET audited_slot = $2, audited_balance = $3, audited_at = now() WHERE address = $1",
        account, slot, balance,
    )  # fmt: skip


async def test_without_accounts_the_page_says_what_to_do(browser):
    seen = await browser.get("/console/audit")
    assert seen.status == 200
    assert seen.page.all("p", **{"class": "empty"})
    assert "Register a wallet" in seen.text
    assert "agree about every account" in (await browser.get("/console/audit?show=doubt")).text


@pytest.mark.parametrize(
    ("columns", "light", "said"),
    [
        ({}, "doubtful", "No audit has looked at it yet"),
        ({"drift": 1_500_001, "gaps": 0}, "bad", "The chain has 1.500001 USDC more than the ledger."),
        ({"drift": -7, "gaps": 3}, "bad", "The chain has 0.000007 USDC less than the ledger, and changes are"),
        ({"gaps": 2}, "bad", "Changes are missing in 2 places."),
        ({"lost_slot": 77}, "doubtful", "It belongs to somebody else since slot 77"),
    ],
)  # fmt: skip
async def test_each_account_has_one_light_with_its_reason(vendor, browser, pool, columns, light, said):
    account = await account_of(pool, vendor.wallet, **columns)
    for path in ("/console/audit", f"/console/audit/{account}"):
        assert f"{light}: {said}" in (await browser.get(path)).text
    assert ((await browser.get("/console/audit?show=doubt")).rows == [account]) == (light == "bad")


async def test_a_proven_account_is_good_until_nobody_audits_it_any_more(vendor, browser, pool):
    account = await account_of(pool, vendor.wallet)
    await proven(pool, account, 5_000, 12_345_678)
    seen = await browser.get("/console/audit")
    assert "good: Every change is recorded up to slot 5,000." in seen.text
    assert "12.345678 USDC" in seen.text
    await book(pool, vendor.buyer.pubkey(), vendor.wallet, 5, destination=account)
    await pool.execute("UPDATE transfers SET awaits_witness_since = now(), contested_at = now()")
    seen = await browser.get(f"/console/audit/{account}")
    assert "bad: Nodes contradict each other about 1 transfers to it." in seen.text
    assert seen.page.all("a", href=f"/console/payments/{await pool.fetchval('SELECT signature FROM transfers')}")
    await pool.execute("UPDATE transfers SET awaits_witness_since = NULL, contested_at = NULL")
    await pool.execute("UPDATE token_accounts SET heal_wanted_at = now(), heal_reason = 'somebody asked'")
    seen = await browser.get(f"/console/audit/{account}")
    assert "doubtful: Proven up to slot 5,000, and its history is to be walked again." in seen.text
    assert "somebody asked" in seen.text
    await pool.execute("UPDATE token_accounts SET audited_at = now() - interval '2 hours'")
    assert "doubtful: No audit has looked at it for more than an hour" in (await browser.get("/console/audit")).text


async def test_an_account_shows_what_the_ledger_ends_with_and_where_changes_are_missing(vendor, browser, pool):
    account = await account_of(pool, vendor.wallet, gaps=2, drift=5)
    await proven(pool, account, 100, 1_000)
    for slot, pre, post in ((110, 1_000, 3_000), (150, 4_000, 6_000), (175, 6_000, 7_000), (200, 8_000, 9_500_000)):
        await changed(pool, account, slot, pre, post)
    # What is not final yet is not added up: another of its slot may be on its way.
    await changed(pool, account, 300, 0, 1, finality="confirmed")
    seen = await browser.get(f"/console/audit/{account}")
    assert "After slot 110 and by slot 150 After slot 175 and by slot 200" in seen.text
    assert "slot 300" not in seen.text
    assert "9.5 USDC by what is final, up to slot 200" in seen.text
    assert "0.001 USDC at slot 100" in seen.text
    assert "no node answers now" in seen.text
    assert "0.000005 USDC at the last audit, chain less ledger" in seen.text


async def test_too_many_changes_are_not_added_up_for_a_page(vendor, browser, pool, monkeypatch):
    monkeypatch.setattr("api.console.accounts.CHANGES_MAX", 2)
    account = await account_of(pool, vendor.wallet)
    for slot in range(3):
        await changed(pool, account, slot, slot, slot + 1)
    assert "too many to add up here" in (await browser.get(f"/console/audit/{account}")).text
    await proven(pool, account, 1, 2)
    assert "0.000003 USDC by what is final" in (await browser.get(f"/console/audit/{account}")).text


async def test_accounts_are_listed_page_by_page_each_once(vendor, browser, operator, pool, monkeypatch):
    monkeypatch.setattr("api.console.audit_routes._SHOWN", 4)
    wallets = [vendor.wallet, new_address()]
    await register_wallet(pool, address=wallets[1], user_id="merchant", label=None, followed_from_slot=0)
    other = new_address()
    await register_wallet(pool, address=other, user_id="rival", label="theirs", followed_from_slot=0)
    own = {await account_of(pool, wallet) for wallet in wallets for _ in range(5)}
    theirs = {await account_of(pool, other) for _ in range(3)}
    for one, expected in ((browser, own), (operator, own | theirs)):
        listed = await rows_of_all_pages(one, "/console/audit")
        assert len(listed) == len(expected)
        assert set(listed) == expected
    assert (await browser.get("/console/audit?after=nonsense")).status == 400
    await pool.execute("UPDATE recipients SET active = false WHERE user_id = 'merchant'")
    assert (await browser.get("/console/audit")).rows == []


async def test_an_operator_orders_healing_once_however_often_the_button_is_pressed(vendor, operator, pool):
    account = await account_of(pool, vendor.wallet, gaps=1)
    form = {"form_token": await operator.token()}
    pressed = [await operator.post(f"/console/audit/{account}/heal", form) for _ in range(3)]
    both = await asyncio.gather(*(operator.post(f"/console/audit/{account}/heal", form) for _ in range(4)))
    assert {one.status for one in (*pressed, *both)} == {303}
    (location,) = {one.location for one in (*pressed, *both)}
    (order,) = await pool.fetch("SELECT * FROM backfill_requests")
    assert (order["recipient"], order["status"]) == (vendor.wallet, "queued")
    assert location == f"/console/audit/{account}?order=backfill-{order['id']}"
    (event,) = await pool.fetch("SELECT * FROM events WHERE type = 'backfill.requested'")
    assert (event["subject"], event["data"]["recipient"]) == (str(order["id"]), vendor.wallet)
    seen = await operator.get(location)
    assert "Healing is ordered and waits for an indexer." in seen.text
    assert not seen.page.all("form", action=f"/console/audit/{account}/heal")
    # An indexer takes it up: nothing is ordered beside what is under way.
    taken, _ = await take_backfill(pool, dead_seconds=60)
    progress = {"found": 5, "new": 2, "known": 3, "failed": 0, "accounts": 3, "accountsDone": 1, "seconds": 0.5}
    await note_backfill_progress(pool, taken, progress)
    assert (await operator.post(f"/console/audit/{account}/heal", form)).location == location
    assert "1 of 3 accounts, 5 transactions found, 2 of them new" in (await operator.get(location)).text
    assert await pool.fetchval("SELECT count(*) FROM backfill_requests") == 1


async def test_the_same_order_waits_once_for_whoever_orders_it(vendor, pool):
    admin = vendor.api.holding(await key_for(pool, "operations", ("admin",)))
    order = {"recipient": vendor.wallet, "fromSlot": 5}
    first, again = [(await admin.post("/ops/backfill", order))["jobId"] for _ in range(2)]
    assert first == again
    assert (await admin.post("/ops/backfill", {"recipient": vendor.wallet}))["jobId"] != first
    await take_backfill(pool, dead_seconds=60)
    # What is worked on may have passed what is meant now.
    asked = await request_backfill(pool, Stretch(recipient=vendor.wallet, from_slot=5), requested_by="test")
    assert f"backfill-{asked}" != first
    assert await pool.fetchval("SELECT count(*) FROM events WHERE type = 'backfill.requested'") == 3


async def test_the_button_brings_back_what_was_missed(market, net, database_url, redis_url, pool):
    payer, wallet = market.payers[0], market.recipients[0].pubkey()
    signature = await market.pay(pay.plain(payer.pubkey(), wallet, 777), payer)
    await market.settled()
    async with (
        open_context(fast_settings(), database_url, [net.rpc_url]) as context,
        running_api(database_url, redis_url, [net.rpc_url]) as client,
    ):
        await context.load()
        operator = await signed_in(client, await key_for(pool, "operations", ("read", "admin")))
        account = str(pay.token_account(wallet, USDC))
        # The node is asked what is there now; the ledger does not know of it yet.
        await eventually(lambda: _says(operator, f"/console/audit/{account}", "0.000777 USDC at slot"))
        assert not await pool.fetchval("SELECT count(*) FROM transfers WHERE signature = $1", signature)
        pressed = await operator.post(f"/console/audit/{account}/heal", {"form_token": await operator.token()})
        async with working(IndexRequests(context).run()):
            await eventually(lambda: _says(operator, pressed.location, "The next audit says whether that was all."))
        assert await pool.fetchval("SELECT count(*) FROM transfers WHERE signature = $1", signature) == 1


async def _says(browser, path, text):
    return text in (await browser.get(path)).text
