"""Programs that read the files of deploy/, and where those files are."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"


def tool(name):
    """The path of a program; skips the test where it is not installed, unless `make check-deploy` demands it."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        end_test = pytest.fail if os.environ.get("DEMAND_TOOLS") else pytest.skip
        end_test(f"{name} is not installed here")
    return found


def run(name, *arguments, **options):
    """Run a program and return what it said; fails unless it ended with 0."""
    done = subprocess.run(
        [tool(name), *map(str, arguments)], capture_output=True, text=True, check=False, timeout=100, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
