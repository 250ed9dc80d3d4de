"""Whether a process does its work, loop by loop: alive means that each has succeeded lately."""

import time
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

_SLOWEST_SECONDS: Final = 3_600.0 * 24


class Liveness:
    """Remembers when each loop last succeeded, and says which have not for too long.

    The metrics are `pay402_loop_seconds_since_success` and `pay402_loop_limit_seconds`, by loop; one alert compares
    them for every loop of every process.
    """

    def __init__(self, registry: CollectorRegistry, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._limits: dict[str, float] = {}
        self._succeeded_at: dict[str, float] = {}
        self._since_success = Gauge(
            "pay402_loop_seconds_since_success", "Since a loop last did its work", ["loop"], registry=registry
        )
        self._limit = Gauge(
            "pay402_loop_limit_seconds", "How long a loop may go without success", ["loop"], registry=registry
        )

    def expect(self, loop: str, *, within_seconds: float) -> None:
        """From now on `loop` has to succeed once in `within_seconds`; it counts as having done so just now."""
        if not 0 < within_seconds <= _SLOWEST_SECONDS:
            raise ValueError(f"a loop that may stand still for {within_seconds:g} s is not watched at all")
        self._limits[loop] = within_seconds
        self._succeeded_at[loop] = self._clock()
        self._limit.labels(loop).set(within_seconds)
        self._since_success.labels(loop).set_function(lambda: self._clock() - self._succeeded_at[loop])

    def succeeded(self, loop: str) -> None:
        """`loop` has done its work once more."""
        self._succeeded_at[loop] = self._clock()

    def reasons(self) -> list[str]:
        """One sentence for each loop that is overdue; none when all is well."""
        now = self._clock()
        return [
            f"{loop} last succeeded {now - self._succeeded_at[loop]:.0f} s ago, more than the {limit:g} s it may take"
            for loop, limit in self._limits.items()
            if now - self._succeeded_at[loop] > limit
        ]
