"""Embedded servers after accidents: nothing is left behind, and nothing is a defect that an operator can mend."""

import json
import os
import signal

import psutil
import pytest

from runtime.embedded.servers import embedded_postgres, embedded_valkey
from runtime.errors import OperatorError
from tests.support.sentences import assert_sentence


def valkeys(home):
    """The process ids of every Valkey below `home`."""
    found = []
    for process in psutil.process_iter():
        try:
            if "valkey" in process.name() and process.cwd() == str(home / "valkey"):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


async def test_a_valkey_that_was_killed_is_followed_by_one_and_not_by_two(home):
    async with embedded_valkey(home):
        killed = json.loads((home / "valkey.json").read_text())["pid"]
        os.kill(killed, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(killed)] if psutil.pid_exists(killed) else [], timeout=10)
    # It had no time to take its pid file along.
    assert (home / "valkey" / "server.pid").read_text().strip() == str(killed)
    async with embedded_valkey(home):
        (running,) = valkeys(home)
    psutil.wait_procs([psutil.Process(running)] if psutil.pid_exists(running) else [], timeout=10)
    assert valkeys(home) == []


@pytest.mark.parametrize("made_by", ["17", "9.6", "", "eighteen"])
async def test_data_that_no_installed_postgres_can_read_are_a_sentence(home, made_by):
    (home / "postgres").mkdir()
    (home / "postgres" / "PG_VERSION").write_text(f"{made_by}\n")
    with pytest.raises(OperatorError) as raised:
        async with embedded_postgres(home):
            pass
    assert_sentence(str(raised.value), naming=("Postgres", "DATABASE_URL"))
    assert (home / "postgres" / "PG_VERSION").exists()
