"""`pay402 backup` and `pay402 restore` on a real Postgres, while somebody writes."""

import asyncio
import contextlib
import datetime as dt
import json
import re
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cli.backups import archive, postgres_client
from cli.backups.archive import Archive, contents
from cli.backups.restoration import scratch_database
from migrations import downgrade
from runtime.database import open_connection
from runtime.embedded.postgres import EmbeddedPostgres, postgres_binaries
from runtime.errors import OperatorError
from tests.support.command_line import eventually, pay402, running
from tests.support.databases import execute, short_lived_home

RECIPIENT = "7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q"


async def fill(pool, rows=200):
    """Rows with everything that a dump could get wrong: brackets, quotes, the largest amount, NULLs, JSON, arrays."""
    await pool.execute(
        "INSERT INTO recipients (address, user_id, label, followed_from_slot) VALUES ($1, 'shop', $2, 0)",
        RECIPIENT,
        'O\'Brien \\ "shop"\n\t☕',
    )
    await pool.execute(
        """
        INSERT INTO transfers (signature, path, slot, kind, program, mint, destination, amount, memos, block_time)
        SELECT repeat('a', 64), n::text, n, 'transfer', $1, $1, $1,
          18446744073709551615 - n, ARRAY['memo, {' || n || '}'], now() - n * interval '1.000001 s'
        FROM generate_series(1, $2::int) AS n
        """,
        RECIPIENT,
        rows,
    )


@contextlib.asynccontextmanager
async def writing(database_url):
    """Somebody who inserts events without a pause, two in each transaction; tells how many there are."""
    count = 0

    async def write():
        nonlocal count
        connection = await asyncpg.connect(database_url)
        try:
            while True:
                async with connection.transaction():
                    for part in ("a", "b"):
                        await connection.execute(
                            "INSERT INTO events (type, subject) VALUES ('test', $1)", f"{count}{part}"
                        )
                count += 1
        finally:
            connection.terminate()

    writer = asyncio.create_task(write())
    try:
        await eventually(lambda: count > 20)
        yield lambda: count
    finally:
        writer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writer


async def backup(home, database_url, *arguments):
    done = await pay402("backup", "--json", *arguments, home=home, DATABASE_URL=database_url)
    return done.json


@pytest.fixture
async def dump(home, database_url, pool):
    """The path of a backup of a database with rows in it."""
    await fill(pool)
    return Path((await backup(home, database_url))["file"])


def beside(dump, suffix):
    return dump.with_name(dump.name + suffix)


