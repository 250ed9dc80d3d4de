"""Charts as numbers of an SVG drawing: the templates draw them, and the browser needs no script for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

WIDTH: Final = 600
HEIGHT: Final = 96
_GAP: Final = 4
# A day on which something came in is seen, however little it was beside the others.
_LEAST_HEIGHT: Final = 2


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, in units of the drawing; `value` and `label` are what it says."""

    x: int
    y: int
    width: int
    height: int
    label: str
    value: Decimal


@dataclass(frozen=True, slots=True)
class BarChart:
    """Bars from left to right."""

    width: int
    height: int
    bars: Sequence[Bar]


def bar_chart(parts: Sequence[tuple[str, Decimal]]) -> BarChart:
    """A bar for each of `parts`, which are labels and values of 0 or more; the highest fills the drawing."""
    top = max((value for _, value in parts), default=Decimal(0))
    step = WIDTH // max(1, len(parts))
    bars = []
    for number, (label, value) in enumerate(parts):
        height = max(_LEAST_HEIGHT, int(value * HEIGHT // top)) if value else 0
        bars.append(Bar(number * step, HEIGHT - height, step - _GAP, height, label, value))
    return BarChart(step * len(parts), HEIGHT, bars)
