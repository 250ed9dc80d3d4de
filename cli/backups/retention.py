"""Which backups are kept: the newest of each of the last days, weeks and months that have one."""

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Final

DAILY: Final = 7
WEEKLY: Final = 4
MONTHLY: Final = 12


def kept(moments: Iterable[dt.datetime]) -> set[dt.datetime]:
    """Of the times at which backups were made, those to keep.

    Periods without a backup do not count: after a month without any, the seven days before it are still there. What
    is dropped once would never be kept later, so that it does not matter how often backups are pruned.
    """
    newest_first = sorted(set(moments), reverse=True)
    return (
        _newest_of_each(newest_first, lambda moment: (moment.year, moment.month, moment.day), DAILY)
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
