"""Hold each call of a named query against its SQL: the name is there, and its parameters are those that are passed.

What `load_queries` returns has no types of its own, so nothing else notices a wrong name or parameter before the
statement runs. A query that nothing names is dead code. Run by `make check`.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from checks.import_cycles import PROJECT, our_packages
from ledger.sql import load_queries

ROOT: Final = PROJECT.parent
# A query that answers rows has a second form, which reads them by a cursor.
_CURSOR: Final = "_cursor"

Queries = Mapping[str, frozenset[str]]
"""The parameters of each query, by its name."""


@dataclass
class Module:
    """A file that loads queries: under which name, from which files, and each use of one."""

    path: Path
    loaded: dict[str, tuple[str, ...]] = field(default_factory=dict)
    uses: list[tuple[ast.Attribute, ast.Call | None]] = field(default_factory=list)


def queries_of(package: str, *files: str) -> Queries:
    """The queries of these files, by what their SQL says."""
    queries = load_queries(package, *files)
    parameters = queries.driver_adapter.var_sorted
    return {name: frozenset(parameters[name]) for name in queries.available_queries if not name.endswith(_CURSOR)}


def read_module(path: Path) -> Module:
    """What the file at `path` loads, and where it uses it."""
    tree, module = ast.parse(path.read_text(encoding="utf-8")), Module(path)
    called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and (files := _files_loaded(node.value)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            module.loaded |= {target.id: files for target in targets if isinstance(target, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in module.loaded:
            module.uses.append((node, called.get(id(node))))
    return module


def _files_loaded(value: ast.expr) -> tuple[str, ...]:
    """The arguments of a call of `load_queries`; empty for anything else."""
    if not (isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "load_queries"):
        return ()
    return tuple(one.value for one in value.args if isinstance(one, ast.Constant) and isinstance(one.value, str))


def faults(module: Module) -> Iterator[str]:
    """What is wrong in a module, a sentence each."""
    known = {name: queries_of(*files) for name, files in module.loaded.items()}
    for use, call in module.uses:
        assert isinstance(use.value, ast.Name)
        queries, place = known[use.value.id], f"{module.path.relative_to(ROOT)}:{use.lineno}"
        name = use.attr.removesuffix(_CURSOR)
        if name not in queries:
            yield f"{place}: there is no query {name}; see {', '.join(module.loaded[use.value.id][1:])}"
        elif call is not None and (wrong := _wrong_parameters(call, queries[name])):
            yield f"{place}: {name} is called with other parameters than its SQL has: {', '.join(wrong)}"


def _wrong_parameters(call: ast.Call, wanted: frozenset[str]) -> list[str]:
    """Names that are missing or too many; none where parameters are passed by their place or as a mapping."""
    if len(call.args) != 1 or any(one.arg is None for one in call.keywords):
        return []
    return sorted(wanted ^ {one.arg for one in call.keywords if one.arg is not None})


def main() -> int:
    """Print what is wrong; 1 where anything is."""
    paths = [path for package in our_packages() for path in sorted((ROOT / package).rglob("*.py"))]
    modules = [module for module in map(read_module, paths) if module.loaded]
    wrong = [fault for module in modules for fault in faults(module)]
    used: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    for module in modules:
        for files in module.loaded.values():
            used[files] |= set()
        for use, _ in module.uses:
            assert isinstance(use.value, ast.Name)
            used[module.loaded[use.value.id]].add(use.attr.removesuffix(_CURSOR))
    for files, names in used.items():
        wrong += [f"{', '.join(files)}: nothing uses the query {name}" for name in queries_of(*files).keys() - names]
    print("\n".join(wrong) if wrong else f"{sum(map(len, used.values()))} queries are called as their SQL says")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
