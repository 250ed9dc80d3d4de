"""The logins that `pay402 migrate up` makes: from the addresses of the processes, with the rights of one role each."""

import asyncio
import re

import pytest

from migrations import give_logins, upgrade
from migrations.logins import scram_verifier
from runtime.database import open_connection
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.errors import OperatorError
from tests.support.command_line import pay402 as run_command
from tests.support.databases import execute, short_lived_home

PROCESSES = ("api", "indexer", "worker")


@pytest.fixture
async def server():
    """A server that asks for passwords, as those of deployments do; the address of a database for its owner."""
    with short_lived_home() as directory:
        running = EmbeddedPostgres(directory, options={"fsync": "off", "log_statement": "all"})
        await asyncio.to_thread(running.enter)
        try:
            dsn = running.dsn("postgres")
            rules = "local all postgres trust\nlocal all all scram-sha-256\nhost all all all scram-sha-256\n"
            async with open_connection(dsn) as connection:
                path = await connection.fetchval("SHOW hba_file")
                # Through the server, for the file may belong to an account of its own.
                await connection.execute(f"COPY (SELECT regexp_split_to_table('{rules}', '\\n')) TO '{path}'")
                await connection.execute("SELECT pg_reload_conf()")
            await upgrade(dsn)
            yield dsn
        finally:
            await asyncio.to_thread(running.leave)


def address(dsn, login, password):
    return re.sub(r"//[^@]*@", f"//{login}:{password}@", dsn)


async def rights_of(dsn):
    async with open_connection(dsn) as connection:
        return {
            name
            for name in ("api", "indexer", "worker", "analytics")
            if await connection.fetchval(f"SELECT pg_has_role(current_user, 'pay402_{name}', 'USAGE')")
        }


async def test_a_migration_makes_a_login_for_each_process_and_changes_its_password(server, home):
    def environment(password):
        return {f"{name.upper()}_DATABASE_URL": address(server, f"ledger_{name}", password) for name in PROCESSES}

    for password in ("first-Passw0rd", "second%20one"):
        for _ in range(2):
            done = await run_command("migrate", "up", home=home, DATABASE_URL=server, **environment(password))
            assert (done.code, done.err) == (0, "")
            assert password not in done.out
        for name in PROCESSES:
            assert await rights_of(address(server, f"ledger_{name}", password)) == {name}
    with pytest.raises(OperatorError, match="password"):
        await rights_of(address(server, "ledger_api", "first-Passw0rd"))


async def test_the_password_itself_never_reaches_the_server(server):
    await give_logins(server, {"pay402_api": address(server, "ledger_api", "hunter2-hunter2")})
    async with open_connection(server) as connection:
        stored = await connection.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = 'ledger_api'")
        log = await connection.fetchval("SELECT pg_read_file('server.log')")
    assert stored.startswith("SCRAM-SHA-256$4096:")
    # It holds every statement, as of an operator who looks for something.
    assert 'ALTER ROLE "ledger_api" LOGIN PASSWORD' in log
    assert "hunter2" not in stored + log
    assert scram_verifier("a") != scram_verifier("a")


async def test_a_login_that_served_another_process_keeps_nothing_of_it(server):
    own = address(server, "ledger_one", "a-password")
    await give_logins(server, {"pay402_worker": own})
    await give_logins(server, {"pay402_indexer": own})
    assert await rights_of(own) == {"indexer"}


@pytest.mark.parametrize(
    ("login", "says"),
    [
        ("postgres", "may do anything here"),
        ("mighty", "may do anything here"),
        ("", "has no login and password"),
        ("nobody:", "has no login and password"),
    ],
)
async def test_a_login_that_may_do_anything_is_refused(server, login, says):
    await execute(server, "CREATE ROLE mighty LOGIN CREATEROLE")
    dsn = re.sub(r"//[^@]*@", f"//{login}@" if not login or ":" in login else f"//{login}:x@", server)
    with pytest.raises(OperatorError, match=says):
        await give_logins(server, {"pay402_api": dsn})
    # The owner can still come in as before.
    await execute(server, "SELECT 1")


async def test_two_processes_do_not_share_a_login(server):
    own = address(server, "ledger_one", "a-password")
    with pytest.raises(OperatorError, match="same login"):
        await give_logins(server, {"pay402_api": own, "pay402_worker": own})


async def test_an_owner_who_may_make_no_login_is_shown_what_an_administrator_does(server):
    await execute(server, "CREATE ROLE owner LOGIN PASSWORD 'p'")
    await execute(server, "GRANT ALL ON SCHEMA public TO owner; GRANT SELECT ON alembic_version TO owner")
    with pytest.raises(OperatorError, match=r'CREATE ROLE "ledger_api" LOGIN PASSWORD .* IN ROLE pay402_api'):
        await give_logins(address(server, "owner", "p"), {"pay402_api": address(server, "ledger_api", "hunter2")})


async def test_names_of_logins_are_quoted(server):
    odd = address(server, "led%22%3Bger%20x", "p")
    await give_logins(server, {"pay402_api": odd})
    async with open_connection(server) as connection:
        assert await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", 'led";ger x')


async def test_an_owner_who_is_no_superuser_makes_them_all_the_same(home):
    """As with a hosted database: it may create roles, and has what it made."""
    with short_lived_home() as directory:
        running = EmbeddedPostgres(directory, options={"fsync": "off"})
        await asyncio.to_thread(running.enter)
        try:
            await execute(running.dsn("postgres"), "CREATE ROLE owner LOGIN CREATEDB CREATEROLE")
            await execute(running.dsn("postgres"), "CREATE DATABASE ledger OWNER owner")
            dsn = re.sub(r"//[^@]*@", "//owner@", running.dsn("ledger"))
            own = {f"{name.upper()}_DATABASE_URL": address(dsn, f"of_{name}", "a-password") for name in PROCESSES}
            for _ in range(2):
                done = await run_command("migrate", "up", home=home, DATABASE_URL=dsn, **own)
                assert (done.code, done.err) == (0, "")
            for name in PROCESSES:
                assert await rights_of(address(dsn, f"of_{name}", "a-password")) == {name}
        finally:
            await asyncio.to_thread(running.leave)
