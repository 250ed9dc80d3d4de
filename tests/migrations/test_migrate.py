"""Migrating: by many at once, within bounds, all or nothing."""

import asyncio
import sys
import time

import pytest

from migrations import downgrade, migrate, revisions, sql_files, status, upgrade
from migrations.status import check_current
from runtime.database import open_connection
from runtime.errors import OperatorError
from tests.migrations.catalog import catalog

UPGRADE = """
import asyncio, sys
from migrations import upgrade

print(asyncio.run(upgrade(sys.argv[1])).current)
"""


async def test_five_processes_at_once_apply_it_once(empty_database):
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            UPGRADE,
            empty_database,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for _ in range(5)
    ]
    ends = [await process.communicate() for process in processes]
    head = revisions.known_revisions()[-1]
    assert ends == [(f"{head}\n".encode(), b"")] * 5
    async with open_connection(empty_database) as connection:
        # What a version inserts is there once, and so is the version.
        assert await connection.fetchval("SELECT count(*) FROM tokens WHERE symbol = 'PYUSD'") == 2
        assert await connection.fetchval("SELECT count(*) FROM alembic_version") == 1


async def test_five_tasks_at_once_apply_it_once(empty_database, add_version):
    add_version("SELECT pg_sleep(0.3); CREATE TABLE slow (a int)", "DROP TABLE slow")
    results = await asyncio.gather(*(upgrade(empty_database) for _ in range(5)))
    assert [one.is_current for one in results] == [True] * 5


async def test_waiting_for_another_process_is_bounded(empty_database, monkeypatch):
    monkeypatch.setattr(migrate, "_WAIT_SECONDS", 0.3)
    async with open_connection(empty_database) as other:
        await other.execute(f"SELECT pg_advisory_lock({migrate._ADVISORY_LOCK})")
        with pytest.raises(OperatorError, match=r"^Another process has been migrating this database for 0\.3 s; wait"):
            await upgrade(empty_database)
        assert (await status(empty_database)).current is None
        await other.execute("SELECT pg_advisory_unlock_all()")
    assert (await upgrade(empty_database)).is_current


async def test_indexes_can_be_built_concurrently_while_others_wait_to_migrate(empty_database):
    async with open_connection(empty_database) as builder:
        await builder.execute("CREATE TABLE big (a int)")
        await builder.execute(f"SELECT pg_advisory_lock({migrate._ADVISORY_LOCK})")
        waiting = asyncio.create_task(upgrade(empty_database))
        await asyncio.sleep(0.5)
        async with asyncio.timeout(5):
            await builder.execute("CREATE INDEX CONCURRENTLY big_a ON big (a)")
        assert not waiting.done()
        await builder.execute("SELECT pg_advisory_unlock_all()")
        assert (await waiting).is_current


async def test_a_version_that_fails_leaves_no_trace_and_those_before_it_stay(empty_database, add_version):
    second = add_version("CREATE TABLE second (a int)", "DROP TABLE second")
    add_version("CREATE TABLE third (a int); SELECT 1 / 0", "DROP TABLE third")
    with pytest.raises(OperatorError, match=r"^A migration failed and was undone \(division by zero\); mend that"):
        await upgrade(empty_database)
    assert (await status(empty_database)).current == second
    names = {name for _, name, _ in await catalog(empty_database)}
    assert "second" in names
    assert "third" not in names


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        (
            "SELECT pg_terminate_backend(pg_backend_pid())",
            "^The database went away, and a migration was undone",
        ),
        (
            "SELECT * FROM not_there",
            '^The database refuses a migration, .*[(]relation "not_there" does not exist[)]',
        ),
        ("SELECT 1 / 0", "^A migration failed and was undone [(]division by zero[)]; mend that"),
    ],
    ids=["away", "refused", "defect"],
)
async def test_a_migration_that_fails_says_by_whose_fault(empty_database, add_version, statement, sentence):
    add_version(f"CREATE TABLE third (a int); {statement}", "DROP TABLE third")
    with pytest.raises(OperatorError, match=sentence):
        await upgrade(empty_database)
    assert "third" not in {name for _, name, _ in await catalog(empty_database)}


