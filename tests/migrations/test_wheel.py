"""What is installed from a wheel can migrate: its SQL came along."""

import os
import shutil
import subprocess
import sys
import zipfile

from tests.support.source_tree import PACKAGES, ROOT

MIGRATE = """
import asyncio, sys
import migrations
from migrations import upgrade

print(migrations.__file__, asyncio.run(upgrade(sys.argv[1])).is_current)
"""


def test_a_wheel_migrates(tmp_path, empty_database):
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
