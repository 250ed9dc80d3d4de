"""A command imports what it works with and nothing else: importing is most of the time that it takes to answer."""

import json
import subprocess
import sys

import pytest

# Each takes a tenth of a second or more, with all that it imports in turn.
LARGE = {
    "aiohttp", "alembic", "arq", "fastapi", "httpx", "limits", "litesvm", "pydantic", "redis", "solana", "solders",
    "spl", "sqlalchemy", "starlette", "uvicorn", "websockets",
}  # fmt: skip
READS_SETTINGS = {"pydantic"}
KNOWS_ADDRESSES = READS_SETTINGS | {"solders"}

IMPORTS = """
import json, sys
from cli.main import COMMANDS, _load
name = sys.argv[1]
if name:
    _load(name)
print(json.dumps(sorted(sys.modules)))
"""


def modules_of(command=""):
    """What is imported when a command is about to run; without one, when `pay402 --help` is."""
    ran = subprocess.run([sys.executable, "-c", IMPORTS, command], capture_output=True, check=True, text=True)
    return set(json.loads(ran.stdout))


@pytest.mark.parametrize(
    ("command", "may_import", "modules_max"),
    [
        ("", set(), 250),
        ("recipients", READS_SETTINGS, 620),
        ("events", READS_SETTINGS, 620),
        ("keys", READS_SETTINGS, 620),
        ("up", KNOWS_ADDRESSES, 700),
        ("indexer", KNOWS_ADDRESSES | {"aiohttp", "websockets"}, 850),
        ("worker", KNOWS_ADDRESSES | {"aiohttp", "arq", "redis", "solana", "spl"}, 1000),
        ("api", LARGE - {"alembic", "sqlalchemy", "arq", "litesvm", "websockets", "httpx"}, 1400),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_command_imports_no_more_than_it_works_with(command, may_import, modules_max):
    modules = modules_of(command)
    assert LARGE & modules <= may_import
    assert len(modules) <= modules_max


def test_the_names_of_large_packages_are_those_that_are_imported():
    """A name that is misspelled would never be found."""
    everything = modules_of("api") | modules_of("worker") | modules_of("migrate") | modules_of("localnet")
    assert {"fastapi", "starlette", "pydantic", "solders", "solana", "spl", "redis", "arq", "aiohttp"} <= everything
