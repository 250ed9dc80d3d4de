"""What imports what: no cycles, not even for types; no other distribution under our names; tests share by support."""

import re
import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest

from checks.import_cycles import find_cycle, imports_of_files, imports_of_rooms, our_packages, room_of
from tests.support.source_tree import PACKAGES, ROOT

FILES = imports_of_files(our_packages())


def test_every_package_of_ours_is_examined():
    assert set(our_packages()) == set(PACKAGES)
    assert {room_of(module).partition(".")[0] for module in FILES} == set(PACKAGES)


def test_no_file_imports_itself_by_way_of_others():
    assert find_cycle(FILES) == []


def test_no_room_imports_itself_by_way_of_others():
    assert find_cycle(imports_of_rooms(FILES)) == []


def test_packages_at_the_root_do_not_import_each_other_in_circles():
    packages = {package: set() for package in PACKAGES}
    for module, imported in FILES.items():
        mine = module.partition(".")[0]
        packages[mine] |= {name for other in imported if (name := other.partition(".")[0]) != mine}
    assert find_cycle(packages) == []


@pytest.mark.parametrize("how", ["import {0}", "if TYPE_CHECKING:\n    import {0}", "def later():\n    import {0}"])
def test_a_cycle_would_be_found_however_it_is_made(how, tmp_path):
    package = tmp_path / "circular"
    (package / "one").mkdir(parents=True)
    (package / "two").mkdir()
    for init in (package, package / "one", package / "two"):
        (init / "__init__.py").write_text("")
    (package / "one" / "first.py").write_text("from typing import TYPE_CHECKING\nimport circular.two.second\n")
    back = how.format("circular.one.first")
    (package / "two" / "second.py").write_text(f"from typing import TYPE_CHECKING\n{back}\n")
    code = (
        "from checks.import_cycles import find_cycle, imports_of_files, imports_of_rooms\n"
        "files = imports_of_files(['circular'])\n"
        "print(len(find_cycle(files)), len(find_cycle(imports_of_rooms(files))))"
    )
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["3", "3"]


def test_no_other_distribution_owns_one_of_our_names():
    owners = packages_distributions()
    found = {name: set(owners.get(name, [])) - {"pay402"} for name in PACKAGES}
    assert {name: others for name, others in found.items() if others} == {}


def test_claims_are_imported_by_their_door_only():
    inside = {module for module in FILES if module.startswith("ledger.claims.")}
    assert inside
    outside = {
        module: imported & inside for module, imported in FILES.items() if not module.startswith("ledger.claims")
    }
    assert {module: found for module, found in outside.items() if found} == {}


def test_a_localnet_is_imported_by_the_command_line_tests_and_measurements_only():
    localnet = {module for module in FILES if module.partition(".")[0] == "localnet"}
    importers = {module.partition(".")[0] for module, imported in FILES.items() if imported & localnet}
    assert importers == {"cli", "localnet"}


def shares_by_itself(path):
    """True where a test file takes something from a test, or from the tests of another room."""
    room = path.relative_to(ROOT / "tests").parts[0]
    imports = re.findall(r"^\s*(?:from|import) tests\.([\w.]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    parts = [module.split(".") for module in imports]
    return any(names[-1].startswith("test_") or names[0] not in {"support", room} for names in parts)


def test_tests_share_by_way_of_support_only():
    found = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py") if shares_by_itself(path)}
    assert found == set()
