"""docs/analytics.md: every query of it runs, as the role of an analyst, and answers something on a full ledger."""

import datetime as dt
import re
from pathlib import Path

import pytest

from runtime.database import open_connection
from tests.support.small_ledger import add_claim, add_merchant, add_transfer, address

DOCUMENT = (Path(__file__).parent.parent / "docs" / "analytics.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"^### \d+\. ([^\n]+)\n\n```sql\n(.+?)```", DOCUMENT, re.MULTILINE | re.DOTALL)
NOW = dt.datetime.now(dt.UTC)


@pytest.fixture
async def ledger(pool):
    """A ledger that has something to answer to every query."""
    merchant = await add_merchant(pool, "merchant", 40)
    for n, status in enumerate(("finalized", "confirmed", "failed", "pending", "reversed")):
        await add_claim(pool, merchant, 10**6 + n, agent="buyer", status=status, at=NOW - dt.timedelta(minutes=n + 1))
    await add_transfer(pool, merchant, 5, at=NOW - dt.timedelta(minutes=5))
    # Somebody paid more than he claimed.
    await pool.execute("UPDATE transactions SET amount = amount - 1, least_amount = 1 WHERE status = 'finalized'")
    await _add_job(pool, merchant)


async def _add_job(pool, merchant):
    service = await pool.fetchval(
        "INSERT INTO agent_services (user_id, agent_id, payout_address, name, category, pricing_model, price_amount,"
        " price_mint, price_currency) SELECT 'merchant', 'seller', $1, 'Sums', 'ai', 'fixed', 7, mint, symbol"
        " FROM tokens WHERE network = 'devnet' AND symbol = 'USDC' RETURNING id",
        merchant.wallet,
    )
    await pool.execute(
        "INSERT INTO nonces (nonce, user_id, recipient, mint, currency, amount, reference, expires_at)"
        " SELECT 'job', 'merchant', $1, price_mint, 'USDC', 7, $2, now() FROM agent_services",
        merchant.wallet,
        address(99),
    )
    job = await pool.fetchval(
        "INSERT INTO job_requests (service_id, client_user_id, client_agent_id, provider_user_id, provider_agent_id,"
        " payout_address, price_amount, price_mint, price_currency, nonce, reference, settlement_wallet,"
        " settlement_user_id, environment, fund_until, deadline)"
        " SELECT s.id, 'client', 'buyer', s.user_id, s.agent_id, s.payout_address, 7, s.price_mint, 'USDC', n.nonce,"
        " n.reference, n.recipient, n.user_id, n.environment, n.expires_at, now()"
        " FROM agent_services AS s, nonces AS n WHERE s.id = $1 AND n.nonce = 'job' RETURNING id",
        service,
    )
    await pool.execute("UPDATE job_requests SET escrow_status = 'escrowed', escrowed_at = now()")
    claim = await pool.fetchval("SELECT id FROM transactions WHERE status = 'finalized'")
    await pool.execute("INSERT INTO job_fundings (claim_id, job_id, escrowed, rest) VALUES ($1, $2, 7, 0)", claim, job)
    await pool.execute(
        "INSERT INTO payouts (job_id, claim_id, part, kind, reason, wallet, recipient, mint, amount, reference)"
        " SELECT $1, $2, 'escrow', 'release', 'approved', $3, $3, price_mint, 7, $4 FROM agent_services",
        job, claim, merchant.wallet, address(98),
    )  # fmt: skip


def test_there_are_ten():
    assert len(QUERIES) == 10
    assert DOCUMENT.count("```sql") == 10


@pytest.mark.parametrize(("title", "query"), QUERIES, ids=[title[:30] for title, _ in QUERIES])
async def test_the_query_answers_an_analyst(database_url, ledger, title, query):
    async with open_connection(database_url) as connection:
        await connection.execute("SET ROLE pay402_analytics")
        rows = await connection.fetch(query.strip().rstrip(";"))
    assert rows, title


async def test_nobody_waits_for_less_than_no_time(pool, ledger):
    """A clock may have been set back between the two moments of a claim."""
    await pool.execute("UPDATE transactions SET honoured_at = \"timestamp\" - interval '1 s' WHERE path IS NOT NULL")
    (query,) = [query for title, query in QUERIES if title.startswith("How long payers wait")]
    (row,) = await pool.fetch(query.strip().rstrip(";"))
    assert row["median"] == row["p99"] == dt.timedelta(0)


async def test_every_view_is_in_the_table_and_nothing_else(pool):
    views = await pool.fetch("SELECT viewname FROM pg_views WHERE schemaname = 'analytics'")
    table = DOCUMENT.partition("| view |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == {row["viewname"] for row in views}
    assert not await pool.fetch(
        "SELECT viewname FROM pg_views WHERE schemaname = 'analytics'"
        " AND obj_description(format('analytics.%I', viewname)::regclass) IS NULL"
    )


async def test_the_logins_of_the_document_work_and_cannot_write(database_url):
    statements = re.findall(r"^    ((?:CREATE|ALTER) ROLE .+;)$", DOCUMENT, re.MULTILINE)
    assert len(statements) == 4
    async with open_connection(database_url) as owner:
        try:
            for statement in statements:
                await owner.execute(statement)
            async with open_connection(database_url.replace("postgres@", "analyst@")) as analyst:
                # The table of the same name is not to be seen.
                assert await analyst.fetchval("SELECT count(*) FROM claims") == 0
                assert await analyst.fetchval("SHOW default_transaction_read_only") == "on"
        finally:
            await owner.execute("DROP ROLE analyst")


@pytest.mark.parametrize(
    ("base_units", "decimals", "text"),
    [
        (2**64 - 1, 6, "18446744073709.551615"),
        (1, 9, "0.000000001"),
        (0, 6, "0.000000"),
        (-7, 2, "-0.07"),
        (5, 0, "5"),
        (3, 255, "0." + "3".rjust(255, "0")),
        (2**64 - 1, 255, "0." + str(2**64 - 1).rjust(255, "0")),
    ],
)
async def test_figures_of_the_views_are_exact(pool, base_units, decimals, text):
    assert await pool.fetchval("SELECT analytics.figure($1, $2)::text", base_units, decimals) == text


async def test_sums_of_the_views_are_those_of_the_tables(pool, ledger):
    totals = await pool.fetchrow(
        "SELECT (SELECT sum(received_base_units) FROM analytics.revenue) AS revenue,"
        " (SELECT sum(received) FROM transactions WHERE status IN ('confirmed', 'finalized')) AS claims,"
        " (SELECT sum(credited_base_units) FROM analytics.transfers) AS credited,"
        " (SELECT sum(amount - fee) FROM transfers) AS moved"
    )
    assert totals["revenue"] == totals["claims"] > 0
    assert totals["credited"] == totals["moved"] > 0
