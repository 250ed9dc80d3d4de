"""Draws `docs/states.md` from `states.py`; a test compares them.

Use: `python -m ledger.states_document > docs/states.md`.
"""

import ast
import inspect
import sys
from collections.abc import Mapping
from enum import StrEnum

from ledger.states import MACHINES, NEW

_HEADING = """# Statuses

Drawn from `ledger/states.py` by `python -m ledger.states_document`; do not edit. The database holds the same
steps in `state_transitions` and refuses every other one, whoever asks.
"""


def drawing() -> str:
    """All state machines, each as a drawing and a list of what its statuses mean, in Markdown."""
    return "\n".join([_HEADING, *(_machine(name, *machine) for name, machine in MACHINES.items())])


def _machine(name: str, statuses: type[StrEnum], steps: Mapping[str, frozenset[StrEnum]]) -> str:
    arrows = [
        f"  {'[*]' if start == NEW else start} --> {end}"
        for start, ends in steps.items()
        for end in sorted(ends, key=list(statuses).index)
    ]
    arrows += [f"  {status} --> [*]" for status in statuses if status not in steps]
    lines = [f"## {name.capitalize()}", "", inspect.getdoc(statuses) or "", ""]
    lines += ["```mermaid", "stateDiagram-v2", *arrows, "```", ""]
    lines += ["| status | meaning |", "| --- | --- |"]
    lines += [f"| `{status}` | {meaning} |" for status, meaning in _meanings(statuses).items()]
    return "\n".join([*lines, ""])


def _meanings(statuses: type[StrEnum]) -> dict[str, str]:
    """What stands below each member in the source: Python itself forgets it."""
    (definition,) = ast.parse(inspect.getsource(statuses)).body
    assert isinstance(definition, ast.ClassDef)
    meanings, last = {}, ""
    for node in definition.body:
        match node:
            case ast.Assign(value=ast.Constant(value=str(value))):
                last = value
            case ast.Expr(value=ast.Constant(value=str(text))) if last:
                meanings[last] = " ".join(text.split())
    return meanings


if __name__ == "__main__":
    sys.stdout.write(drawing())