async def test_a_table_in_use_is_not_waited_for_long(database_url, add_version, monkeypatch):
    monkeypatch.setattr(sql_files, "_TIMEOUTS", sql_files._TIMEOUTS.replace("10s", "100ms"))
    before = await catalog(database_url)
    add_version("CREATE TABLE other (a int); ALTER TABLE transfers ADD COLUMN other int", "SELECT 1")
    async with open_connection(database_url) as reader, reader.transaction():
        await reader.execute("SELECT count(*) FROM transfers")
        started = time.monotonic()
        with pytest.raises(OperatorError, match="waited too long for a table that others use, and was undone"):
            await upgrade(database_url)
        assert time.monotonic() - started < 30
    assert await catalog(database_url) == before
    assert (await upgrade(database_url)).is_current


async def test_a_migration_runs_under_its_timeouts(empty_database, add_version):
    add_version(
        "CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS a, current_setting('statement_timeout') AS b",
        "DROP TABLE seen",
    )
    await upgrade(empty_database)
    async with open_connection(empty_database) as connection:
        assert tuple(await connection.fetchrow("SELECT a, b FROM seen")) == ("10s", "10min")


async def test_a_role_without_rights_is_reported(empty_database):
    async with open_connection(empty_database) as connection:
        await connection.execute("DROP ROLE IF EXISTS weak")
        await connection.execute("CREATE ROLE weak LOGIN")
    with pytest.raises(OperatorError, match=r"\(permission denied for schema public\)"):
        await upgrade(empty_database.replace("postgres@", "weak@"))


async def test_targets_are_revisions_and_steps(empty_database, add_version):
    second = add_version("CREATE TABLE second (a int)", "DROP TABLE second")
    third = add_version("CREATE TABLE third (a int)", "DROP TABLE third")
    first = revisions.known_revisions()[0]
    for move, target, expected in [
        (upgrade, "+1", first),
        (upgrade, second, second),
        (upgrade, "head", third),
        (upgrade, "head", third),
        (downgrade, "-1", second),
        (downgrade, first, first),
        (upgrade, third, third),
        (downgrade, "base", None),
        (downgrade, "base", None),
    ]:
        assert (await move(empty_database, target)).current == expected


@pytest.mark.parametrize("target", ["0099", "+99", "nonsense", "", "00"])
async def test_a_target_that_is_not_there_is_a_sentence(empty_database, target):
    with pytest.raises(
        OperatorError, match=r"^There is no way up to .* from an empty database; the revisions are 0001"
    ):
        await upgrade(empty_database, target)


async def test_no_more_steps_down_than_there_are(database_url):
    head = revisions.known_revisions()[-1]
    with pytest.raises(OperatorError, match=rf"^There is no way down to '-99' from {head}"):
        await downgrade(database_url, "-99")


async def test_a_process_starts_only_on_the_schema_it_was_made_for(empty_database, add_version):
    head = revisions.known_revisions()[-1]
    with pytest.raises(
        OperatorError, match=rf"^The schema is missing but this version needs {head}; run pay402 migrate up\.$"
    ):
        await check_current(empty_database)
    await upgrade(empty_database)
    await check_current(empty_database)
    async with open_connection(empty_database) as connection:
        await check_current(connection)

    newer = add_version("CREATE TABLE newer (a int)", "DROP TABLE newer")
    found = await status(empty_database)
    assert (found.current, found.head, found.pending) == (head, newer, (newer,))
    with pytest.raises(OperatorError, match=rf"^The schema is at {head} but this version needs {newer}; run pay402"):
        await check_current(empty_database)


async def test_a_schema_of_a_newer_version_is_left_alone(empty_database, add_version, monkeypatch):
    known = revisions.VERSIONS.parent
    newer = add_version("CREATE TABLE newer (a int)", "DROP TABLE newer")
    await upgrade(empty_database)
    for path in (known / "versions").glob(f"{newer}*"):
        path.unlink()
    revisions.known_revisions.cache_clear()

    found = await status(empty_database)
    assert found.is_unknown
    assert found.pending == ()
    reported = rf"^The schema is at {newer} but this version knows only up to {found.head}; install the newer pay402"
    for step in (check_current(empty_database), upgrade(empty_database), downgrade(empty_database, "base")):
        with pytest.raises(OperatorError, match=reported):
            await step
