"""What each role may do, and what not: each process gets by with its own rights, and nobody has more."""

import ast
import asyncio
import importlib
import re
import sys
from contextlib import asynccontextmanager
from functools import cache

import asyncpg
import pytest

from ledger.sql import load_queries
from migrations import downgrade, upgrade
from migrations.migrate import give_rights
from migrations.roles import create_statements, grants
from runtime.database import open_connection
from runtime.embedded.postgres import EmbeddedPostgres
from tests.support.command_line import pay402 as run_command
from tests.support.databases import execute, short_lived_home
from tests.support.source_tree import ROOT

PROCESSES = ("indexer", "api", "worker")
WALLET, PAYER, MINT = "w" * 44, "p" * 44, "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU"
SIGNATURE = "5" * 88


@cache
def parsed(path):
    source = path.read_text(encoding="utf-8")
    return source, ast.parse(source)


def file_of_ledger(module):
    return ROOT / "ledger" / f"{module.replace('.', '/')}.py"


def defined_in(module, name):
    """The module of `ledger` that defines what `module` offers by that name, which may be a package's door."""
    offered = getattr(importlib.import_module(f"ledger.{module}"), name, None)
    return (getattr(offered, "__module__", None) or f"ledger.{module}").removeprefix("ledger.")


@cache
def functions_of_ledger(module):
    """The text of each function of a module of `ledger`, by name."""
    source, tree = parsed(file_of_ledger(module))
    functions = ast.AsyncFunctionDef | ast.FunctionDef
    return {node.name: ast.get_source_segment(source, node) for node in tree.body if isinstance(node, functions)}


@cache
def called_of_ledger(path):
    """(module, name) of each function of `ledger` that a file calls."""
    return tuple(_called_of_ledger(path))


