"""The operator's table in docs/runbook.md: each fault made for real, and what is printed held against its row."""

import json
import re
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis.asyncio

from cli.diagnosis import database
from ledger.cluster import name_cluster
from runtime.embedded.postgres import EmbeddedPostgres
from tests.support.api_processes import own_redis
from tests.support.command_line import pay402
from tests.support.databases import execute, short_lived_home
from tests.support.pgbouncer import needs_pgbouncer, pooled
from tests.support.source_tree import ROOT
from tests.support.tls_postgres import HOST, needs_tls_postgres, tls_postgres

POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")


def rows():
    """What is printed and the exit code, by fault."""
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    table = runbook.partition("\n## What an operator may meet\n")[2].partition("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("| ")
    ]
    return {fault: (printed.strip("`"), int(code)) for fault, printed, _, code in cells[1:] if code.isdecimal()}


ROWS = rows()


def agrees(fault, done):
    """What a command printed, and how it ended, is what the fault's row says."""
    printed, code = ROWS[fault]
    pattern = ".*".join(map(re.escape, printed.split("…")))
    said = " ".join((done.out + done.err).split())
    assert re.search(pattern, said), f"{printed!r} is not in {said[-900:]!r}"
    assert done.code == code, said[-900:]
    assert "defect" not in said
    assert "Traceback" not in said


@pytest.fixture
def variables(database_url, redis_url, net):
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "SOLANA_RPC_URL": net.rpc_url, "PORT": "0"}


def finding(done, part, check):
    """One finding of doctor's, as `detail; remedy`."""
    found = {(one["part"], one["check"]): one for one in json.loads(done.out)["findings"]}[part, check]
    return type(done)(done.code, f"{found['detail']}; {found['remedy']}".rstrip("; "), done.err)


async def doctor(home, variables, part, check):
    return finding(await pay402("doctor", "--json", home=home, **variables), part, check)


@pytest.mark.parametrize("process", ["indexer", "worker", "api"])
async def test_wrong_cluster(process, home, variables, pool):
    await name_cluster(pool, "another chain's", "localnet")
    agrees("wrong cluster", await pay402(process, home=home, **variables))


@pytest.mark.parametrize("process", ["indexer", "worker", "api", "migrate up", "keys create"])
async def test_read_only_database(process, home, variables, pool):
    name = await pool.fetchval("SELECT current_database()")
    await pool.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    agrees("read-only database", await pay402(*process.split(), home=home, **variables))
    agrees("read-only database, found by doctor", await doctor(home, variables, "database", "writes"))


@needs_pgbouncer
async def test_pgbouncer_in_both_modes(home, variables, database_url):
    async with pooled(database_url, "session") as address:
        done = await doctor(home, {**variables, "DATABASE_URL": address}, "database", "pooling")
        done = type(done)(0, done.out, done.err)  # doctor itself fails here for want of a running indexer
        agrees("PgBouncer, session mode", done)
    async with pooled(database_url, "transaction") as address:
        agrees(
            "PgBouncer, transaction mode", await pay402("indexer", home=home, **variables | {"DATABASE_URL": address})
        )


async def test_full_redis_and_redis_without_rights(home, variables):
    async with own_redis() as own:
        client = redis.asyncio.from_url(own.url)
        await client.acl_setuser(
            "limited", enabled=True, passwords=["+secret"], commands=["+ping", "+info"], keys=["*"]
        )
        limited = own.url.replace("redis://", "redis://limited:secret@")
        agrees("Redis without rights", await doctor(home, {**variables, "REDIS_URL": limited}, "redis", "writes"))
        await client.config_set("maxmemory-policy", "noeviction")
        await client.config_set("maxmemory", 1)
        await client.aclose()
        agrees("full Redis", await doctor(home, {**variables, "REDIS_URL": own.url}, "redis", "writes"))
        by_tls = own.url.replace("redis://", "rediss://")
        agrees("TLS to a Redis without", await doctor(home, {**variables, "REDIS_URL": by_tls}, "redis", "ping"))


@needs_tls_postgres
async def test_tls_to_postgres(home, variables):
    with tls_postgres() as (_, certificate):
        address = f"postgresql://postgres@{HOST}:5432/postgres"
        refused = await pay402("indexer", home=home, **variables | {"DATABASE_URL": f"{address}?sslmode=disable"})
        agrees("no TLS to a Postgres that asks for it", refused)
        checked = f"{address}?sslmode=verify-full&sslrootcert={certificate}"
        by_tls = await pay402("migrate", "status", home=home, DATABASE_URL=checked)
        assert (by_tls.code, "missing" in by_tls.out) == (0, True)


@needs_pgbouncer
async def test_tls_to_a_postgres_without(home, variables, database_url):
    async with pooled(database_url, "session") as plain:
        by_tls = variables | {"DATABASE_URL": f"{plain}?sslmode=require"}
        agrees("TLS to a Postgres without", await pay402("indexer", home=home, **by_tls))


@pytest.mark.skipif(not POSTGRES_15.is_dir(), reason="no Postgres 15 is installed")
@pytest.mark.parametrize("command", [("indexer",), ("worker",), ("api",), ("migrate", "up"), ("backup",)])
async def test_postgres_15(command, home, variables):
    with server_of(home / "old", binaries=POSTGRES_15) as server:
        done = await pay402(*command, home=home, **variables | {"DATABASE_URL": server.dsn("postgres")})
    agrees("Postgres 15", done)


@contextmanager
def server_of(home, **how):
    server = EmbeddedPostgres(home, **{"options": {"fsync": "off"}, **how})
    server.enter()
    try:
        yield server
    finally:
        server.leave()


async def test_wrong_password(variables):
    with short_lived_home() as home:
        with server_of(home) as server:
            await execute(server.dsn("postgres"), "CREATE ROLE shop LOGIN PASSWORD 'right'")
        hba = home / "postgres" / "pg_hba.conf"
        hba.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
        with server_of(home) as server:
            address = server.dsn("postgres").replace("postgres@", "shop:wr0ng@")
            done = await pay402("indexer", home=home, **variables | {"DATABASE_URL": address})
    agrees("wrong password", done)
    assert "wr0ng" not in done.err


async def test_port_taken(home, variables, taken_port):
    agrees("port taken, of the API", await pay402("api", home=home, **variables | {"PORT": str(taken_port)}))
    taken = variables | {"METRICS_PORT": str(taken_port)}
    agrees("port taken, of the metrics", await pay402("indexer", home=home, **taken))


async def test_a_clock_that_is_an_hour_off(database_url, monkeypatch):
    # The machine's own clock is not ours to set.
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600)
    found = {one.check: one for one in await database.examine(database_url, production=False, at_rest=True)}
    printed, code = ROWS["clock an hour off"]
    assert (found["clock"].verdict, code) == ("failure", 1)
    pattern = ".*".join(map(re.escape, printed.split("…")))
    assert re.search(pattern, f"{found['clock'].detail}; {found['clock'].remedy}")


def test_each_row_of_the_table_is_tried():
    source = Path(__file__).read_text(encoding="utf-8")
    assert ROWS
    assert [fault for fault in ROWS if f'"{fault}"' not in source] == []
