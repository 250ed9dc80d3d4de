"""What is declared as a dependency has a range, and the lock files pin it within that range, by hash."""

import ast
import re
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.support.source_tree import PACKAGES, ROOT, files_of_packages


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def locked(name):
    """Every version that a lock file pins, by package; fails on anything in it that is no pin with hashes."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    pins = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        pin, *hashes = re.split(r"\s+--hash=", line)
        assert hashes, f"{name}: {line[:80]}"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes)
        requirement = Requirement(pin)
        assert requirement.url is None
        (exact,) = requirement.specifier
        assert exact.operator == "=="
        pins.setdefault(canonicalize_name(requirement.name), []).append(Version(exact.version))
    return pins


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("requirements.lock", ["build"]),
        ("requirements-parquet.lock", ["build", "parquet"]),
        ("requirements-dev.lock", ["build", "dev", "parquet"]),
    ],
)
def test_a_lock_pins_every_dependency_within_its_range(lock, extras):
    declared = project()["project"]
    wanted = [*declared["dependencies"], *(one for extra in extras for one in declared["optional-dependencies"][extra])]
    pins = locked(lock)
    for requirement in map(Requirement, wanted):
        versions = pins.get(canonicalize_name(requirement.name), [])
        assert versions, f"{requirement} is not in {lock}; run make lock"
        assert all(version in requirement.specifier for version in versions), f"{requirement}: {versions}"


def test_the_development_lock_adds_to_the_other_and_changes_nothing():
    ours, development = locked("requirements.lock"), locked("requirements-dev.lock")
    assert {name: development.get(name) for name in ours} == ours
    image = locked("requirements-parquet.lock")
    assert image == {**ours, "pyarrow": development["pyarrow"]}


def test_the_published_clients_are_locked_at_the_versions_that_are_asked_for():
    lines = (ROOT / "requirements-clients.in").read_text(encoding="utf-8").splitlines()
    pins = locked("requirements-clients.lock")
    for requirement in map(Requirement, filter(None, (line.partition("#")[0].strip() for line in lines))):
        (version,) = pins[canonicalize_name(requirement.name)]
        assert version in requirement.specifier


# What a package is imported as, where that is not its name.
IMPORTED_AS = {"pyjwt": {"jwt"}, "solana": {"solana", "spl"}}


def imported_by_us():
    """Every package of others that a file of ours imports, for its types too."""
    ours = set(PACKAGES) | set(sys.stdlib_module_names) | {"__future__", "_typeshed"}
    found = set()
    for path in files_of_packages("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add((node.module or "").partition(".")[0])
    return found - ours


def test_whatever_is_imported_is_declared():
    declared = project()["project"]
    wanted = [*declared["dependencies"], *declared["optional-dependencies"]["parquet"]]
    names = {canonicalize_name(Requirement(one).name) for one in wanted}
    importable = set().union(*(IMPORTED_AS.get(name, {name.replace("-", "_")}) for name in names))
    assert imported_by_us() - importable == set()


def test_every_dependency_has_a_range_with_both_ends():
    declared = project()["project"]
    for requirement in map(Requirement, declared["dependencies"]):
        operators = {one.operator for one in requirement.specifier}
        assert operators == {">=", "<"}, requirement
