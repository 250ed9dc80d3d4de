"""What statuses and kinds have in common is said once, as functions of the database, and costs no index."""

import re

import pytest

from ledger.observation import TRANSFER_KINDS
from ledger.states import HONOURED, MOVING, OPEN_SETTLEMENTS, PAID, ClaimStatus, PayoutStatus
from tests.support.source_tree import ROOT, files_of_packages

CLAIM_LISTS = {"claim_holds_transfer": HONOURED, "claim_is_paid": PAID, "claim_may_move": MOVING}


@pytest.mark.parametrize("function", CLAIM_LISTS)
async def test_a_list_of_claim_statuses_is_that_of_python(pool, function):
    rows = await pool.fetch(f"SELECT s, {function}(s) AS is_in FROM unnest(enum_range(NULL::claim_status)) AS s")
    assert {row["s"] for row in rows if row["is_in"]} == CLAIM_LISTS[function]
    assert len(rows) == len(ClaimStatus)


async def test_open_payouts_are_those_of_python(pool):
    rows = await pool.fetch("SELECT s FROM unnest(enum_range(NULL::payout_status)) AS s WHERE payout_is_open(s)")
    assert {row["s"] for row in rows} == set(PayoutStatus) - {PayoutStatus.SETTLED}


async def test_open_settlements_are_those_of_python(pool):
    rows = await pool.fetch(
        "SELECT s FROM unnest(enum_range(NULL::settlement_status)) AS s WHERE settlement_is_open(s)"
    )
    assert {row["s"] for row in rows} == OPEN_SETTLEMENTS


async def test_kinds_of_payments_are_those_of_python(pool):
    kinds = [*TRANSFER_KINDS, "mintTo", "burn", "closeAccount", "unknown"]
    rows = await pool.fetch("SELECT k FROM unnest($1::text[]) AS k WHERE kind_is_payment(k)", kinds)
    assert {row["k"] for row in rows} == TRANSFER_KINDS


INDEXED = {
    "transactions_transfer": (
        "SELECT FROM transactions WHERE signature = '1' AND path = '0' AND claim_holds_transfer(status)"
    ),
    "transactions_nonce": (
        "SELECT FROM transactions WHERE nonce = 'n' AND user_id = 'u' AND claim_holds_transfer(status)"
    ),
    "transactions_unsettled": "SELECT signature FROM transactions WHERE claim_may_move(status)",
    "payouts_open": "SELECT FROM payouts WHERE payout_is_open(status) AND next_try_at < now()",
    "settlements_open": "SELECT FROM settlements WHERE settlement_is_open(status) AND created_at < now()",
}


@pytest.mark.parametrize("index", INDEXED)
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_a_partial_index_on_a_list_still_serves(pool, index, mode):
    async with pool.acquire() as connection, connection.transaction():
        # The tables are empty: without a choice the planner would read all of nothing.
        await connection.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        # Whatever index begins with the nonce would do for an empty table; this is about the one of the list.
        await connection.execute("DROP INDEX transactions_proof")
        await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {INDEXED[index]}"))
        await connection.execute("ROLLBACK; BEGIN")
    assert f"using {index} " in plan
    calls = r"claim_holds_transfer|claim_may_move|payout_is_open|settlement_is_open"
    assert not re.search(calls, plan), "a call that is not replaced"


LISTS = re.compile(r"'confirmed', 'finalized'|'confirmed', 'reversed'|'transferChecked', |<> 'settled'")


def test_no_statement_spells_a_list():
    statements = [path for path in files_of_packages("*.sql") if "migrations" not in path.parts]
    assert statements
    spelled = {
        str(path.relative_to(ROOT)): found for path in statements if (found := LISTS.findall(path.read_text("utf-8")))
    }
    assert spelled == {}
