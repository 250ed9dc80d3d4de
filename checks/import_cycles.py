"""Find import cycles between our files and between our rooms; imports for types alone count too.

A room is a package one level below the root (`api.verify`), or a file that stands beside such packages (`api.app`).
Run by `make check`.
"""

import sys
import tomllib
from collections import defaultdict
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

import grimp

PROJECT: Final = Path(__file__).parents[1] / "pyproject.toml"

Imports = Mapping[str, set[str]]
"""What each module or room imports, directly."""


def our_packages() -> list[str]:
    """The packages at the root, as pyproject.toml lists them for the import contracts."""
    with PROJECT.open("rb") as file:
        packages: list[str] = tomllib.load(file)["tool"]["importlinter"]["root_packages"]
    return packages


def imports_of_files(packages: list[str]) -> dict[str, set[str]]:
    """What each module of `packages` imports of them, whether to run or for its types."""
    graph = grimp.build_graph(*packages, include_external_packages=False, cache_dir=None)
    return {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}


def imports_of_rooms(files: Imports) -> dict[str, set[str]]:
    """What each room imports of the others."""
    rooms: defaultdict[str, set[str]] = defaultdict(set)
    for module, imported in files.items():
        room = room_of(module)
        rooms[room].update(other for other in map(room_of, imported) if other != room)
    return dict(rooms)


def room_of(module: str) -> str:
    """The room of a module: `api.verify` for `api.verify.proof`."""
    return ".".join(module.split(".")[:2])


def find_cycle(imports: Imports) -> list[str]:
    """One cycle of `imports`, its first member again at the end; empty when there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle[::-1]
    return []


def main() -> int:
    """Print a cycle of each kind; returns 1 when there is one."""
    files = imports_of_files(our_packages())
    cycles = {"files": find_cycle(files), "rooms": find_cycle(imports_of_rooms(files))}
    for kind, cycle in cycles.items():
        if cycle:
            print(f"import cycle of {kind}: {' -> '.join(cycle)}", file=sys.stderr)
    return 1 if any(cycles.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
