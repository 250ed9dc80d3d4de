"""What the wheel installs works where nothing else is: its commands start and its SQL came along."""

import os
import shutil
import subprocess
import sys
import venv

import pytest

from tests.support.source_tree import PACKAGES, ROOT

MIGRATE = """
import asyncio, sys
import migrations
from migrations import upgrade

print(migrations.__file__, asyncio.run(upgrade(sys.argv[1])).is_current)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """An environment of its own with the wheel and what it depends on, and nothing of the tree."""
    place = tmp_path_factory.mktemp("wheel")
    # Built from a copy: building writes beside the sources.
    source = place / "source"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", source)
    pip = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(place), str(source)]
    run([sys.executable, "-m", *pip], place)
    (wheel,) = place.glob("*.whl")
    made = place / "environment"
    venv.create(made, with_pip=False)
    # Compiled are the few modules that a test imports, when it does: all of them take most of a minute.
    into = ["pip", "--python", str(made / "bin" / "python"), "install", "--quiet", "--no-compile"]
    install = [sys.executable, "-m", *into]
    run([*install, "--only-binary", ":all:", "--require-hashes", "-r", str(ROOT / "requirements.lock")], place)
    # Without an index: what the wheel declares is met by what the lock file names, or this fails.
    run([*install, "--no-index", str(wheel)], place)
    return made


def run(command, place):
    """Run `command` in `place` as one does who has only the environment; its standard output."""
    ours = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    settings = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=place, env=settings)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("command", [["pay402"], ["python", "-m", "cli"]])
def test_the_command_line_runs(environment, tmp_path, command):
    program, *rest = command
    printed = run([str(environment / "bin" / program), *rest, "--help"], tmp_path)
    assert "402pay's payment ledger for Solana" in printed


def test_every_module_can_be_imported(environment, tmp_path):
    """Nothing that ships needs what only development has."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for name in PACKAGES
        for path in sorted((ROOT / name).rglob("*.py"))
        if path.name != "__main__.py" and "versions" not in path.parts and path.name != "env.py"
    ]
    code = f"import importlib\nfor name in {modules}: importlib.import_module(name)"
    run([str(environment / "bin" / "python"), "-c", code], tmp_path)


def test_it_migrates(environment, tmp_path, empty_database):
    printed = run([str(environment / "bin" / "python"), "-c", MIGRATE, empty_database], tmp_path)
    assert printed.startswith(str(environment))
    assert printed.endswith("/migrations/__init__.py True\n")
