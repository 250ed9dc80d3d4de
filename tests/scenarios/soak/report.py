"""What a soak found: printed as a table, written as JSON, drawn as PNG."""

import statistics
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.report import RESULTS, write_result
from tests.scenarios.soak.logs import spoken
from tests.scenarios.soak.memory import CACHES_MEGABYTES, JUDGED, SAMPLE_SECONDS, Life
from tests.scenarios.soak.verdict import Point, Soak, unexplained

_WIDTH = 150
_PARTS = (*JUDGED, "localnet")
_ANSWERS = ((200, "tab:green", "honoured"), (402, "tab:blue", "not yet, or used"), (503, "tab:red", "503"))
_COLOURS = {"killed": "tab:red", "crashed": "tab:red", "cut": "tab:orange", "flushed": "tab:orange"}


def conclude(soak: Soak, points: list[Point], *, name: str = "soak") -> bool:
    """Print, write and draw; true when every point is good."""
    console = Console(width=_WIDTH)
    console.print(_points(soak, points))
    console.print(_sizes(soak))
    write_result(name, as_json(soak, points))
    draw(soak, RESULTS / f"{name}.png")
    is_good = all(point.is_good for point in points)
    console.print(f"soak: seed {soak.seed}, {soak.seconds:g} s, {'good' if is_good else 'FAILED'}", highlight=False)
    return is_good


def as_json(soak: Soak, points: list[Point]) -> dict[str, Any]:
    """Everything that is known of it."""
    began = _began(soak)
    return {
        "seed": soak.seed,
        "seconds": soak.seconds,
        "rate": soak.trade.rate,
        "good": all(point.is_good for point in points),
        "points": [{"name": one.name, "good": one.is_good, "found": one.found} for one in points],
        "payments": dict(soak.trade.market.kinds()),
        "verifySeconds": _latencies(soak),
        "answers": {f"{what} {status}": n for (what, status), n in sorted(_statuses(soak).items())},
        "warnings": dict(Counter(f"{said.who} {said.event or said.level}" for said in spoken(soak.estate))),
        "unexplained": [said.line for said in unexplained(soak)][:100],
        "faults": [
            {"kind": one.kind, "began": one.began - began, "seconds": one.ended - one.began} for one in soak.happened
        ],
        "lives": [
            {
                "part": life.role,
                "processes": life.processes,
                "began": life.at[0] - began,
                "seconds": life.seconds,
                "cpuSeconds": life.cpu_seconds,
                "megabytes": life.megabytes,
                "sampleSeconds": SAMPLE_SECONDS,
                "growthMegabytes": life.growth_megabytes,
                "boundMegabytes": life.bound_megabytes if life.is_long else None,
            }
            for life in soak.watch.lives.values()
        ],
    }


def _points(soak: Soak, points: list[Point]) -> Table:
    table = Table(title=f"A soak of {soak.seconds:g} s at {soak.trade.rate:g} payments/s, seed {soak.seed}")
    table.add_column("what must be true")
    table.add_column("")
    table.add_column("found", overflow="fold")
    for point in points:
        table.add_row(point.name, "yes" if point.is_good else Text("NO", style="bold red"), Text(point.found))
    faults = Counter(one.kind for one in soak.happened)
    table.add_row("faults", "", ", ".join(f"{count} {kind}" for kind, count in sorted(faults.items())))
    kinds = soak.trade.market.kinds()
    table.add_row("paid", "", ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    reported = ", ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in _latencies(soak).items())
    table.add_row("answers of /verify", "", reported)
    return table


def _sizes(soak: Soak) -> Table:
    table = Table(title="Memory of each part, megabytes; growth is of the line through the second half of a long life")
    table.add_column("part")
    for column in ("lives", "longest, s", "first", "middle", "last", "highest", "growth", "bound", "MB/h", "CPU, s"):
        table.add_column(column, justify="right")
    for role in _PARTS:
        lives = soak.watch.of(role)
        longest = max(lives, key=lambda life: life.seconds)
        sizes = longest.megabytes
        bound = f"{longest.bound_megabytes:.1f}" if longest.is_long else ""
        if longest.is_long and role == "postgres":
            bound += f" or {CACHES_MEGABYTES:g} each of {longest.processes}"
        growth = f"{longest.growth_megabytes:+.1f}"
        table.add_row(
            role,
            str(len(lives)),
            f"{longest.seconds:.0f}",
            *(f"{size:.1f}" for size in (sizes[0], sizes[len(sizes) // 2], sizes[-1], max(sizes))),
            growth if longest.is_flat else Text(growth, style="bold red"),
            bound,
            f"{longest.megabytes_an_hour:+.1f}",
            f"{sum(life.cpu_seconds for life in lives):.1f}",
        )
    return table


def _statuses(soak: Soak) -> Counter[tuple[str, int]]:
    return Counter((one.what, one.status) for one in soak.trade.books.answers)


def _latencies(soak: Soak) -> dict[str, float]:
    seconds = [one.seconds for one in soak.trade.books.answers if (one.what, one.status) == ("verify", 200)]
    if len(seconds) < 2:
        return {}
    cuts = statistics.quantiles(seconds, n=100)
    return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "highest": max(seconds)}


def _began(soak: Soak) -> float:
    return min(life.at[0] for life in soak.watch.lives.values())


def draw(soak: Soak, target: Path) -> None:
    """Memory and answers over time, with every fault where it happened."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    began = _began(soak)
    figure, (sizes, answers) = plt.subplots(2, 1, figsize=(13, 9), sharex=True, layout="constrained")
    for number, role in enumerate(_PARTS):
        for n, life in enumerate(soak.watch.of(role)):
            _draw_life(sizes, life, began, f"C{number}", role if n == 0 else None)
    sizes.set_ylabel("megabytes")
    sizes.set_title(f"Soak of {soak.seconds:g} s at {soak.trade.rate:g} payments/s, seed {soak.seed}")
    sizes.legend(loc="upper left", fontsize="small", ncols=len(_PARTS))
    for status, colour, label in (
        (200, "tab:green", "honoured"),
        (402, "tab:blue", "not yet, or used"),
        (503, "tab:red", "503"),
    ):
        seen = [one for one in soak.trade.books.answers if one.status == status and one.what in {"verify", "replay"}]
        answers.scatter(
            [one.at - began for one in seen], [1000 * one.seconds for one in seen], s=6, color=colour, label=label
        )
    answers.scatter([at - began for at in soak.trade.books.cut], [1.0] * len(soak.trade.books.cut), s=10, marker="x",
                    color="black", label="no connection")  # fmt: skip
    answers.set_yscale("log")
    answers.set_ylabel("milliseconds to an answer of /verify")
    answers.set_xlabel("seconds (vertical: faults)")
    answers.legend(loc="upper left", fontsize="small", ncols=4)
    top = sizes.get_ylim()[1]
    for fault in soak.happened:
        colour = next((colour for word, colour in _COLOURS.items() if word in fault.kind), "grey")
        for axes in (sizes, answers):
            axes.axvspan(fault.began - began, max(fault.ended, fault.began + 0.2) - began, color=colour, alpha=0.15)
        sizes.text(fault.began - began, top, fault.kind, rotation=90, fontsize=5, va="top", color=colour)
    for axes in (sizes, answers):
        axes.grid(visible=True, alpha=0.3)
    target.parent.mkdir(exist_ok=True)
    figure.savefig(target, dpi=120)
    plt.close(figure)


def _draw_life(axes: Any, life: Life, began: float, colour: str, label: str | None) -> None:
    axes.plot([at - began for at in life.at], life.megabytes, color=colour, label=label)
