"""The embedded Postgres: shared, durable, and back after every way a process can die."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil
import pytest

from runtime.embedded.postgres import EmbeddedPostgres, postgres_binaries
from runtime.embedded.servers import embedded_postgres
from runtime.errors import OperatorError
from tests.support.child_processes import HOLD_POSTGRES, child

STOP_WHILE_STARTING = """
import asyncio, sys
from pathlib import Path
from runtime.embedded.servers import embedded_postgres
from runtime.process import run_until_signal

async def main(stop):
    print("starting", flush=True)
    async with embedded_postgres(Path(sys.argv[1])):
        await stop.wait()

run_until_signal(main)
"""


def postmaster(home):
    """The process id of the server below `home`, if it lives. Its children work in the same directory."""
    for process in psutil.process_iter(["name"]):
        with contextlib.suppress(psutil.Error):
            served = process.info["name"] == "postgres" and Path(process.cwd()) == home / "postgres"
            if served and process.parent().name() != "postgres":
                return process.pid
    return None


def exists(path):
    return Path(path).exists()


async def ask(dsn, query):
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_commits_are_durable_and_the_database_is_there(home):
    async with embedded_postgres(home) as dsn:
        assert await ask(dsn, "SELECT current_database()") == "pay402"
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert await ask(dsn, f"SHOW {setting}") == "on"
        assert await ask(dsn, "SHOW server_encoding") == "UTF8"
    assert postmaster(home) is None


async def test_the_address_works_for_libpq_too_and_foreign_settings_do_not_bend_it(made_home, monkeypatch):
    for name, value in {"PGPORT": "1", "PGHOST": "nowhere", "PGDATA": "/nowhere", "LC_ALL": "xx"}.items():
        monkeypatch.setenv(name, value)
    async with embedded_postgres(made_home) as dsn:
        assert await ask(dsn, "SELECT 1") == 1
        psql = [postgres_binaries() / "psql", dsn, "-tAc", "SELECT current_database()"]
        answer = await asyncio.to_thread(subprocess.check_output, psql, text=True)
        assert answer.strip() == "pay402"


@pytest.mark.parametrize("name", ["x" * 120, "a b,c'd\"e%f&g", "größe"])
async def test_a_home_may_have_any_name(home, name):
    async with embedded_postgres(home / name) as dsn:
        assert await ask(dsn, "SELECT current_database()") == "pay402"
        sockets = parse_qs(urlsplit(dsn).query)["host"][0]
        assert exists(sockets)
    assert postmaster(home / name) is None
    # Where the path was too long or too odd for sockets, they stood elsewhere: nothing stays there.
    assert sockets.startswith(f"{home}/") or not exists(sockets)


async def test_processes_that_start_at_once_share_it_and_the_last_to_leave_stops_it(home):
    with child(HOLD_POSTGRES, home) as first, child(HOLD_POSTGRES, home) as second:
        assert first.line() == second.line()
        server = postmaster(home)
        async with embedded_postgres(home) as dsn:
            assert first.end() == (0, "", "")
            assert await ask(dsn, "SELECT 1") == 1
        assert postmaster(home) == server
        assert second.end() == (0, "", "")
    assert postmaster(home) is None


async def test_two_homes_run_side_by_side(made_home, postgres):
    async with embedded_postgres(made_home) as one:
        await ask(one, "CREATE TABLE here (a int)")
        assert await ask(one, "SELECT to_regclass('here')") == "here"
        assert await ask(postgres.format("postgres"), "SELECT to_regclass('here')") is None
    assert await ask(postgres.format("postgres"), "SELECT 1") == 1


async def test_a_killed_process_leaves_a_server_that_the_next_takes_over_and_stops(made_home):
    with child(HOLD_POSTGRES, made_home) as victim:
        dsn = victim.line()
        await ask(dsn, "CREATE TABLE kept AS SELECT 1 AS a")
        victim.kill()
    orphan = postmaster(made_home)
    assert orphan is not None
    async with embedded_postgres(made_home) as again:
        assert postmaster(made_home) == orphan
        assert await ask(again, "SELECT a FROM kept") == 1
    assert postmaster(made_home) is None


async def test_what_was_committed_survives_when_everything_is_killed(made_home):
    with child(HOLD_POSTGRES, made_home) as victim:
        dsn = victim.line()
        await ask(dsn, "CREATE TABLE kept_through_it AS SELECT 1 AS a")
        victim.kill()
    os.kill(postmaster(made_home), signal.SIGKILL)
    assert (made_home / "postgres" / "postmaster.pid").exists()
    async with embedded_postgres(made_home) as again:
        assert await ask(again, "SELECT a FROM kept_through_it") == 1


async def test_a_stale_pid_file_whose_id_now_belongs_to_another_process_deceives_nobody(made_home):
    async with embedded_postgres(made_home):
        left_behind = (made_home / "postgres" / "postmaster.pid").read_text().splitlines()
    left_behind[0] = str(os.getpid())
    (made_home / "postgres" / "postmaster.pid").write_text("\n".join(left_behind) + "\n")
    started = time.monotonic()
    async with embedded_postgres(made_home) as dsn:
        assert await ask(dsn, "SELECT 1") == 1
    assert time.monotonic() - started < 60


async def test_a_start_that_was_killed_half_way_leaves_nothing_in_the_way(home):
    half_made = home / "postgres.new"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18\n")
    async with embedded_postgres(home) as dsn:
        assert await ask(dsn, "SELECT 1") == 1


async def test_a_signal_while_it_starts_leaves_no_server_behind(home):
    with child(STOP_WHILE_STARTING, home) as starting:
        assert starting.line() == "starting"
        starting.send(signal.SIGTERM)
        assert starting.end() == (0, "", "")
    assert postmaster(home) is None
    # It did get as far as making the data, so this start finds it whole.
    async with embedded_postgres(home) as dsn:
        assert await ask(dsn, "SELECT 1") == 1


async def test_a_cancelled_start_leaves_no_server_behind(made_home):
    async def use():
        async with embedded_postgres(made_home):
            await asyncio.sleep(60)

    task = asyncio.create_task(use())
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert postmaster(made_home) is None


async def test_a_server_that_was_stopped_meanwhile_is_no_error(made_home):
    async with embedded_postgres(made_home) as dsn:
        os.kill(postmaster(made_home), signal.SIGTERM)
        while postmaster(made_home) is not None:  # noqa: ASYNC110 - nobody tells us when a process is gone
            await asyncio.sleep(0.01)
        with pytest.raises(OSError):
            await asyncpg.connect(dsn)


async def test_data_of_an_older_version_is_served_by_that_version(home):
    made = EmbeddedPostgres(home, binaries=postgres_binaries(16))
    await asyncio.to_thread(made.enter)
    await asyncio.to_thread(made.leave)
    async with embedded_postgres(home) as dsn:
        assert (await ask(dsn, "SHOW server_version")).startswith("16.")


async def test_a_home_that_cannot_be_one_is_a_sentence(tmp_path):
    (tmp_path / "home").write_text("a file")
    with pytest.raises(OperatorError, match=r"^The embedded Postgres below .*home cannot be set up \(.*PAY402_HOME"):
        async with embedded_postgres(tmp_path / "home"):
            pass


def test_a_link_in_place_of_the_socket_directory_is_not_followed(home):
    server = EmbeddedPostgres(home / ("x" * 120))
    lure = server._new_socket_directory()
    lure.symlink_to(home)
    try:
        with pytest.raises(OperatorError, match="belongs to somebody else; remove it or set PAY402_HOME to a shorter"):
            server.enter()
        assert home.stat().st_uid == os.geteuid()
    finally:
        lure.unlink()


async def test_why_it_does_not_start_is_in_the_sentence(made_home):
    server = EmbeddedPostgres(made_home, options={"shared_buffers": "much"})
    with pytest.raises(OperatorError, match=r'does not start .*invalid value for parameter "shared_buffers"'):
        await asyncio.to_thread(server.enter)
    async with embedded_postgres(made_home) as dsn:
        assert await ask(dsn, "SELECT 1") == 1
