"""The report names every credit and everything that is amiss, also where nothing was ever honoured."""

import datetime as dt
import uuid

import pytest
from solders.keypair import Keypair

from ledger.tokens import NATIVE_SOL, WRAPPED_SOL_MINT
from tests.support.job_shop import fast_settings
from tests.support.small_ledger import USDC, USDT, add_merchant, add_transfer, address
from worker.camel_json import camel_json
from worker.context import open_worker_context
from worker.reports.run import make_full_report, make_report

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
async def context(database_url):
    async with open_worker_context(fast_settings(), database_url, [NOWHERE]) as opened:
        yield opened


async def request(pool, merchant, amount, mint=USDC):
    """A payment request that is open for an hour; returns its reference."""
    reference = str(Keypair().pubkey())
    await pool.execute(
        "INSERT INTO nonces (nonce, user_id, recipient, mint, currency, amount, reference, expires_at)"
        " VALUES ($1, $2, $3, $4, 'USDC', $5, $6, $7)",
        uuid.uuid4().hex, merchant.user, merchant.wallet, mint, amount, reference,
        dt.datetime.now(dt.UTC) + dt.timedelta(hours=1),
    )  # fmt: skip
    return reference


async def paid(pool, merchant, amount, reference, mint=USDC):
    signature = await add_transfer(pool, merchant, amount, mint=mint)
    await pool.execute("UPDATE transfers SET reference_keys = ARRAY[$2] WHERE signature = $1", signature, reference)
    return signature


async def report_of(context):
    """The report as it is stored."""
    return camel_json(await make_report(context))


async def short(context):
    report = await report_of(context)
    return {(one["signature"], int(one["amountBaseUnits"])) for one in report["findings"]["shortPayment"]}


async def test_a_short_payment_that_is_never_completed_is_found(context, pool):
    merchant = await add_merchant(pool, "merchant", 60)
    signature = await paid(pool, merchant, 400_000, await request(pool, merchant, 1_000_000))
    assert await short(context) == {(signature, 400_000)}


async def test_two_parts_of_a_payment_are_both_found(context, pool):
    merchant = await add_merchant(pool, "merchant", 60)
    reference = await request(pool, merchant, 1_000_000)
    parts = {(await paid(pool, merchant, amount, reference), amount) for amount in (400_000, 600_000)}
    assert await short(context) == parts


async def test_too_little_wrapped_sol_for_a_request_in_sol_is_found(context, pool):
    merchant = await add_merchant(pool, "merchant", 60)
    reference = await request(pool, merchant, 1_000_000_000, NATIVE_SOL)
    found = {(await paid(pool, merchant, 5, reference, mint), 5) for mint in (WRAPPED_SOL_MINT, NATIVE_SOL)}
    await paid(pool, merchant, 5, reference, USDT)  # the wrong token is not too little of the right one
    assert await short(context) == found


async def test_a_request_that_was_paid_shows_its_short_payment_and_not_the_one_that_paid(context, pool):
    merchant = await add_merchant(pool, "merchant", 60)
    reference = await request(pool, merchant, 1_000_000)
    little = await paid(pool, merchant, 999_999, reference)
    full = await paid(pool, merchant, 1_000_000, reference)
    await pool.execute(
        "INSERT INTO transactions (user_id, nonce, signature, path, payer, recipient, mint, currency, amount,"
        " least_amount, received, status) SELECT 'merchant', nonce, $1, '0', $2, recipient, mint, currency, amount,"
        " amount, amount, 'finalized' FROM nonces",
        full, address(200),
    )  # fmt: skip
    assert await short(context) == {(little, 999_999)}
    report = await report_of(context)
    assert [one["signature"] for one in report["findings"]["duplicatePayment"]] == [little]


KINDS = {
    "mintTo": "kind = 'mintTo', source = NULL, source_owner = NULL",
    "wrap": "kind = 'wrap', source = NULL, source_owner = NULL",
    "withdrawWithheld": "kind = 'withdrawWithheld'",
    "internal": "source_owner = destination_owner",
}


