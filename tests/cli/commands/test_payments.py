"""`pay402 payments`: what wallets received, as tables, alone and live."""

import datetime as dt
import json

import pytest

from ledger.sql import load_queries
from tests.support.command_line import eventually, pay402, running
from tests.support.small_ledger import USDC, add_claim, add_merchant, add_transfer, address

AT = dt.datetime(2026, 3, 1, 12, 30, 5, tzinfo=dt.UTC)
HUGE = 2**64 - 1


@pytest.fixture
def command(home, database_url):
    async def run(*arguments, **variables):
        return await pay402("payments", *arguments, home=home, DATABASE_URL=database_url, **variables)

    return run


@pytest.fixture
async def shop(pool):
    async with pool.acquire() as connection:
        yield await add_merchant(connection, "shop", 1)


async def test_payments_are_listed_newest_first_with_exact_amounts_and_whole_signatures(command, pool, shop):
    first = await add_transfer(pool, shop, 1, at=AT, slot=1)
    second = await add_transfer(pool, shop, HUGE, at=AT, slot=2, fee=HUGE - 1)
    third = await add_transfer(pool, shop, HUGE, at=AT, slot=3, finality="confirmed")
    shown = await command("list")
    assert (shown.code, shown.err) == (0, "")
    rows = [line for line in shown.out.splitlines() if "2026-03-01 12:30:05" in line]
    assert [third in rows[0], second in rows[1], first in rows[2]] == [True] * 3
    # What arrived, without the fee that the token program withheld.
    assert [amount in row for amount, row in zip(["18446744073709.551615", "0.000001", "0.000001"], rows, strict=True)]
    assert ("confirmed" in rows[0], "final" in rows[1]) == (True, True)
    listed = (await command("list", "--json", "--final")).json
    assert [(one["signature"], one["amount_base_units"], one["fee_base_units"]) for one in listed] == [
        (second, "1", str(HUGE - 1)),
        (first, "1", "0"),
    ]


async def test_amounts_are_whole_however_narrow_the_terminal(command, pool, shop):
    signature = await add_transfer(pool, shop, HUGE, at=AT)
    shown = await command("list", COLUMNS="80", FORCE_COLOR="0", TTY_COMPATIBLE="1")
    assert "18446744073709.551615" in shown.out
    assert signature[:5] in shown.out


async def test_filters_leave_out_what_is_not_asked_for(command, pool, shop):
    rival = await add_merchant(pool, "rival", 5)
    payer = address(77)
    wanted = await add_transfer(pool, shop, 5, payer=payer, at=AT)
    await add_transfer(pool, shop, 6, at=AT)
    await add_transfer(pool, rival, 7, payer=payer, at=AT + dt.timedelta(days=1))

    async def found(*arguments):
        return {one["amount_base_units"] for one in (await command("list", "--json", *arguments)).json}

    assert await found("--user", "shop") == {"5", "6"}
    assert await found("--from", payer) == {"5", "7"}
    assert await found("--to", rival.wallet) == {"7"}
    assert await found("--until", "2026-03-02", "--from", payer) == {"5"}
    assert await found("--since", "2026-03-02") == {"7"}
    assert await found("--token", USDC) == {"5", "6", "7"}
    assert await found("--token", address(99)) == set()
    assert wanted in (await command("show", wanted)).out
    (await command("list", "--to", "nowhere")).assert_refused("nowhere")


async def test_one_payment_is_shown_by_the_beginning_of_its_signature(command, pool, shop):
    claim = await add_claim(pool, shop, 1_500_000, at=AT)
    row = await pool.fetchrow("SELECT signature, nonce FROM transactions WHERE id = $1", claim)
    shown = (await command("show", row["signature"][:10])).out
    for word in (
        row["signature"],
        "1.5 USDC",
        "final",
        shop.wallet,
        row["nonce"],
        str(claim),
        "2026-03-01 12:30:05 UTC",
    ):
        assert word in shown
    (one,) = (await command("show", row["signature"], "--json")).json
    assert one["claim"] == {"id": str(claim), "nonce": row["nonce"], "status": "finalized"}
    (await command("show", "abc")).assert_refused("too short")
    (await command("show", "zzzzzzzzzz")).assert_refused("zzzzzzzzzz", "pay402 payments list")


async def test_a_beginning_that_several_share_is_refused(command, pool, shop):
    one = await add_transfer(pool, shop, 1, at=AT)
    twin = one[:20] + ("1" if one[20] != "1" else "2") + one[21:]
    await pool.execute(
        "INSERT INTO transfers (signature, path, slot, block_time, kind, program, mint, source, destination,"
        " source_owner, destination_owner, authority, amount, fee, finality, recorded_at)"
        " SELECT $2, path, slot, block_time, kind, program, mint, source, destination, source_owner,"
        " destination_owner, authority, amount, fee, finality, recorded_at FROM transfers WHERE signature = $1",
        one, twin,
    )  # fmt: skip
    (await command("show", one[:20])).assert_refused("More than one")
    assert one in (await command("show", one)).out


async def test_what_others_wrote_steers_no_terminal(command, pool, shop):
    signature = await add_transfer(pool, shop, 1, at=AT)
    await pool.execute("UPDATE transfers SET memos = $2 WHERE signature = $1", signature, ["\x1b[2Jgone [red]x[/red]"])
    shown = (await command("show", signature)).out
    assert "\x1b" not in shown
    assert "[red]x[/red]" in shown
    claim = await add_claim(pool, shop, 1, at=AT)
    await pool.execute("UPDATE transactions SET nonce = $2 WHERE id = $1", claim, "\x1b[2Jn")
    assert "\x1b" not in (await command("list")).out


async def test_watching_prints_a_payment_when_it_is_recorded_and_when_it_is_final(home, database_url, pool, shop):
    rival = await add_merchant(pool, "rival", 5)
    async with running(
        "payments", "watch", "--user", "shop", "--json", home=home, DATABASE_URL=database_url
    ) as watching:
        listening = (
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database())"
        )
        await eventually(lambda: pool.fetchval(listening))
        await add_transfer(pool, rival, 9)
        foreign = await pool.fetchval("SELECT signature FROM transfers")
        signature = await add_transfer(pool, shop, 2_500_000, at=AT, finality="confirmed")
        await pool.execute("SELECT pg_notify('transfers', $1)", f"{foreign} {signature}")
        seen = json.loads(await watching.line())
        assert (seen["signature"], seen["amount"], seen["finality"]) == (signature, "2.5", "confirmed")
        await pool.execute("UPDATE transfers SET finality = 'finalized' WHERE signature = $1", signature)
        final = json.loads(await watching.line())
        assert (final["signature"], final["finality"]) == (signature, "finalized")
        ended = await watching.stopped()
        assert (ended.code, ended.out, ended.err) == (0, "", "")


async def test_a_signature_is_found_by_index(pool, shop):
    statement = load_queries("ledger", "transfers.sql").signatures_beginning_with.sql
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {statement}", "5KtPn1", 2))
    assert "Index Cond" in plan
    assert "transfers_pkey" in plan
