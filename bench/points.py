"""What a measurement found: each figure beside a ceiling measured in the same run; as table, JSON and plot."""

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
    """One figure. Less is better; `seconds` is of one piece of work, and so is the ceiling, which cannot be beaten.

    Attributes:
        name: What is measured: a line of the plot.
        size: How much data or work there was.
        most: The ratio to the ceiling that is promised, at most; `None` promises nothing.
        most_seconds: The time that is promised, at most.
        note: What else is to be known, such as the plan.
    """

    name: str
    size: int
    seconds: float
    ceiling_seconds: float
    most: float | None = None
    most_seconds: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times its ceiling it takes."""
        return self.seconds / self.ceiling_seconds

    @property
    def is_within(self) -> bool:
        """True when it keeps what is promised."""
        return (self.most is None or self.ratio <= self.most) and (
            self.most_seconds is None or self.seconds <= self.most_seconds
        )

    def as_json(self) -> dict[str, Any]:
        """The figure with everything that is known of it."""
        return {
            "name": self.name,
            "size": self.size,
            "seconds": self.seconds,
            "ceilingSeconds": self.ceiling_seconds,
            "ratio": self.ratio,
            "boundRatio": self.most,
            "boundSeconds": self.most_seconds,
            "within": self.is_within,
            "note": self.note,
        }


def conclude(
    scenario: str, title: str, points: Sequence[Point], *, size_name: str, more: dict[str, Any] | None = None
) -> bool:
    """Print, write and draw what was found; true when everything is within its bounds."""
    table = Table(title=title)
    table.add_column("what")
    for column in (size_name, "milliseconds", "ceiling", "ratio", "bound"):
        table.add_column(column, justify="right")
    table.add_column("note", overflow="fold")
    for point in points:
        bounds = []
        if point.most is not None:
            bounds.append(f"{point.most:g}x")
        if point.most_seconds is not None:
            bounds.append(f"{_ms(point.most_seconds)} ms")
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
