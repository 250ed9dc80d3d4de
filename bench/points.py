"""The results of a measurement as table, JSON and plot: each figure with a ceiling measured in the same run."""

from dataclasses import dataclass
from typing import Any


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