async def test_a_backup_taken_while_somebody_writes_comes_back_as_one_moment(home, database_url, empty_database, pool):
    await fill(pool)
    async with writing(database_url) as written:
        before = written()
        reported = await backup(home, database_url, "--verify")
        assert written() > before
    assert reported["verified"]
    restored = await pay402("restore", reported["file"], "--into", empty_database, home=home)
    assert (restored.code, restored.err) == (0, "")
    assert f"{reported['rows']} rows of {reported['tables']} tables" in restored.out

    connection = await asyncpg.connect(empty_database)
    try:
        # Whole transactions only, and none from before the backup was asked for is missing.
        rows = await connection.fetch("SELECT subject FROM events WHERE type = 'test' ORDER BY id")
        subjects = [row["subject"] for row in rows]
        assert len(subjects) >= 2 * before
        assert subjects == [f"{n}{part}" for n in range(len(subjects) // 2) for part in "ab"]
        assert await connection.fetchval("SELECT sum(amount) FROM transfers") == sum(
            18446744073709551615 - n for n in range(1, 201)
        )
        # It is a schema like any other: the next event gets the next number.
        last = await connection.fetchval("SELECT max(id) FROM events")
        assert await connection.fetchval("INSERT INTO events (type, subject) VALUES ('t', 's') RETURNING id") > last
    finally:
        await connection.close()
    databases = await pool.fetch("SELECT datname FROM pg_database WHERE datname LIKE 'pay402_verify_%'")
    assert databases == []


async def test_what_is_written_is_private_and_standard_tools_can_check_it(dump, home):
    directory = home / "backups"
    assert re.fullmatch(r"pay402-\d{8}T\d{6}Z\.dump", dump.name)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(dump.stat().st_mode) == 0o600
    checked = subprocess.run(
        ["sha256sum", "--check", f"{dump}.sha256"], cwd=directory, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert sorted(path.suffix for path in directory.iterdir()) == [".dump", ".json", ".sha256"]
    listed = subprocess.run(
        [postgres_binaries() / "pg_restore", "--list", dump], capture_output=True, text=True, check=True
    )
    assert "TABLE DATA public transfers" in listed.stdout


@pytest.mark.parametrize("suffix", ["", ".json"])
async def test_a_damaged_backup_is_refused_before_anything_is_touched(dump, home, empty_database, suffix):
    damaged = bytearray(beside(dump, suffix).read_bytes())
    damaged[100] ^= 1
    beside(dump, suffix).write_bytes(damaged)
    refused = await pay402("restore", dump, "--into", empty_database, home=home)
    refused.assert_refused(str(beside(dump, suffix)), "checksum")
    assert await tables(empty_database) == 0


@pytest.mark.parametrize("suffix", ["", ".json", ".sha256"])
async def test_a_backup_without_one_of_its_parts_is_refused(dump, home, empty_database, suffix):
    beside(dump, suffix).unlink()
    refused = await pay402("restore", dump, "--into", empty_database, home=home)
    refused.assert_refused(str(beside(dump, suffix)))


async def tables(dsn):
    async with open_connection(dsn) as connection:
        return len(await contents(connection))


async def test_a_database_that_holds_anything_is_never_written_to(dump, home, database_url, empty_database):
    (await pay402("restore", dump, "--into", database_url, home=home)).assert_refused("not empty")
    for statement in (
        "CREATE TABLE mine (id int)",
        "CREATE TYPE mine AS ENUM ('a')",
        "CREATE SCHEMA s; CREATE VIEW s.v AS SELECT 1",
    ):
        await execute(empty_database, statement)
        (await pay402("restore", dump, "--into", empty_database, home=home)).assert_refused("not empty")
        await execute(
            empty_database, "DROP TABLE IF EXISTS mine; DROP TYPE IF EXISTS mine; DROP SCHEMA IF EXISTS s CASCADE"
        )


async def test_what_comes_back_is_compared_and_a_difference_is_reported(dump, home, empty_database):
    """A dump that Postgres takes without complaint may still not be what was noted."""
    note = json.loads(beside(dump, ".json").read_text())
    note["tables"]["public.transfers"]["digest"] = "1"
    beside(dump, ".json").write_text(json.dumps(note))
    archive._seal(Archive(dump))
    refused = await pay402("restore", dump, "--into", empty_database, home=home)
    refused.assert_refused("public.transfers")


async def test_verify_alone_leaves_the_database_as_it_is(dump, home, database_url, pool):
    before = await pool.fetchval("SELECT count(*) FROM transfers")
    done = await pay402("restore", dump, "--verify", home=home, DATABASE_URL=database_url)
    assert (done.code, done.err) == (0, "")
    assert await pool.fetchval("SELECT count(*) FROM transfers") == before
    assert await pool.fetch("SELECT datname FROM pg_database WHERE datname LIKE 'pay402_verify_%'") == []


async def test_a_backup_of_an_older_schema_comes_back_and_what_is_to_do_is_printed(home, database_url, empty_database):
    await downgrade(database_url)
    reported = await backup(home, database_url)
    done = await pay402("restore", reported["file"], "--into", empty_database, home=home)
    assert done.code == 3
    assert "run pay402 migrate up." in done.err
    migrated = await pay402("migrate", "up", home=home, DATABASE_URL=empty_database)
    assert migrated.code == 0


async def test_old_backups_are_pruned_and_what_is_not_ours_stays(home, database_url):
    directory = home / "kept"
    first = Path((await backup(home, database_url, "--to", directory))["file"])
    # Two more on the same day, a year ago, of which one is enough; and one that has no checksum.
    for stamp in ("20230102T030000Z", "20230102T040000Z", "20230102T050000Z"):
        for suffix in ("", ".json", ".sha256"):
            shutil.copy(beside(first, suffix), directory / f"pay402-{stamp}.dump{suffix}")
    (directory / "pay402-20230102T050000Z.dump.sha256").unlink()
    (directory / "notes.txt").write_text("mine")
    first.rename(directory / "before.dump")
    reported = await backup(home, database_url, "--to", directory, "--keep-all")
    assert reported["pruned"] == []
    await asyncio.sleep(1)
    reported = await backup(home, database_url, "--to", directory)
    # The newest of a day stands for it; the older one of today goes too.
    assert [Path(one).name[7:15] for one in reported["pruned"]][:1] == ["20230102"]
    names = {path.name for path in directory.iterdir()}
    assert {"notes.txt", "before.dump", "pay402-20230102T040000Z.dump", "pay402-20230102T050000Z.dump"} <= names
    assert "pay402-20230102T030000Z.dump" not in names


async def test_prometheus_is_shown_a_backup_that_succeeded(home, database_url):
    metrics_file = home / "textfile" / "backup.prom"
    reported = await backup(home, database_url, "--metrics", metrics_file)
    samples = {
        one.name: one.value
        for family in text_string_to_metric_families(metrics_file.read_text())
        for one in family.samples
    }
    assert samples["pay402_backup_size_bytes"] == reported["bytes"]
    assert abs(samples["pay402_backup_timestamp_seconds"] - time.time()) < 60
    assert samples["pay402_backup_verified"] == 0
    assert stat.S_IMODE(metrics_file.stat().st_mode) == 0o644


async def test_a_backup_that_is_stopped_or_fails_leaves_nothing(home, database_url, pool):
    await fill(pool, 10)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE transfers IN ACCESS EXCLUSIVE MODE")
        async with running("backup", home=home, DATABASE_URL=database_url) as command:
            await eventually(lambda: list((home / "backups").glob("*.dump")))
            await eventually(
                lambda: pool.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            )
            done = await command.stopped()
        done.assert_refused("stopped")
    assert list((home / "backups").iterdir()) == []
    (home / "file").write_text("")
    refused = await pay402("backup", "--to", home / "file", home=home, DATABASE_URL=database_url)
    refused.assert_refused(str(home / "file"))


async def scratch_databases(pool):
    rows = await pool.fetch("SELECT datname FROM pg_database WHERE datname LIKE 'pay402_verify_%' ORDER BY 1")
    return {row["datname"] for row in rows}


async def test_what_a_killed_run_has_left_is_dropped_by_the_next_and_what_others_use_is_not(
    dump, home, database_url, pool, empty_database
):
    async with running("restore", dump, "--verify", home=home, DATABASE_URL=database_url) as command:
        (left,) = await eventually(lambda: scratch_databases(pool))
        await command.stopped(signal.SIGKILL)
    assert await scratch_databases(pool) == {left}

    async with contextlib.AsyncExitStack() as others:
        # A run of this database is under way, and so is one of another database of the server, which is killed.
        busy = await others.enter_async_context(scratch_database(database_url))
        foreign = await others.enter_async_context(scratch_database(empty_database))
        used = {urlsplit(dsn).path[1:] for dsn in (busy, foreign)}
        assert await scratch_databases(pool) == used
        done = await pay402("restore", dump, "--verify", home=home, DATABASE_URL=database_url)
        assert (done.code, done.err) == (0, "")
        assert await scratch_databases(pool) == used
        for dsn in (busy, foreign):
            await execute(dsn, "SELECT 1")
    assert await scratch_databases(pool) == set()


async def test_what_is_left_is_reported_and_dropped_though_its_programs_still_work_in_it(
    dump, home, database_url, pool
):
    async with running("restore", dump, "--verify", home=home, DATABASE_URL=database_url) as command:
        (left,) = await eventually(lambda: scratch_databases(pool))
        await command.stopped(signal.SIGKILL)
    lingering = await asyncpg.connect(urlsplit(database_url)._replace(path=f"/{left}").geturl())
    try:
        done = await pay402("backup", "--verify", home=home, DATABASE_URL=database_url)
        assert done.code == 0
        assert left in done.err
        assert await scratch_databases(pool) == set()
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            await lingering.execute("SELECT 1")
    finally:
        lingering.terminate()


async def test_two_backups_of_one_second_are_two(home, database_url):
    now = dt.datetime(2026, 1, 31, 3, 15, tzinfo=dt.UTC)
    made = await asyncio.gather(*(archive.take(database_url, home / "backups", now) for _ in range(2)))
    assert {one.dump.name for one, _ in made} == {"pay402-20260131T031500Z.dump", "pay402-20260131T031501Z.dump"}
    assert len(archive.archives_in(home / "backups")) == 2


async def test_no_password_is_seen_by_other_users_of_the_machine(home, database_url):
    """In the program's arguments or environment, or in what it is told when it fails."""
    secret = "pass:wo\\rd/%&x"
    socket = urlsplit(database_url).query
    dsn = f"postgresql://postgres:pass%3Awo%5Crd%2F%25%26x@/nowhere?{socket}"
    with postgres_client._address(dsn) as (address, environment):
        assert secret not in address
        assert "pass" not in address
        assert secret not in str(environment)
        passfile = Path(environment["PGPASSFILE"])
        assert passfile.read_text() == "*:*:*:*:pass\\:wo\\\\rd/%&x\n"
        assert stat.S_IMODE(passfile.stat().st_mode) == 0o600
        assert "DATABASE_URL" not in environment
    assert not passfile.exists()
    with pytest.raises(OperatorError) as raised:
        await postgres_client.run(postgres_binaries() / "pg_dump", "--file=/dev/null", dsn=dsn)
    assert "nowhere" in str(raised.value)
    assert "pass" not in str(raised.value)


async def test_a_password_that_the_server_demands_is_given():
    with short_lived_home() as directory:
        server = EmbeddedPostgres(directory, options={"fsync": "off"})
        server.enter()
        try:
            dsn = server.dsn("postgres")
            await execute(dsn, "ALTER USER postgres PASSWORD 'a:b\\c d'")
            hba = directory / "postgres" / "pg_hba.conf"
            hba.write_text("local all all scram-sha-256\n")
            await execute(dsn, "SELECT pg_reload_conf()")
            await eventually(lambda: refuses(dsn))
            secret = dsn.replace("postgres@", "postgres:a%3Ab%5Cc%20d@")
            reported = await backup(directory, secret, "--verify")
            assert reported["verified"]
        finally:
            hba.write_text("local all all trust\n")
            server.leave()


async def refuses(dsn):
    try:
        await execute(dsn, "SELECT 1")
    except asyncpg.InvalidPasswordError:
        return True
    return False


@pytest.mark.parametrize(("server", "program"), [(16, 16), (18, 18)])
async def test_the_program_is_the_oldest_that_the_server_accepts(server, program):
    path = await postgres_client.program("pg_dump", server)
    assert await postgres_client._major(path) == program


async def test_a_server_newer_than_every_program_is_refused():
    with pytest.raises(OperatorError, match="install Postgres' client programs 99"):
        await postgres_client.program("pg_dump", 99)
