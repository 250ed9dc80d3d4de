"""What the statuses of jobs have in common: the same in Python and SQL, and found by the indexes made for it."""

import json

import pytest

from ledger.sql import load_queries
from ledger.states import EscrowStatus, JobStatus

FUNCTIONS = {
    "job_is_open": ("job_status", {JobStatus.PENDING, JobStatus.ACCEPTED, JobStatus.IN_PROGRESS}),
    "job_has_ended": ("job_status", {JobStatus.APPROVED, JobStatus.CANCELLED, JobStatus.EXPIRED}),
    "escrow_is_held": ("escrow_status", {EscrowStatus.ESCROWED, EscrowStatus.DISPUTED}),
    "escrow_is_settled": ("escrow_status", {EscrowStatus.RELEASED, EscrowStatus.REFUNDED}),
}
SERVICE = """
INSERT INTO agent_services
  (user_id, agent_id, payout_address, name, category, pricing_model, price_amount, price_mint, price_currency)
SELECT 'p', 'p', repeat('1', 32), 'n', 'ai', 'fixed', 5, mint, 'USDC' FROM tokens
WHERE symbol = 'USDC' AND network = 'devnet' RETURNING id
"""
MANY_JOBS = """
INSERT INTO job_requests (
  service_id, client_user_id, client_agent_id, provider_user_id, provider_agent_id, payout_address, price_amount,
  price_mint, price_currency, nonce, reference, settlement_wallet, settlement_user_id, environment, fund_until, deadline
)
SELECT $1, 'c', 'c' || n, 'p', 'p' || n, repeat('1', 32), 5, s.price_mint, 'USDC', n::text,
  lpad(translate(n::text, '0', 'A'), 32, 'z'), repeat('1', 32), 'm', 'live', now(), now() + n * interval '1 minute'
FROM generate_series(1, 3000) AS n JOIN agent_services AS s ON s.id = $1
"""


@pytest.mark.parametrize("name", FUNCTIONS)
async def test_the_database_means_the_same_statuses(pool, name):
    kind, ours = FUNCTIONS[name]
    rows = await pool.fetch(
        f"SELECT status::text FROM unnest(enum_range(NULL::{kind})) AS s (status) WHERE {name}(status)"
    )
    assert {row["status"] for row in rows} == {str(status) for status in ours}


@pytest.fixture
async def many_jobs(pool):
    """3,000 jobs, all but ten of which have ended unfunded."""
    await pool.execute("INSERT INTO recipients (address, user_id, followed_from_slot) VALUES (repeat('1', 32), 'm', 0)")
    await pool.execute(MANY_JOBS, await pool.fetchval(SERVICE))
    await pool.execute("UPDATE job_requests SET status = 'cancelled', ended_at = now() WHERE nonce::int > 10")
    await pool.execute("ANALYZE job_requests")
    return pool


def scans(plan):
    """Every scan of job_requests: its kind, and its index if it has one."""
    found = [(plan["Node Type"], plan.get("Index Name"))] if plan.get("Relation Name") == "job_requests" else []
    return found + [scan for below in plan.get("Plans", ()) for scan in scans(below)]


async def plan_of(pool, statement, *values):
    async with pool.acquire() as connection, connection.transaction():
        (found,) = await connection.fetchval(f"EXPLAIN (FORMAT JSON, VERBOSE) {statement}", *values)
    # The planner has replaced every call by its list: an index on the list can serve it.
    assert not [name for name in FUNCTIONS if f"{name}(" in json.dumps(found)]
    return found["Plan"]


async def test_the_pass_that_expires_jobs_reads_the_open_ones_alone(many_jobs):
    found = scans(await plan_of(many_jobs, load_queries("ledger", "jobs.sql").expire_jobs.sql, 30.0, 1000))
    assert found
    assert "Seq Scan" not in {kind for kind, _ in found}


async def test_the_pass_that_makes_payouts_reads_the_held_ones_alone(many_jobs):
    statement = "SELECT id FROM job_requests WHERE escrow_is_held(escrow_status) AND job_has_ended(status)"
    assert {index for _, index in scans(await plan_of(many_jobs, statement))} == {"job_requests_held"}


async def test_deadlines_are_found_by_their_index(many_jobs):
    statement = "SELECT id FROM job_requests WHERE job_is_open(status) AND deadline < now()"
    assert {index for _, index in scans(await plan_of(many_jobs, statement))} == {"job_requests_open"}
