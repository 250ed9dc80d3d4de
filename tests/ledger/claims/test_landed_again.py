"""A transaction that lands again with other content, or is reported again so: its claim is judged by what it is now."""

import pytest

from ledger.claims import follow_transfers
from ledger.invariants import check_invariants
from tests.support.small_ledger import USDT, add_claim, add_merchant, address

AMOUNT = 30_000_000
OTHERS = {
    "one unit for thirty dollars": ("amount = 1", "INSUFFICIENT_AMOUNT"),
    "a fee that leaves too little": ("fee = 5", "INSUFFICIENT_AMOUNT"),
    "another token": (f"mint = '{USDT}'", "CURRENCY_MISMATCH"),
    "another recipient": (f"destination_owner = '{address(99)}'", "RECIPIENT_MISMATCH"),
    "no recipient": ("destination_owner = NULL", "RECIPIENT_MISMATCH"),
    "another payer": (f"source_owner = '{address(98)}', authority = '{address(98)}'", "PAYER_MISMATCH"),
    "no payer": ("source_owner = NULL, authority = NULL", "PAYER_MISMATCH"),
    "from the account to itself": ("source = destination", "RECIPIENT_MISMATCH"),
    "no payment at all": ("kind = 'closeAccount'", "RECIPIENT_MISMATCH"),
}


async def add_confirmed(pool, merchant):
    """A claim that was just honoured, with its event."""
    claim = await add_claim(pool, merchant, AMOUNT, status="confirmed")
    await pool.execute("INSERT INTO events (type, subject) VALUES ('claim.confirmed', $1)", str(claim))
    return claim


async def stands(pool, claim):
    return await pool.fetchrow("SELECT status::text, code, received FROM transactions WHERE id = $1", claim)


async def change(pool, claim, columns, finality):
    await pool.execute(
        f"UPDATE transfers SET {columns}, finality = $2 WHERE signature = (SELECT signature FROM transactions"
        " WHERE id = $1)",
        claim,
        finality,
    )


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("finality", ["confirmed", "finalized"])
@pytest.mark.parametrize("seen_orphaned", [True, False])
async def test_a_claim_does_not_outlive_what_honoured_it(pool, other, finality, seen_orphaned):
    columns, code = OTHERS[other]
    merchant = await add_merchant(pool, "merchant", 60)
    claim = await add_confirmed(pool, merchant)
    await change(pool, claim, "slot = 2", "confirmed")
    if seen_orphaned:
        await change(pool, claim, "slot = 2", "orphaned")
        await follow_transfers(pool)
    await change(pool, claim, columns, finality)
    moved = await follow_transfers(pool)
    assert moved.finalized == moved.restored == 0
    assert (await stands(pool, claim))["status"] in {"reversed", "failed"}
    await change(pool, claim, columns, "finalized")
    await follow_transfers(pool)
    row = await stands(pool, claim)
    assert (row["status"], row["code"]) == ("failed", code)
    assert await pool.fetchval("SELECT coalesce(sum(claims), 0) FROM claim_changes") == 0
    assert await check_invariants(pool) == []


@pytest.mark.parametrize("finality", ["confirmed", "finalized"])
async def test_more_than_before_is_what_was_received(pool, finality):
    merchant = await add_merchant(pool, "merchant", 60)
    claim = await add_confirmed(pool, merchant)
    await change(pool, claim, f"amount = {AMOUNT + 5}", finality)
    await follow_transfers(pool)
    row = await stands(pool, claim)
    assert (row["status"], row["received"]) == (finality, AMOUNT + 5)
    assert await pool.fetchval("SELECT sum(received) FROM claim_changes") == AMOUNT + 5
    assert await check_invariants(pool) == []


async def test_exactly_that_much_was_asked(pool):
    merchant = await add_merchant(pool, "merchant", 60)
    claim = await add_confirmed(pool, merchant)
    await pool.execute("UPDATE transactions SET exact = true")
    await change(pool, claim, f"amount = {AMOUNT + 5}", "finalized")
    await follow_transfers(pool)
    await follow_transfers(pool)
    row = await stands(pool, claim)
    assert (row["status"], row["code"]) == ("failed", "AMOUNT_MISMATCH")


async def test_what_comes_to_fit_again_is_honoured_again(pool):
    merchant = await add_merchant(pool, "merchant", 60)
    claim = await add_confirmed(pool, merchant)
    await change(pool, claim, "amount = 1", "confirmed")
    assert (await follow_transfers(pool)).reversed == 1
    await change(pool, claim, f"amount = {AMOUNT}", "confirmed")
    assert (await follow_transfers(pool)).restored == 1
    await change(pool, claim, "slot = 3", "finalized")
    assert (await follow_transfers(pool)).finalized == 1
    assert await check_invariants(pool) == []


async def test_nothing_moves_where_nothing_has_changed(pool):
    merchant = await add_merchant(pool, "merchant", 60)
    claim = await add_confirmed(pool, merchant)
    await change(pool, claim, "slot = 2", "confirmed")
    before = await pool.fetchval("SELECT count(*) FROM events")
    await follow_transfers(pool)
    assert await pool.fetchval("SELECT count(*) FROM events") == before
    assert (await stands(pool, claim))["status"] == "confirmed"
