"""A backup restored into a server that knows no roles: each process works there with its own rights, and no others."""

import asyncpg
import pytest

from indexer.main import running_indexer
from migrations.roles import grants
from runtime.database import open_connection, open_pool
from tests.support.another_server import another_server
from tests.support.api_client import key_for, pay_usdc, proof_of, running_api
from tests.support.command_line import pay402
from tests.support.databases import execute
from tests.support.fixtures.followed_market import market, market_of
from tests.support.job_shop import fast_settings as worker_settings
from tests.support.ledger_checks import eventually, fast_settings, ledger_equals_chain
from worker.main import running_worker

__all__ = ["another_server", "market", "market_of"]

PROCESSES = ("indexer", "api", "worker")


async def rights(dsn):
    """Every right that our roles have: on schemas, tables, columns."""
    async with open_connection(dsn) as connection:
        rows = await connection.fetch(
            """
            SELECT 'schema' AS kind, n.nspname AS name, a.grantee::regrole::text AS role, a.privilege_type AS what
            FROM pg_namespace AS n CROSS JOIN aclexplode(n.nspacl) AS a
            UNION ALL
            SELECT 'table', c.oid::regclass::text, a.grantee::regrole::text, a.privilege_type
            FROM pg_class AS c CROSS JOIN aclexplode(c.relacl) AS a
            UNION ALL
            SELECT 'column', c.attrelid::regclass || '.' || c.attname, a.grantee::regrole::text, a.privilege_type
            FROM pg_attribute AS c CROSS JOIN aclexplode(c.attacl) AS a
            """
        )
    return {tuple(row) for row in rows if row["role"] in grants()}


async def backed_up(home, database_url):
    return (await pay402("backup", "--json", home=home, DATABASE_URL=database_url)).json["file"]


async def test_every_process_works_on_what_was_restored_with_a_login_of_its_own(
    home, market, net, pool, database_url, redis_url, another_server
):
    merchants_key = await key_for(pool)
    fast = fast_settings(INDEXER_FINALIZE_SECONDS=0.2)
    async with (
        running_indexer(fast, database_url, [net.rpc_url], [net.ws_url]),
        running_api(database_url, redis_url, [net.rpc_url]) as client,
    ):
        transaction, payer = await pay_usdc(market, 1_000_000)
        old = proof_of(payer, transaction, 1)
        assert (await client.holding(merchants_key).verify(old)).code == "VALID"
        await ledger_equals_chain(pool, market)
    file = await backed_up(home, database_url)

    await execute(another_server.dsn("postgres"), "CREATE DATABASE ledger")
    restored = another_server.dsn("ledger")
    done = await pay402("restore", file, home=home, DATABASE_URL=restored)
    assert (done.code, done.err) == (0, "")
    assert await rights(restored) == await rights(database_url) != set()
    login = {}
    for process in PROCESSES:
        await execute(restored, f"CREATE ROLE {process}_1 LOGIN IN ROLE pay402_{process}")
        login[process] = restored.replace("postgres@", f"{process}_1@")

    async with (
        running_indexer(fast, login["indexer"], [net.rpc_url], [net.ws_url]) as indexer,
        running_worker(worker_settings(), login["worker"], redis_url, [net.rpc_url]),
        running_api(login["api"], redis_url, [net.rpc_url]) as client,
        open_pool(restored, application="test") as there,
    ):
        await eventually(lambda: indexer.feed.watching >= 6)
        merchant = client.holding(merchants_key)
        assert (await merchant.verify(old)).code == "REPLAY_ATTACK"
        transaction, payer = await pay_usdc(market, 2_000_000)
        assert (await merchant.verify(proof_of(payer, transaction, 2))).code == "VALID"
        await ledger_equals_chain(there, market)
        finalized = "SELECT count(*) FROM transactions WHERE status = 'finalized'"
        await eventually(lambda: there.fetchval(f"SELECT ({finalized}) = 2"))
        # Each has shown itself, which takes the right to write it.
        roles = "SELECT array_agg(DISTINCT role ORDER BY role) FROM heartbeats WHERE at > now() - interval '1 minute'"
        await eventually(lambda: there.fetchval(f"SELECT ({roles})::text[] @> ARRAY['indexer', 'worker']"))
    for process, statement in (
        ("api", "UPDATE transfers SET amount = 1"),
        ("worker", "SELECT key FROM api_keys"),
        ("indexer", "UPDATE recipients SET user_id = 'me'"),
    ):
        async with open_connection(login[process]) as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


async def test_whoever_may_create_no_roles_restores_all_the_same_and_it_is_reported(home, database_url, another_server):
    file = await backed_up(home, database_url)
    admin = another_server.dsn("postgres")
    await execute(admin, "CREATE ROLE owner LOGIN")
    await execute(admin, "CREATE DATABASE ledger OWNER owner")
    theirs = another_server.dsn("ledger").replace("postgres@", "owner@")
    done = await pay402("restore", file, home=home, DATABASE_URL=theirs)
    assert done.code == 0
    assert "roles_without_rights" in done.err
    assert "pay402 migrate roles" in done.err
    assert await rights(theirs) == set()
    # The administrator runs what the command prints; then the rights are given.
    printed = await pay402("migrate", "roles", home=home, DATABASE_URL=theirs)
    await execute(admin, printed.out)
    assert (await pay402("migrate", "roles", home=home, DATABASE_URL=theirs)).code == 0
    assert await rights(theirs) == await rights(database_url)