def _called_of_ledger(path):
    source, tree = parsed(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and re.match(r"ledger(?!\.sql$)", node.module or ""):
            module = node.module.removeprefix("ledger").removeprefix(".")
            for alias in node.names:
                if module:
                    yield defined_in(module, alias.name), alias.name
                else:
                    # Of a module that is imported whole, what is called by its name.
                    called = re.findall(rf"\b{alias.asname or alias.name}\.(\w+)", source)
                    yield from ((defined_in(alias.name, name), name) for name in called)


def with_what_they_call(calls):
    """`calls`, and the functions that those call in their own and in other modules of `ledger`."""
    found, waiting = set(), list(calls)
    while waiting:
        module, name = call = waiting.pop()
        functions = functions_of_ledger(module) if file_of_ledger(module).is_file() else {}
        if call in found or name not in functions:
            continue
        found.add(call)
        waiting += [(module, other) for other in functions if re.search(rf"\b{other}\(", functions[name])]
        imported = called_of_ledger(file_of_ledger(module))
        waiting += [one for one in imported if re.search(rf"\b{one[1]}\(", functions[name])]
    return found


def statements_in(text, loading):
    """The statements that `text` runs of the files that `loading` loads."""
    for call in re.findall(r"load_queries\(([^)]*)\)", loading):
        package, *files = re.findall(r'"([^"]+)"', call)
        for file in files:
            queries = load_queries(package, file)
            for name in queries.available_queries:
                if re.search(rf"queries\.{name}\b", text):
                    yield file, name, getattr(queries, name).sql


def queries_of(process):
    """Every statement that a process runs: its own, those of `ledger` that it calls, and those of all processes."""
    paths = list((ROOT / process).rglob("*.py"))
    shared = [path for path in (ROOT / "runtime").glob("*.py") if path.name in {"heartbeat.py", "cluster.py"}]
    text = "".join(parsed(path)[0] for path in paths)
    found = set(statements_in(text, text))
    calls = [call for path in [*paths, *(shared if process != "api" else [])] for call in called_of_ledger(path)]
    for module, name in with_what_they_call(calls):
        source, _ = parsed(file_of_ledger(module))
        found.update(statements_in(functions_of_ledger(module)[name], source))
    return sorted(found)


QUERIES = [(process, *query) for process in PROCESSES for query in queries_of(process)]


def test_the_queries_of_the_processes_are_found():
    found = {(process, name) for process, _, name, _ in QUERIES}
    assert {("indexer", "record_batch"), ("indexer", "follow_transfers"), ("indexer", "orphan")} <= found
    assert {("api", "revenue_by_day"), ("api", "honour_claims")} <= found
    assert {("worker", "beat"), ("indexer", "name_cluster")} <= found
    assert ("api", "beat") not in found
    assert len(found) > 150


@asynccontextmanager
async def as_role(dsn, role):
    async with open_connection(dsn) as connection:
        await connection.execute(f"SET ROLE {role}")
        yield connection


@pytest.mark.parametrize(
    ("process", "file", "name", "statement"), QUERIES, ids=lambda one: one if len(one) < 40 else ""
)
async def test_a_process_may_run_each_of_its_queries(postgres, process, file, name, statement):
    # Explaining asks for every right that running would need, and changes nothing.
    async with as_role(postgres.format("template_ledger"), f"pay402_{process}") as connection:
        await connection.execute(f"EXPLAIN (GENERIC_PLAN) {statement}")


@pytest.mark.parametrize("role", grants())
async def test_a_process_can_see_whether_the_schema_is_its_own(database_url, role):
    if role == "pay402_analytics":
        pytest.skip("an analyst runs no process of ours")
    async with as_role(database_url, role) as connection:
        assert await connection.fetchval("SELECT version_num FROM alembic_version")


FORBIDDEN = {
    "pay402_indexer": [
        "SELECT key FROM api_keys",
        "INSERT INTO transactions DEFAULT VALUES",
        "UPDATE transactions SET amount = 1",
        "UPDATE transactions SET path = '0', user_id = 'me'",
        "DELETE FROM transactions",
        "DELETE FROM transfers",
        "DELETE FROM balance_changes",
        "UPDATE recipients SET user_id = 'me'",
        "INSERT INTO recipients DEFAULT VALUES",
        "SELECT wire FROM payout_attempts",
        "UPDATE payouts SET recipient = wallet",
        "UPDATE events SET type = 'x'",
        "UPDATE revenue_days SET received = 0",
    ],
    "pay402_api": [
        "INSERT INTO transfers DEFAULT VALUES",
        "UPDATE transfers SET amount = 1",
        "UPDATE transfers SET finality = 'finalized'",
        "UPDATE transfers SET recorded_at = now()",
        "DELETE FROM transfers",
        "UPDATE balance_changes SET post = 0",
        "DELETE FROM transactions",
        "DELETE FROM api_keys",
        "INSERT INTO payouts DEFAULT VALUES",
        "UPDATE payouts SET recipient = wallet",
        "SELECT wire FROM payout_attempts",
        "UPDATE events SET type = 'x'",
        "DELETE FROM events",
        "UPDATE token_accounts SET drift = 0",
        "UPDATE revenue_days SET received = 0",
        "UPDATE state_transitions SET to_status = 'finalized'",
    ],
    "pay402_worker": [
        "SELECT key FROM api_keys",
        "UPDATE api_keys SET revoked_at = NULL",
        "UPDATE api_keys SET permissions = permissions",
        "INSERT INTO transfers DEFAULT VALUES",
        "UPDATE transfers SET amount = 1",
        "DELETE FROM transfers",
        "UPDATE balance_changes SET post = 0",
        "DELETE FROM transactions",
        "DELETE FROM payouts",
        "DELETE FROM payout_attempts",
        "UPDATE recipients SET user_id = 'me'",
        "UPDATE events SET type = 'x'",
        "UPDATE state_transitions SET to_status = 'finalized'",
    ],
    "pay402_analytics": [
        "SELECT key FROM api_keys",
        "SELECT FROM api_keys",
        "SELECT FROM transfers",
        "SELECT FROM transactions",
        "SELECT FROM payout_attempts",
        "SELECT FROM idempotent_answers",
        "SELECT FROM nonces",
        "INSERT INTO events (type, subject) VALUES ('x', 'x')",
        "UPDATE analytics.recipients SET user_id = 'me'",
        "DELETE FROM analytics.events",
        "DELETE FROM transfers",
        "CREATE TABLE analytics.mine (a int)",
        "CREATE TABLE public.mine (a int)",
    ],
}


@pytest.mark.parametrize(
    ("role", "statement"), [(role, statement) for role, statements in FORBIDDEN.items() for statement in statements]
)
async def test_a_role_may_do_no_more(database_url, role, statement):
    async with as_role(database_url, role) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


async def test_only_its_owner_may_do_anything_that_no_role_is_granted(database_url):
    async with open_connection(database_url) as connection:
        rows = await connection.fetch(
            "SELECT c.relname, a.privilege_type, a.grantee::regrole::text AS grantee FROM pg_class AS c"
            " CROSS JOIN aclexplode(c.relacl) AS a"
            " WHERE c.relnamespace = ANY('{public,analytics}'::regnamespace[]) AND a.grantee <> c.relowner"
        )
    assert {row["grantee"] for row in rows} == set(grants())
    assert not {row["privilege_type"] for row in rows} & {"TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"}
    # What is written nowhere but at the chain's word, and what was sent, is never removed by anybody.
    assert not {
        (row["relname"], row["grantee"])
        for row in rows
        if row["privilege_type"] == "DELETE"
        and row["relname"] in {"transfers", "balance_changes", "transactions", "payouts", "payout_attempts", "api_keys"}
    }
    assert {row["privilege_type"] for row in rows if row["grantee"] == "pay402_analytics"} == {"SELECT"}


async def test_the_lock_of_a_transfer_is_no_way_to_change_it(database_url):
    async with open_connection(database_url) as owner:
        await owner.execute(
            "INSERT INTO transfers (signature, path, slot, kind, program, mint, source, amount)"
            f" VALUES ('{SIGNATURE}', '0', 1, 'transfer', '{MINT}', '{MINT}', '{PAYER}', 5)"
        )
        before = await owner.fetchrow("SELECT * FROM transfers")
    async with as_role(database_url, "pay402_api") as connection:
        await connection.execute("SELECT FROM transfers FOR SHARE")
        await connection.execute("UPDATE transfers SET lock_only = DEFAULT")
        with pytest.raises(asyncpg.GeneratedAlwaysError):
            await connection.execute("UPDATE transfers SET lock_only = true")
    async with open_connection(database_url) as owner:
        assert await owner.fetchrow("SELECT * FROM transfers") == before


@pytest.fixture
async def bare_server():
    """A server that knows none of our roles; gives the address of a database, with `{}` for its name."""
    with short_lived_home() as directory:
        server = EmbeddedPostgres(directory, options={"fsync": "off"})
        await asyncio.to_thread(server.enter)
        try:
            yield server.dsn("DATABASE").replace("DATABASE", "{}")
        finally:
            await asyncio.to_thread(server.leave)


async def roles_there(dsn):
    async with open_connection(dsn) as connection:
        return {row[0] for row in await connection.fetch("SELECT rolname FROM pg_roles WHERE rolname LIKE 'pay402%'")}


async def test_databases_of_one_server_are_migrated_at_the_same_time(bare_server):
    names = [f"ledger_{n}" for n in range(4)]
    for name in names:
        await execute(bare_server.format("postgres"), f"CREATE DATABASE {name}")
    # In processes of their own, for alembic holds its state in its module.
    migrate = "import asyncio, sys; from migrations import upgrade; asyncio.run(upgrade(sys.argv[1]))"
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", migrate, bare_server.format(name)) for name in names
    ]
    assert [await process.wait() for process in processes] == [0] * len(names)
    assert await roles_there(bare_server.format("postgres")) == set(grants())

    # Where one goes back, the others keep what they have.
    await downgrade(bare_server.format(names[0]), "0004")
    async with open_connection(bare_server.format(names[0])) as connection:
        left = "SELECT count(*) FROM pg_class, aclexplode(relacl) AS a WHERE a.grantee::regrole::text LIKE 'pay402%'"
        assert await connection.fetchval(left) == 0
    async with as_role(bare_server.format(names[1]), "pay402_analytics") as connection:
        assert await connection.fetchval("SELECT count(*) FROM analytics.transfers") == 0
    await downgrade(bare_server.format(names[0]), "base")
    assert await roles_there(bare_server.format("postgres")) == set(grants())


