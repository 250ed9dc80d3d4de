"""The results of a measurement as table, JSON and plot: each figure with a ceiling measured in the same run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench.plot import draw
from bench.report import write_result

_WIDTH: Final = 150


@dataclass(frozen=True, slots=True)
class Point:
    """One figure: the seconds of one piece of work and of its ceiling, the fastest that is possible. Less is better.

    Attributes:
        name: What is measured: a line of the plot.
        size: How much data or work there was.
        ratio_max: The bound of the ratio to the ceiling; `None` for no bound.
        seconds_max: The bound of the time; `None` for no bound.
        note: Further information, such as the query plan.
    """

    name: str
    size: int
    seconds: float
    ceiling_seconds: float
    ratio_max: float | None = None
    seconds_max: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times its ceiling it takes."""
        return self.seconds / self.ceiling_seconds

    @property
    def is_within(self) -> bool:
        """True when it is within its bounds."""
        return (self.ratio_max is None or self.ratio <= self.ratio_max) and (
            self.seconds_max is None or self.seconds <= self.seconds_max
        )

    def as_json(self) -> dict[str, Any]:
        """The figure as JSON, with ratio and bounds."""
        return {
            "name": self.name,
            "size": self.size,
            "seconds": self.seconds,
            "ceilingSeconds": self.ceiling_seconds,
            "ratio": self.ratio,
            "boundRatio": self.ratio_max,
            "boundSeconds": self.seconds_max,
            "within": self.is_within,
            "note": self.note,
        }


def conclude(
    scenario: str, title: str, points: Sequence[Point], *, size_name: str, more: dict[str, Any] | None = None
) -> bool:
    """Print, write and draw the points; true when all are within their bounds."""
    table = Table(title=title)
    table.add_column("what")
    for column in (size_name, "milliseconds", "ceiling", "ratio", "bound"):
        table.add_column(column, justify="right")
    table.add_column("note", overflow="fold")
    for point in points:
        bounds = []
        if point.ratio_max is not None:
            bounds.append(f"{point.ratio_max:g}x")
        if point.seconds_max is not None:
            bounds.append(f"{_ms(point.seconds_max)} ms")
        ratio = f"{point.ratio:.2f}"
        table.add_row(
            point.name,
            f"{point.size:,}",
            _ms(point.seconds),
            _ms(point.ceiling_seconds),
            ratio if point.is_within else f"[bold red]{ratio}[/]",
            " ".join(bounds),
            point.note,
        )
    Console(width=_WIDTH).print(table)
    write_result(scenario, {"points": [point.as_json() for point in points], **(more or {})})
    draw(scenario, title, points, size_name)
    return all(point.is_within for point in points)


def _ms(seconds: float) -> str:
    milliseconds = 1000 * seconds
    return f"{milliseconds:,.1f}" if milliseconds >= 1 else f"{milliseconds:.4f}"
