"""Times as JSON has them: whole milliseconds since 1970."""

import datetime as dt
from typing import overload


@overload
def epoch_ms(at: dt.datetime) -> int: ...
@overload
def epoch_ms(at: dt.datetime | None) -> int | None: ...
def epoch_ms(at: dt.datetime | None) -> int | None:
    """A time in milliseconds since 1970, rounded down, or `None` for none."""
    # Whole microseconds first: a product of doubles could be off by one.
    return None if at is None else round(at.timestamp() * 1_000_000) // 1000