async def test_a_login_that_may_not_create_roles_migrates_all_the_same(bare_server, home):
    admin = bare_server.format("postgres")
    await execute(admin, "CREATE ROLE owner LOGIN")
    await execute(admin, "CREATE DATABASE ledger OWNER owner")
    dsn = bare_server.format("ledger").replace("postgres@", "owner@")
    assert (await upgrade(dsn)).is_current
    assert await roles_there(admin) == set()
    assert await give_rights(dsn) == tuple(grants())

    reported = await run_command("migrate", "roles", home=home, DATABASE_URL=dsn)
    assert (reported.code, reported.out) == (1, create_statements())
    assert reported.err.startswith("error: pay402_indexer, pay402_api")

    # An administrator runs what was printed; the owner's next try gives the rights.
    await execute(admin, reported.out)
    done = await run_command("migrate", "roles", home=home, DATABASE_URL=dsn)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{', '.join(grants())} have their rights, and no others.\n"
    async with as_role(bare_server.format("ledger"), "pay402_api") as connection:
        assert await connection.fetchval("SELECT count(*) FROM transfers") == 0


async def test_rights_beyond_ours_do_not_survive_an_upgrade(database_url):
    async with open_connection(database_url) as owner:
        await owner.execute(
            "GRANT ALL ON transfers TO pay402_analytics; GRANT UPDATE (amount) ON transfers TO pay402_api"
        )
    await upgrade(database_url)
    for role, statement in [("analytics", "SELECT FROM transfers"), ("api", "UPDATE transfers SET amount = 1")]:
        async with as_role(database_url, f"pay402_{role}") as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


