"""Every statement of the production guide, which was written for another system, runs on our schema and makes sense."""

import datetime as dt

import asyncpg
import pytest
from solders.keypair import Keypair

from ledger.jobs import NewJob, add_job

ADDRESS = "7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q"

# By table, the columns of each index that the guide expects. It writes them as userId; ours are user_id.
INDEXES = {
    "api_keys": [["user_id"], ["key"], ["user_id", "revoked"], ["revoked", "expires_at"]],
    "transactions": [
        ["payer", "timestamp"],
        ["recipient", "status"],
        ["timestamp", "status"],
        ["agent_id", "timestamp"],
    ],
    "job_requests": [["status", "created_at"], ["client_agent_id", "status"], ["provider_agent_id", "status"]],
    "agent_services": [["category", "is_active"], ["is_active", "total_earnings"], ["is_active", "price_amount"]],
}


async def test_the_connection_answers(pool):
    assert await pool.fetchval("SELECT 1") == 1


async def test_indexes_are_listed(pool):
    rows = await pool.fetch(
        """
        SELECT
          schemaname,
          tablename,
          indexname,
          indexdef
        FROM
          pg_indexes
        WHERE
          schemaname = 'public'
        ORDER BY
          tablename,
          indexname;
        """
    )
    assert len(rows) > 20
    assert all(row["indexdef"].startswith("CREATE ") for row in rows)


async def test_indexes_of_transactions_are_listed(pool):
    rows = await pool.fetch("SELECT indexname FROM pg_indexes WHERE tablename='transactions'")
    assert len(rows) >= len(INDEXES["transactions"])


@pytest.mark.parametrize(
    ("table", "columns"), [(table, columns) for table, each in INDEXES.items() for columns in each], ids=str
)
async def test_an_index_that_is_expected_exists_by_its_columns(pool, table, columns):
    rows = await pool.fetch(
        """
        SELECT array_agg(a.attname::text ORDER BY k.place) AS columns
        FROM pg_index AS i
        CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (number, place)
        JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number
        WHERE i.indrelid = $1::text::regclass AND i.indisvalid
        GROUP BY i.indexrelid
        """,
        table,
    )
    assert any(row["columns"][: len(columns)] == columns for row in rows), [row["columns"] for row in rows]


async def test_services_are_counted_and_no_job_is_orphaned(pool):
    assert await pool.fetchval("SELECT COUNT(*) FROM agent_services") == 0
    orphans = "SELECT COUNT(*) FROM job_requests WHERE service_id NOT IN (SELECT id FROM agent_services)"
    assert await pool.fetchval(orphans) == 0
    # Nor could there ever be one.
    keys = await pool.fetchval(
        """
        SELECT count(*) FROM pg_constraint
        WHERE contype = 'f' AND conrelid = 'job_requests'::regclass AND confrelid = 'agent_services'::regclass
        """
    )
    assert keys >= 1


async def request(pool, nonce, age):
    await pool.execute(
        """
        INSERT INTO nonces (nonce, user_id, recipient, mint, currency, amount, reference, expires_at)
        SELECT $1, 'shop', $2, mint, 'USDC', 5, $3, now() - $4::text::interval
        FROM tokens WHERE symbol = 'USDC' AND network = 'devnet'
        """,
        nonce,
        ADDRESS,
        str(Keypair().pubkey()),
        age,
    )


async def order(pool, nonce):
    """A service, and a job that the request funds."""
    service = await pool.fetchval(
        "INSERT INTO agent_services (user_id, agent_id, payout_address, name, category, pricing_model, price_amount,"
        " price_mint, price_currency) SELECT 'seller', 'seller', recipient, 'Sums', 'ai', 'fixed', 5, mint, currency"
        " FROM nonces WHERE nonce = $1 RETURNING id",
        nonce,
    )
    new = NewJob(
        service_environment="live",
        service_id=service, client_user_id="client", client_agent_id="buyer", nonce=nonce, input=None,
        deadline=dt.datetime.now(dt.UTC), price_amount=5,
        price_mint=await pool.fetchval("SELECT mint FROM nonces WHERE nonce = $1", nonce),
    )  # fmt: skip
    assert await add_job(pool, new) is not None


async def test_a_nonce_is_found_and_expired_ones_are_cleared(pool):
    await pool.execute("INSERT INTO recipients (address, user_id, followed_from_slot) VALUES ($1, 'shop', 0)", ADDRESS)
    await request(pool, "old", "1 hour")
    await request(pool, "ordered", "1 hour")
    await request(pool, "young", "-1 hour")
    await order(pool, "ordered")
    (row,) = await pool.fetch("SELECT * FROM nonces WHERE nonce='young'")
    assert (row["user_id"], row["amount"]) == ("shop", 5)
    try:
        cleared = await pool.execute("DELETE FROM nonces WHERE expires_at < NOW()")
    except asyncpg.PostgresError as error:
        pytest.fail(f"the guide's own statement is refused: {error}")
    assert cleared == "DELETE 2"
    assert await pool.fetchval("SELECT nonce FROM nonces") == "young"
    assert await pool.fetchval("SELECT nonce FROM job_requests") == "ordered"
