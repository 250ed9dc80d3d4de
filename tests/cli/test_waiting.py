"""Whoever waits at a terminal sees what for; a file and a pipe hold what the command prints, and nothing else."""

import subprocess
import sys

import pytest

from tests.support.command_line import environment
from tests.support.terminals import at_a_terminal

WAIT = (
    "import sys, time\n"
    "from cli.printing import shown_waiting\n"
    "with shown_waiting('asking the chain') as say:\n"
    "    time.sleep(0.5); say('healing'); print('a line'); time.sleep(0.5)\n"
)


def test_a_terminal_shows_what_is_waited_for_and_keeps_what_is_printed(home):
    shown, printed, code = at_a_terminal([sys.executable, "-c", WAIT], environment(home, {}))
    assert "asking the chain" in shown
    assert "healing" in shown
    assert "0:00:0" in shown
    assert (printed, code) == ("a line\n", 0)


def test_a_pipe_gets_nothing_but_the_result(home):
    done = subprocess.run(
        [sys.executable, "-c", WAIT], env=environment(home, {}), capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("a line\n", "")


@pytest.mark.parametrize("command", [("doctor", "--at-rest"), ("migrate", "up")])
def test_commands_that_take_long_say_what_they_do(home, empty_database, command):
    env = environment(home, {"DATABASE_URL": empty_database})
    shown, printed, _ = at_a_terminal([sys.executable, "-m", "cli", *command], env)
    assert {"doctor": "examining settings", "migrate": "migrating"}[command[0]] in shown
    assert printed.strip()
    assert "\x1b" not in printed