# What a trigger notes is written with the rights of whoever makes the change.
NOTES = {
    "transfers": ["report_credit_changes"],
    "transactions": ["claim_changes", "report_claim_changes"],
    "nonces": ["report_request_changes"],
    "recipients": ["report_recipient_changes"],
}


async def test_whoever_changes_the_ledger_may_write_what_its_triggers_note(database_url):
    changed = "has_any_column_privilege($1, $2, 'INSERT') OR has_table_privilege($1, $2, 'DELETE') OR EXISTS ("
    changed += "SELECT FROM pg_attribute WHERE attrelid = $2::regclass AND attnum > 0 AND attname <> 'lock_only'"
    changed += " AND has_column_privilege($1, attrelid, attnum, 'UPDATE'))"
    written = set()
    async with open_connection(database_url) as connection:
        for process in PROCESSES:
            for table, notes in NOTES.items():
                if await connection.fetchval(f"SELECT {changed}", f"pay402_{process}", table):
                    for note in notes:
                        may = "SELECT has_table_privilege($1, $2, 'INSERT')"
                        assert await connection.fetchval(may, f"pay402_{process}", note), (process, note)
                        written.add((process, note))
    assert {("indexer", "report_credit_changes"), ("api", "report_recipient_changes")} <= written


async def test_a_worker_may_hold_what_reports_keep(database_url):
    async with as_role(database_url, "pay402_worker") as connection, connection.transaction():
        await connection.execute("LOCK TABLE report_state IN SHARE ROW EXCLUSIVE MODE")
