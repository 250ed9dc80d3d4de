"""The `pay402` command itself: fast to answer, and brief about failures."""

import os
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from cli.main import COMMANDS, app

IMPORTED_BY_HELP = """
import sys
from cli.main import run
sys.argv = ["pay402", "--help"]
try:
    run()
except SystemExit as end:
    assert end.code == 0
heavy = {"alembic", "sqlalchemy", "asyncpg", "aiohttp", "solders", "pydantic", "structlog", "cli.commands.demo"}
print("imported:", sorted(heavy & set(sys.modules)))
"""


def pay402(*arguments, script=None, **environment):
    command = [sys.executable, *(["-c", script] if script else ["-m", "cli"]), *arguments]
    inherited = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "LOG_LEVEL"}}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=inherited | environment)


def test_help_lists_every_command_and_imports_none():
    done = pay402(script=IMPORTED_BY_HELP)
    assert done.returncode == 0
    for name in COMMANDS:
        assert re.search(rf"\b{name}\b", done.stdout)
    assert done.stdout.splitlines()[-1] == "imported: []"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads_and_explains_itself(name):
    done = CliRunner().invoke(app, [name, "--help"], prog_name="pay402")
    assert done.exit_code == 0
    assert f"Usage: pay402 {name} " in done.stdout


def test_the_version_is_that_of_the_package():
    assert re.fullmatch(r"pay402 \d+\.\d+\.\d+\n", pay402("--version").stdout)


def test_an_unknown_command_is_a_usage_error_that_guesses():
    done = pay402("migrat")
    assert done.returncode == 2
    assert "Did you mean 'migrate'?" in done.stderr


def test_an_expected_failure_is_one_line():
    done = pay402("migrate", "status", DATABASE_URL="mysql://u:hunter2@db/x")
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"error: DATABASE_URL is not usable: .*; correct it\.\n", done.stderr)


FAILS = """
from cli import main
from runtime.errors import OperatorError

def fail(name):
    {body}

main._load = fail
import sys
sys.argv = ["pay402", "demo"]
main.run()
"""


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("raise OperatorError('Do this.', exit_code=4)", 4, r"error: Do this\.\n"),
        (
            "raise ExceptionGroup('tasks', [ValueError(1), ExceptionGroup('deep', [OperatorError('Do that.')])])",
            1,
            r"error: Do that\.\n",
        ),
        ("raise KeyboardInterrupt", 130, ""),
        (
            "raise KeyError('postgresql://u:hunter2@db/x')",
            70,
            r"error: this is a defect of pay402 \(KeyError: .*\*\*\*.*\); run it again with LOG_LEVEL=debug and .*\n",
        ),
        ("print('[bold]'); raise OperatorError('See [red]this[/red] [.')", 1, r"error: See \[red\]this\[/red\] \[\.\n"),
        (f"raise OperatorError('{'long ' * 60}.')", 1, rf"error: {'long ' * 60}\.\n"),
    ],
)
def test_failures_are_one_line_and_an_exit_code(body, code, said):
    done = pay402(script=FAILS.format(body=body))
    assert done.returncode == code
    assert re.fullmatch(said, done.stderr), done.stderr
    assert "hunter2" not in done.stderr


def test_a_defect_shows_its_traceback_to_who_asks_for_it():
    done = pay402(script=FAILS.format(body="raise KeyError('x')"), LOG_LEVEL="debug")
    assert done.returncode == 70
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: this is a defect of pay402 (KeyError: 'x')")
