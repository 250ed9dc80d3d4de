"""What is installed from a wheel can migrate: its SQL came along."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.support.source_tree import PACKAGES, ROOT

MIGRATE = """
import asyncio, sys
import migrations
from migrations import upgrade

print(migrations.__file__, asyncio.run(upgrade(sys.argv[1])).is_current)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """What the wheel installs, and nothing else of ours."""
    tmp_path = tmp_path_factory.mktemp("wheel")
    # Built from a copy: building writes beside the sources.
    source = tmp_path / "source"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", source)
    pip = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(source)]
    subprocess.run([sys.executable, "-m", *pip], check=True, capture_output=True)
    installed = tmp_path / "installed"
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(installed)
    return installed


def test_the_command_line_of_a_wheel_runs_in_an_empty_environment(installed, tmp_path):
    points = next(installed.glob("*.dist-info")) / "entry_points.txt"
    assert "pay402 = cli.main:run" in points.read_text(encoding="utf-8")
    code = "import sys; sys.argv[0] = 'pay402'; from cli.main import run; run()"
    for command in ([sys.executable, "-c", code, "--help"], [sys.executable, "-m", "cli", "--help"]):
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=tmp_path, env={"PYTHONPATH": str(installed)}
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "402pay's payment ledger for Solana" in done.stdout


def test_a_wheel_migrates(installed, tmp_path, empty_database):
    done = subprocess.run(
        [sys.executable, "-c", MIGRATE, empty_database],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
    )
    assert done.stderr == ""
    assert done.stdout == f"{installed / 'migrations' / '__init__.py'} True\n"
