"""What statuses and kinds have in common is said once, as functions of the database, and costs no index."""

import re

import pytest

from ledger.observation import TRANSFER_KINDS
from ledger.sql import load_queries
from ledger.states import (
    HONOURED,
    OPEN_SETTLEMENTS,
    PAYOUT_STEPS,
    ClaimStatus,
    PayoutStatus,
)
from tests.support.source_tree import ROOT, files_of_packages

PAID = {ClaimStatus.CONFIRMED, ClaimStatus.FINALIZED}
MOVING = {ClaimStatus.CONFIRMED, ClaimStatus.REVERSED}

CLAIM_LISTS = {
    "claim_holds_transfer": HONOURED,
    "claim_is_paid": PAID,
    "claim_may_move": MOVING,
    "claim_has_ended": set(ClaimStatus) - {ClaimStatus.PENDING} - MOVING,
}


@pytest.mark.parametrize("function", CLAIM_LISTS)
async def test_a_list_of_claim_statuses_is_that_of_python(pool, function):
    rows = await pool.fetch(f"SELECT s, {function}(s) AS is_in FROM unnest(enum_range(NULL::claim_status)) AS s")
    assert {row["s"] for row in rows if row["is_in"]} == CLAIM_LISTS[function]
    assert len(rows) == len(ClaimStatus)


async def test_open_payouts_are_those_of_python(pool):
    rows = await pool.fetch("SELECT s FROM unnest(enum_range(NULL::payout_status)) AS s WHERE payout_is_open(s)")
    assert {row["s"] for row in rows} == set(PayoutStatus) - {PayoutStatus.SETTLED}


async def test_payouts_that_are_unsigned_or_may_land_are_those_of_python(pool):
    """What has signed bytes can be sent or settle; what has none has to be signed first."""
    rows = await pool.fetch(
        "SELECT s, payout_is_unsigned(s) AS is_unsigned, payout_may_land(s) AS may_land"
        " FROM unnest(enum_range(NULL::payout_status)) AS s"
    )
    landing = {PayoutStatus.SIGNED, PayoutStatus.SENT}
    assert {row["s"] for row in rows if row["may_land"]} == landing
    assert {row["s"] for row in rows if row["is_unsigned"]} == set(PAYOUT_STEPS) & set(PayoutStatus) - landing
    assert all(PayoutStatus.SENT not in PAYOUT_STEPS[row["s"]] for row in rows if row["is_unsigned"])


async def test_what_landed_may_move_until_it_is_finalized_or_undone(pool):
    rows = await pool.fetch("SELECT f FROM unnest(enum_range(NULL::finality)) AS f WHERE landing_may_move(f)")
    assert {row["f"] for row in rows} == {"confirmed"}


async def test_a_transfer_counts_unless_it_is_undone_or_waits_for_a_witness(pool):
    rows = await pool.fetch(
        "SELECT f, w FROM unnest(enum_range(NULL::finality)) AS f, unnest(ARRAY[NULL, now()]) AS w"
        " WHERE transfer_counts(f, w)"
    )
    assert {(row["f"], row["w"]) for row in rows} == {("confirmed", None), ("finalized", None)}


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
    "transactions_unpaid": "SELECT FROM transactions WHERE NOT claim_is_paid(status)",
    "transactions_overpaid": "SELECT FROM transactions WHERE received > amount",
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
    assert not re.search(r"\w+_(is|has|may|holds)_\w+\(|counts\(", plan), "a call that is not replaced"


LISTS = re.compile(
    r"'confirmed', 'finalized'|'confirmed', 'reversed'|'transferChecked', |, 'transferChecked'|<> 'settled'"
    r"|\b\w*(?:status|finality)(?:::\w+)?\s+(?:NOT\s+)?IN\s*\(\s*(?:'|VALUES)"
    r"|(?<!:)\b(?P<column>(?:\w+\.)?\w*(?:status|finality))(?:::\w+)?\s*(?:=|<>)\s*'\w+'\s+(?:OR|AND)"
    r"\s+(?P=column)(?:::\w+)?\s*(?:=|<>)\s*'"
    r"|\b\w*(?:status|finality)(?:::\w+)?\s*(?:=|<>)\s*(?:ANY|ALL)\s*\(\s*(?:'\{|ARRAY\[)"
    r"|finality <> 'orphaned'\s+AND\s+(?:\w+\.)?awaits_witness_since IS NULL"
    r"|awaits_witness_since IS NULL\s+AND\s+(?:\w+\.)?finality <> 'orphaned'",
    re.IGNORECASE,
)


@pytest.mark.parametrize(
    "text",
    [
        "WHERE p.status IN ('signed', 'sent')",
        "WHERE p.escrow_status NOT IN\n  ('released')",
        "WHERE status = ANY ('{signed,sent}')",
        "WHERE status::text = ANY(ARRAY['signed'])",
        "AND b.finality NOT IN ('finalized', 'orphaned')",
        "WHERE t.finality <> 'orphaned'\n  AND t.awaits_witness_since IS NULL",
        "WHERE t.awaits_witness_since IS NULL AND finality <> 'orphaned'",
        "WHERE p.status = 'signed' OR p.status = 'sent'",
        "WHERE status <> 'failed'\n  AND status <> 'expired'",
        "WHERE status IN (VALUES ('signed'), ('sent'))",
        "WHERE kind IN ('transfer', 'transferChecked')",
    ],
)
def test_a_list_that_a_statement_spells_would_be_found(text):
    assert LISTS.search(text)


@pytest.mark.parametrize("text", ["WHERE p.status = 'signed'", "status = ANY(:statuses::claim_status[])"])
def test_one_status_and_a_parameter_are_no_list(text):
    assert not LISTS.search(text)


def test_no_statement_spells_a_list():
    files = [*files_of_packages("*.sql"), *files_of_packages("*.py")]
    statements = [path for path in files if "migrations" not in path.parts]
    assert statements
    spelled = {
        str(path.relative_to(ROOT)): found
        for path in statements
        if (found := [match.group() for match in LISTS.finditer(path.read_text("utf-8"))])
    }
    assert spelled == {}


REPLACED = {
    "honoured.sql": ("honour_claims", "honour_pending", "honour_asked"),
    "matched.sql": ("honour_requests", "take_strays"),
    "context.sql": ("claim_contexts",),
    "settled.sql": ("claim_settled",),
    "followed.sql": ("follow_transfers",),
}


@pytest.mark.parametrize(("file", "name"), [(file, name) for file, names in REPLACED.items() for name in names])
async def test_a_statement_of_claims_calls_no_function_for_what_is_said_once(pool, file, name):
    """And finds the transfers it is about by an index."""
    statement = getattr(load_queries("ledger.claims", file), name).sql
    async with pool.acquire() as connection, connection.transaction():
        parameters = (await connection.prepare(statement)).get_parameters()
        await connection.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        types = ", ".join(f"{one.schema}.{one.name}" if one.kind != "array" else one.name for one in parameters)
        await connection.execute(f"PREPARE asked ({types}) AS {statement}")
        nulls = ", ".join("NULL" for _ in parameters)
        execute = f"EXPLAIN (VERBOSE) EXECUTE asked ({nulls})" if parameters else "EXPLAIN (VERBOSE) EXECUTE asked"
        plan = "\n".join(row[0] for row in await connection.fetch(execute))
        await connection.execute("DEALLOCATE asked")
    assert not re.search(r"\b(claim|payout|landing|kind)_\w+\(|transfer_counts\(", plan), plan
    assert "Seq Scan on public.transfers" not in plan, plan
