"""How long to wait before something that failed is tried again: longer after each failure in a row.

The lowest layer that needs it holds it. The libraries here that have one of their own tie it to their retrying
(stamina, which makes the retries within one RPC call), or know only doubling and overflow at a thousandth failure
(redis).
"""

import email.utils
import itertools
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

# What a pause has long reached its bound by; more would only overflow.
_FAILURES_COUNTED_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses in seconds that grow from `first_seconds`, each `grows` times the one before, up to `seconds_max`.

    `jitter` is the share of a pause, below 1, by which it may turn out longer or shorter, by chance: those who failed
    together do not come again together.
    """

    first_seconds: float
    seconds_max: float
    grows: float = 2.0
    jitter: float = 0.0

    def after(self, failures: int) -> float:
        """The pause after a failure that followed `failures` others in a row: 0 for the first."""
        pause_seconds = min(self.first_seconds * self.grows ** min(failures, _FAILURES_COUNTED_MAX), self.seconds_max)
        spread = random.uniform(-self.jitter, self.jitter)  # noqa: S311 - it spreads load and hides nothing
        return pause_seconds * (1 + spread)

    def __iter__(self) -> Iterator[float]:
        """The pauses after the first failure, the second, and so on, without end."""
        return map(self.after, itertools.count())


def retry_after_seconds(header: str | None) -> float:
    """`Retry-After` in seconds or as a date (RFC 9110); bounded, so that a typo cannot stop us for a day."""
    if header is None:
        return 1.0
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, OverflowError):
            seconds = 1.0
    if math.isnan(seconds):  # neither before nor after any other time: it would never be asked again
        return 1.0
    return min(max(seconds, 0.1), 60.0)