async def test_every_credit_is_somewhere_and_has_a_name(context, pool):
    """Whatever a wallet was credited by, the report's totals are those of the ledger, mint by mint."""
    for user, seed in (("one", 60), ("two", 70)):
        merchant = await add_merchant(pool, user, seed)
        await add_transfer(pool, merchant, 7, fee=2)
        for n, columns in enumerate(KINDS.values()):
            for mint in (USDC, USDT):
                signature = await add_transfer(pool, merchant, 10**n, mint=mint)
                await pool.execute(f"UPDATE transfers SET {columns} WHERE signature = $1", signature)
        await add_transfer(pool, merchant, 3, finality="orphaned")
    report = await report_of(context)
    rows = await pool.fetch("SELECT mint, sum(amount - fee) FROM transfers WHERE finality <> 'orphaned' GROUP BY mint")
    assert {line["mint"]: int(line["creditedBaseUnits"]) for line in report["byMint"]} == dict(map(tuple, rows))
    for line in [*report["byMint"], *report["byUser"]]:
        others = {one["kind"]: int(one["creditedBaseUnits"]) for one in line["otherCredits"]}
        users = 1 if "userId" in line else 2
        assert others == {kind: users * 10**n for n, kind in enumerate(KINDS)}
        assert int(line["creditedBaseUnits"]) == int(line["receivedBaseUnits"]) + sum(others.values())
    assert {line["mint"]: line["transfers"] for line in report["byMint"]} == {USDC: 2, USDT: 0}


async def test_what_too_few_nodes_have_seen_is_in_no_total(context, pool):
    merchant = await add_merchant(pool, "merchant", 60)
    for amount in (5, 7):
        await add_transfer(pool, merchant, amount, finality="confirmed")

    async def received():
        reports = [await make_report(context), await make_full_report(context)]
        assert reports[1].kept_differences == []
        return [[int(one["receivedBaseUnits"]) for one in camel_json(report)["byUser"]] for report in reports]

    assert await received() == [[12], [12]]
    await pool.execute("UPDATE transfers SET awaits_witness_since = now(), contested_at = now() WHERE amount = 7")
    assert await received() == [[5], [5]]
    await pool.execute("UPDATE transfers SET awaits_witness_since = NULL, contested_at = NULL")
    assert await received() == [[12], [12]]


async def hand_over(pool, merchant, user, at):
    """The wallet of a merchant becomes another user's at a moment."""
    await pool.execute(
        "WITH former AS (INSERT INTO former_recipients (address, user_id, owned_since, owned_until)"
        " SELECT address, user_id, owned_since, $3 FROM recipients WHERE address = $1)"
        " UPDATE recipients SET user_id = $2, owned_since = $3 WHERE address = $1",
        merchant.wallet, user, at,
    )  # fmt: skip


@pytest.mark.parametrize("is_reported_before", [True, False])
async def test_what_a_wallet_received_is_whose_it_was_then(context, pool, is_reported_before):
    """Of three users, each with a payment that nobody has claimed; and of others that are no payments."""
    moments = [dt.datetime(2026, 1, day, tzinfo=dt.UTC) for day in (1, 2, 3)]
    merchant, received = await add_merchant(pool, "first", 60), {}
    for n, (user, at) in enumerate(zip(("first", "second", "third"), moments, strict=True)):
        if n:
            await hand_over(pool, merchant, user, at)
        if is_reported_before:
            await make_report(context)
        # The very moment of the change is the new owner's.
        received[user] = await add_transfer(pool, merchant, 10**n, at=at)
        other = await add_transfer(pool, merchant, 7 * 10**n, at=at)
        await pool.execute("UPDATE transfers SET kind = 'mintTo', source = NULL WHERE signature = $1", other)
    for report in (await make_report(context), await make_full_report(context)):
        assert report.kept_differences == []
        found = camel_json(report)["findings"]["unmatchedTransfer"]
        assert {one["userId"]: one["signature"] for one in found} == received
        totals = {one["userId"]: one for one in camel_json(report)["byUser"]}
        for n, user in enumerate(received):
            assert int(totals[user]["unmatchedBaseUnits"]) == int(totals[user]["receivedBaseUnits"]) == 10**n
            assert totals[user]["otherCredits"][0]["creditedBaseUnits"] == str(7 * 10**n)


async def test_a_decision_of_a_former_owner_is_theirs_still(context, pool):
    """A finding that somebody had before the wallet changed hands keeps its id, so that it is not open anew."""
    merchant = await add_merchant(pool, "first", 60)
    await add_transfer(pool, merchant, 5, at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    before = camel_json(await make_report(context))["findings"]
    await hand_over(pool, merchant, "second", dt.datetime(2026, 1, 2, tzinfo=dt.UTC))
    assert camel_json(await make_report(context))["findings"] == before
