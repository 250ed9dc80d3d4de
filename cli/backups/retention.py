"""Which backups are kept: all of the last 48 hours, then the newest of each day, week and month that has one."""

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Final

DAILY: Final = 7
WEEKLY: Final = 4
MONTHLY: Final = 12
ALL_OF: Final = dt.timedelta(hours=48)
"""Every backup of this time before the newest one is kept: a day's second must not replace its first."""


def kept(moments: Iterable[dt.datetime]) -> set[dt.datetime]:
    """Of the times at which backups were made, those to keep.

    Periods without a backup do not count: after a month without any, the seven days before it are still there. What
    is dropped once would never be kept later, so that it does not matter how often backups are pruned.
    """
    newest_first = sorted(set(moments), reverse=True)
    return (
        {moment for moment in newest_first if moment >= newest_first[0] - ALL_OF}
        | _newest_of_each(newest_first, lambda moment: (moment.year, moment.month, moment.day), DAILY)
        | _newest_of_each(newest_first, lambda moment: moment.isocalendar()[:2], WEEKLY)
        | _newest_of_each(newest_first, lambda moment: (moment.year, moment.month), MONTHLY)
    )


def _newest_of_each(
    newest_first: list[dt.datetime], period: Callable[[dt.datetime], tuple[int, ...]], periods: int
) -> set[dt.datetime]:
    found: dict[tuple[int, ...], dt.datetime] = {}
    for moment in newest_first:
        found.setdefault(period(moment), moment)
    return set(list(found.values())[:periods])
