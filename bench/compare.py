"""Two states of the code, measured in turns in one run: `python -m bench.compare --before REV verify ingest lag`.

The load of a machine changes from minute to minute, so figures of two runs cannot be compared. This program runs the
code of REV and the code of this tree in turns, and prints the ratio of the two.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

ROOT: Final = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class _Measurement:
    """Which number of a measurement's result is compared, row by row of that result.

    Attributes:
        row: The key that names a row.
        value: The key of the number.
        unit: What the number counts.
        is_rate: True where more is better.
    """

    row: str
    value: str
    unit: str
    is_rate: bool


_MEASUREMENTS: Final[Mapping[str, _Measurement]] = {
    "verify": _Measurement("connections", "verify", "a second", is_rate=True),
    "ingest": _Measurement("size", "seconds", "seconds a transaction", is_rate=False),
    "lag": _Measurement("rate", "median", "seconds", is_rate=False),
}


def main() -> int:
    """Measure both states in turns and print the ratios; exit code 1 when a measurement did not run."""
    parser = argparse.ArgumentParser(description="Measure the code of a revision and the code of this tree in turns.")
    parser.add_argument("--before", required=True, help="the revision to compare with")
    parser.add_argument("--rounds", type=int, default=3, help="how often each of the two is measured")
    parser.add_argument("names", nargs="+", choices=sorted(_MEASUREMENTS))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pay402-compare-") as directory:
        before = Path(directory) / "before"
        _git("clone", "--quiet", "--no-checkout", str(ROOT), str(before))
        _git("-C", str(before), "checkout", "--quiet", asked.before)
        measured: dict[str, tuple[list[Any], list[Any]]] = {name: ([], []) for name in asked.names}
        for turn in range(asked.rounds):
            for name in asked.names:
                # The second run finds warmer caches, so each of the two comes second every other time.
                order = (0, 1) if turn % 2 == 0 else (1, 0)
                for side in order:
                    result = _measure((before, ROOT)[side], name)
                    if result is None:
                        return 1
                    measured[name][side].append(result)
    for name, (old, new) in measured.items():
        _report(name, asked.before, old, new)
    return 0


def _git(*arguments: str) -> None:
    git = shutil.which("git") or "git"
    subprocess.run([git, *arguments], check=True)  # noqa: S603 - git of the caller, with arguments of ours


def _measure(tree: Path, name: str) -> Any:
    """The rows that one run of a measurement in `tree` gives, by the packages of that tree; `None` when it failed."""
    print(f"measuring {name} in {'this tree' if tree == ROOT else 'the tree before'}", file=sys.stderr)
    # The exit code is also 1 when a bound was missed; then there are figures.
    file = tree / "bench" / "results" / f"{name}.json"
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "bench", name]
    done = subprocess.run(command, cwd=tree, check=False, stdout=subprocess.DEVNULL)  # noqa: S603 - a program of ours
    if not file.is_file():
        print(f"error: {name} ended with {done.returncode} and no figures; run it alone to see why.", file=sys.stderr)
        return None
    result = json.loads(file.read_text(encoding="utf-8"))["result"]
    return result if isinstance(result, list) else result["points"]


def _report(name: str, revision: str, old: Sequence[Any], new: Sequence[Any]) -> None:
    compared = _MEASUREMENTS[name]
    table = Table(title=f"{name}: this tree against {revision}, {len(new)} rounds in turns")
    for column in (
        compared.row,
        f"before, {compared.unit}",
        f"now, {compared.unit}",
        "now / before, median",
        "best / best",
    ):
        table.add_column(column, justify="right")
    best = max if compared.is_rate else min
    for index, row in enumerate(new[0]):
        before = [result[index][compared.value] for result in old]
        now = [result[index][compared.value] for result in new]
        # Above 1 is better, whichever way the number goes.
        pairs = zip(now, before, strict=True) if compared.is_rate else zip(before, now, strict=True)
        ratios = [one / other for one, other in pairs]
        bests = (best(now), best(before)) if compared.is_rate else (best(before), best(now))
        table.add_row(
            str(row[compared.row]),
            f"{best(before):.4g}",
            f"{best(now):.4g}",
            f"{statistics.median(ratios):.2f}",
            f"{bests[0] / bests[1]:.2f}",
        )
    Console(width=110).print(table)
    print("More than 1 is better than before.")


if __name__ == "__main__":
    sys.exit(main())
