"""What a measurement found: as table, as JSON and as plot."""

from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench.plot import draw
from bench.points import Point
from bench.report import write_result

_WIDTH: Final = 150


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
