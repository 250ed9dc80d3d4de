"""The state machines: one table in Python, the same in the database, a drawing that is current."""

from pathlib import Path

import asyncpg
import pytest

from ledger.states import MACHINES, NEW
from ledger.states_document import drawing

DOCUMENT = Path(__file__).parents[2] / "docs" / "states.md"
TYPES = {machine: f"{machine}_status" for machine in ("claim", "job", "escrow", "payout", "settlement")}


def test_the_drawing_is_current():
    assert DOCUMENT.read_text(encoding="utf-8") == drawing(), "run python -m ledger.states_document > docs/states.md"


async def test_the_database_holds_the_same_steps(pool):
    rows = await pool.fetch("SELECT machine, from_status, to_status FROM state_transitions")
    ours = {
        (name, str(start), str(end)) for name, (_, steps) in MACHINES.items() for start in steps for end in steps[start]
    }
    assert {tuple(row) for row in rows} == ours


@pytest.mark.parametrize("machine", MACHINES)
async def test_the_database_knows_the_same_statuses(pool, machine):
    rows = await pool.fetch(f"SELECT unnest(enum_range(NULL::{TYPES[machine]}))::text AS status")
    assert [row["status"] for row in rows] == [str(status) for status in MACHINES[machine][0]]


@pytest.mark.parametrize("machine", MACHINES)
def test_every_status_can_be_reached(machine):
    statuses, steps = MACHINES[machine]
    reached, found = {NEW}, {NEW}
    while found:
        found = {end for start in found for end in steps.get(start, ())} - reached
        reached |= found
    assert reached - {NEW} == set(statuses)


@pytest.mark.parametrize("machine", MACHINES)
async def test_no_other_step_can_be_taken(pool, machine):
    """On a table of its own, with the trigger that the real tables carry."""
    statuses, steps = MACHINES[machine]
    await pool.execute(f"CREATE TABLE probe (stands {TYPES[machine]})")
    await pool.execute(
        "CREATE TRIGGER probe_transition BEFORE INSERT OR UPDATE ON probe "
        f"FOR EACH ROW EXECUTE FUNCTION check_transition('{machine}', 'stands')"
    )
    for start in [NEW, *statuses]:
        for end in statuses:
            allowed = start == end or end in steps.get(start, ())
            try:
                if start == NEW:
                    await pool.execute("INSERT INTO probe VALUES ($1)", end)
                else:
                    await pool.execute("ALTER TABLE probe DISABLE TRIGGER probe_transition")
                    await pool.execute("DELETE FROM probe")
                    await pool.execute("INSERT INTO probe VALUES ($1)", start)
                    await pool.execute("ALTER TABLE probe ENABLE TRIGGER probe_transition")
                    await pool.execute("UPDATE probe SET stands = $1", end)
                taken = True
            except asyncpg.CheckViolationError:
                taken = False
            assert taken == allowed, (start, end)


async def test_a_claim_begins_and_goes_on_as_the_table_says(pool):
    """The real table carries the trigger."""
    columns = "user_id, nonce, signature, payer, mint, currency, amount, least_amount, status, code"
    values = f"'u', 'n', '{'1' * 64}', '{'1' * 32}', '{'1' * 32}', 'USDC', 1, 1"
    for status, code in (("reversed", "NULL"), ("failed", "'X'"), ("expired", "'X'")):
        with pytest.raises(asyncpg.CheckViolationError, match="cannot go from new"):
            await pool.execute(f"INSERT INTO transactions ({columns}) VALUES ({values}, '{status}', {code})")
    await pool.execute(f"INSERT INTO transactions ({columns}) VALUES ({values}, 'pending', NULL)")
    with pytest.raises(asyncpg.CheckViolationError, match="from pending to finalized"):
        await pool.execute("UPDATE transactions SET status = 'finalized'")
    await pool.execute("UPDATE transactions SET status = 'failed', code = 'X'")
    with pytest.raises(asyncpg.CheckViolationError, match="from failed to pending"):
        await pool.execute("UPDATE transactions SET status = 'pending', code = NULL")
