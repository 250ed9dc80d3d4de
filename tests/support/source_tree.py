"""Where our sources are: the root of the repository, and the packages that a distribution is made of."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["setuptools"]["packages"]["find"]["include"]
    return tuple(name for name in included if not name.endswith(".*"))


PACKAGES = _packages()
"""The names of our packages, as pyproject.toml lists them."""


def files_of_packages(pattern: str) -> list[Path]:
    """Every file of our packages whose name matches `pattern`, sorted."""
    return sorted(path for name in PACKAGES for path in (ROOT / name).rglob(pattern))
