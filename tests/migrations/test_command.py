"""`pay402 migrate`, as an operator and as a script run it."""

import json
import os
import re
import subprocess
import sys

import pytest

from migrations import revisions


@pytest.fixture
def migrate(empty_database):
    """Runs the command against an empty database."""

    def run(*arguments, **environment):
        known = {name: value for name, value in os.environ.items() if not name.endswith(("_ENV", "LOG_LEVEL"))}
        return subprocess.run(
            [sys.executable, "-m", "cli", "migrate", *arguments],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env=known | {"DATABASE_URL": empty_database} | environment,
        )

    return run


def test_up_status_and_down(migrate):
    head = revisions.known_revisions()[-1]
    fresh = migrate("status", "--check")
    assert (fresh.returncode, fresh.stderr) == (3, "")
    assert re.match(r"The schema is missing; to be applied: 0001", fresh.stdout)

    up = migrate("up")
    assert (up.returncode, up.stdout, up.stderr) == (0, f"The schema is at {head}, which is current.\n", "")
    done = migrate("status", "--json", "--check")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"current": head, "head": head, "pending": []}

    assert migrate("down", "--to", "base").returncode == 0
    done = migrate("status", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"current": None, "head": head, "pending": list(revisions.known_revisions())}


def test_up_and_down_print_for_scripts_what_status_prints(migrate):
    for arguments in (("up",), ("up",), ("down",), ("down", "--to", "base")):
        reported = migrate(*arguments, "--json")
        assert (reported.returncode, reported.stdout) == (0, migrate("status", "--json").stdout), arguments


def test_production_does_not_drop_anything_by_accident(migrate):
    migrate("up")
    refused = migrate("down", APP_ENV="production")
    assert refused.returncode == 1
    assert re.fullmatch(r"error: This drops tables .* In production, say --yes to mean it\.\n", refused.stderr)
    assert json.loads(migrate("status", "--json").stdout)["current"] is not None
    assert migrate("down", "--yes", APP_ENV="production").returncode == 0


def test_a_failure_is_one_line(migrate):
    done = migrate("up", "0099")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"error: There is no way up to '0099' from an empty database; .*\n", done.stderr)


def test_a_database_that_is_not_there_is_one_line_without_its_password(migrate):
    done = migrate("status", DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/x")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: The database at 127.0.0.1:1/x cannot be reached (connection refused); "
        "start it or correct DATABASE_URL.\n"
    )
