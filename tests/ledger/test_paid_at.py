"""When a transfer was paid, whatever the node's clock says."""

import datetime as dt

import pytest

NOW = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)


def ago(**how_long):
    return NOW - dt.timedelta(**how_long)


NOTIFIED = ago(seconds=2)
CASES = {
    "notified of at once, by a right clock": (ago(seconds=3), NOTIFIED, ago(seconds=3)),
    "notified of late, by a node that catches up": (ago(minutes=4), NOTIFIED, ago(minutes=4)),
    "notified of, by a clock ahead": (ago(hours=-1), NOTIFIED, NOTIFIED),
    "notified of, by a clock a little ahead": (NOW, NOTIFIED, NOTIFIED),
    "notified of, by a clock behind": (ago(hours=1), NOTIFIED, NOTIFIED),
    "notified of, without a time": (None, NOTIFIED, NOTIFIED),
    "found afterwards": (ago(days=3), None, ago(days=3)),
    "found afterwards, by a clock ahead": (ago(hours=-1), None, NOW),
    "found afterwards, without a time": (None, None, NOW),
    "notified of again, having landed again": (ago(hours=-2), ago(hours=-2), NOW),
}


@pytest.mark.parametrize("case", CASES)
async def test_our_clock_bounds_what_a_block_says(case, pool):
    block_time, notified_at, expected = CASES[case]
    assert await pool.fetchval("SELECT paid_at($1, $2, $3)", block_time, notified_at, NOW) == expected
