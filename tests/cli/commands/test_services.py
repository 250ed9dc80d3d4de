"""`pay402 services`: what is offered, and turning what is live into an offer for tests."""

import uuid

import pytest

from ledger.recipients import register_wallet
from tests.support.command_line import pay402
from tests.support.funded_jobs import ordered_job


@pytest.fixture
def services(home, database_url):
    """Runs `pay402 services ...` against a database."""

    async def run(*arguments, **variables):
        return await pay402("services", *arguments, home=home, DATABASE_URL=database_url, **variables)

    return run


async def offered(pool, wallet, name="Summaries", environment="live"):
    """A service that was ordered once; returns its id."""
    await register_wallet(pool, address=wallet, user_id="operations", label=None, followed_from_slot=0)
    job = await ordered_job(pool, wallet, name=name)
    await pool.execute("UPDATE job_requests SET environment = $2 WHERE id = $1", job, environment)
    return await pool.fetchval("SELECT service_id FROM job_requests WHERE id = $1", job)


async def environments(pool):
    return {row["id"]: row["environment"] for row in await pool.fetch("SELECT id, environment FROM agent_services")}


RELEASED = "escrow_status = 'released', escrowed_at = now(), settled_at = now(), status = 'approved', ended_at = now()"
WALLET = "7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q"


async def test_services_are_listed_for_people_and_for_scripts(services, pool):
    assert (await services("list", "--json")).json == []
    service = await offered(pool, WALLET, "[red]oops")
    listed = await services("list")
    assert (listed.code, listed.err) == (0, "")
    for word in (str(service), "[red]oops", "2.5", "USDC", "live"):
        assert word in listed.out
    (one,) = (await services("list", "--json")).json
    assert (one["id"], one["environment"], one["price_amount"]) == (str(service), "live", "2500000")


async def test_a_live_service_that_test_keys_ordered_becomes_one_for_tests(services, pool):
    service, other = await offered(pool, WALLET, environment="test"), await offered(pool, WALLET)
    narrow = await services("for-tests", service, COLUMNS="40")
    assert (narrow.code, narrow.out) == (0, f"{service} is for tests from now on.\n")
    again = await services("for-tests", service, "--json")
    assert again.json == {"id": str(service), "environment": "test", "is_moved": False}
    assert await environments(pool) == {service: "test", other: "live"}
    (event,) = await pool.fetch("SELECT subject, user_id, data FROM events WHERE type = 'service.for_tests'")
    assert (event["subject"], event["user_id"], event["data"]["to"]) == (str(service), "provider", "test")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ("escrow_status = 'pending'", "under way"),
        ("escrow_status = 'escrowed', escrowed_at = now()", "under way"),
        (RELEASED, "paid for"),
    ],
)
async def test_a_service_of_live_jobs_stays_live(services, pool, columns, words):
    service = await offered(pool, WALLET)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(f"UPDATE job_requests SET {columns}")
    (await services("for-tests", service)).assert_refused(str(service), "stays live", words)
    assert await environments(pool) == {service: "live"}


async def test_a_service_that_is_none_is_refused(services):
    unknown = uuid.uuid4()
    (await services("for-tests", unknown)).assert_refused(str(unknown), "services list")
