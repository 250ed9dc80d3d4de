"""The stretches of time that analytics are asked about: each ends now and is cut into equal parts, in UTC."""

import datetime as dt
from dataclasses import dataclass
from typing import Final, Literal

Period = Literal["hour", "day", "week", "month", "year"]

_STEPS: Final = {"hour": (dt.timedelta(minutes=5), 12), "day": (dt.timedelta(hours=1), 24)}
_DAYS: Final = {"week": 7, "month": 30}
_MONTHS_A_YEAR: Final = 12
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time in parts.

    Attributes:
        starts: Where each part starts, the oldest first; the last part is not over yet.
        end: Now.
        step: How long a part is, where it is shorter than a day; such a window is read claim by claim.
    """

    period: Period
    starts: tuple[dt.datetime, ...]
    end: dt.datetime
    step: dt.timedelta | None

    @property
    def start(self) -> dt.datetime:
        """Where the oldest part starts."""
        return self.starts[0]

    @property
    def is_by_month(self) -> bool:
        """True where a part is a month."""
        return self.period == "year"

    def part(self, at: dt.datetime | dt.date) -> dt.datetime:
        """The start of the part in which `at` is."""
        moment = at if isinstance(at, dt.datetime) else midnight(at)
        return moment.replace(day=1) if self.is_by_month else moment

    def label(self, start: dt.datetime) -> str:
        """A part as people call it: a day, or a moment where parts are shorter."""
        return start.date().isoformat() if self.step is None else start.strftime("%Y-%m-%dT%H:%M:%SZ")


def midnight(day: dt.date) -> dt.datetime:
    """When a day begins, UTC."""
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)


def window_of(period: Period, now: dt.datetime) -> Window:
    """The last hour by 5 minutes, day by hours, 7 or 30 days by days, or 12 months by months; today is the last."""
    if period in _STEPS:
        step, count = _STEPS[period]
        last = now - (now - _EPOCH) % step
        return Window(period, tuple(last - step * n for n in reversed(range(count))), now, step)
    today = midnight(now.date())
    if period in _DAYS:
        days = reversed(range(_DAYS[period]))
        return Window(period, tuple(today - dt.timedelta(days=n) for n in days), now, None)
    months = (today.year * _MONTHS_A_YEAR + today.month - 1 - n for n in reversed(range(_MONTHS_A_YEAR)))
    starts = (today.replace(year=n // _MONTHS_A_YEAR, month=n % _MONTHS_A_YEAR + 1, day=1) for n in months)
    return Window(period, tuple(starts), now, None)
