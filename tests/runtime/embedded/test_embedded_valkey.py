"""The embedded Valkey: shared, and back after every way a process can die."""

import json
import os
import shutil
import signal
import socket
from urllib.parse import urlsplit

import psutil
import pytest

from runtime.embedded.servers import embedded_valkey
from runtime.errors import OperatorError
from tests.support.child_processes import HOLD_VALKEY, child


def ask(url, command):
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(f"{command}\r\n".encode())
        return connection.recv(8192).decode()


def note(home):
    return json.loads((home / "valkey.json").read_text())


def assert_stopped(pid):
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_it_answers_on_loopback_and_is_gone_afterwards(home):
    async with embedded_valkey(home) as url:
        assert urlsplit(url).hostname == "127.0.0.1"
        assert ask(url, "SET a b") == "+OK\r\n"
        assert f"process_id:{note(home)['pid']}" in ask(url, "INFO server")
    with pytest.raises(OSError):
        ask(url, "PING")
    assert not (home / "valkey.json").exists()


@pytest.mark.parametrize("name", ["x" * 120, "a b,c'd\"e\\f"])
async def test_a_home_may_have_any_name(home, name):
    async with embedded_valkey(home / name) as url:
        assert ask(url, "PING") == "+PONG\r\n"


async def test_processes_share_it_and_the_last_to_leave_stops_it(home):
    with child(HOLD_VALKEY, home) as first, child(HOLD_VALKEY, home) as second:
        url = first.line()
        assert second.line() == url
        pid = note(home)["pid"]
        assert first.end()[0] == 0
        assert ask(url, "PING") == "+PONG\r\n"
        assert second.end() == (0, "", "")
    assert_stopped(pid)


async def test_a_killed_process_leaves_a_server_that_the_next_takes_over_and_stops(home):
    with child(HOLD_VALKEY, home) as victim:
        url = victim.line()
        ask(url, "SET kept 1")
        victim.kill()
    pid = note(home)["pid"]
    async with embedded_valkey(home) as again:
        assert again == url
        assert ask(again, "GET kept") == "$1\r\n1\r\n"
    assert_stopped(pid)


async def test_it_starts_again_when_everything_was_killed(home):
    with child(HOLD_VALKEY, home) as victim:
        victim.line()
        victim.kill()
    os.kill(note(home)["pid"], signal.SIGKILL)
    async with embedded_valkey(home) as url:
        assert ask(url, "PING") == "+PONG\r\n"


async def test_another_server_on_the_noted_port_deceives_nobody(home):
    async with embedded_valkey(home / "other") as other:
        mine = home / "mine"
        mine.mkdir()
        (mine / "valkey.json").write_text(json.dumps({"pid": os.getpid(), "port": urlsplit(other).port}))
        async with embedded_valkey(mine) as url:
            assert url != other
        assert ask(other, "PING") == "+PONG\r\n"


async def test_a_home_that_was_removed_leaves_no_server_behind(home):
    async with embedded_valkey(home) as url:
        pid = note(home)["pid"]
        assert ask(url, "PING") == "+PONG\r\n"
        shutil.rmtree(home)
    assert_stopped(pid)
    home.mkdir()  # for the fixture, which removes it


async def test_a_home_that_cannot_be_one_is_a_sentence(tmp_path):
    (tmp_path / "home").write_text("a file")
    with pytest.raises(OperatorError, match=r"^The embedded Valkey below .*home cannot be set up \(.*PAY402_HOME"):
        async with embedded_valkey(tmp_path / "home"):
            pass
