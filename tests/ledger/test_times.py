"""Times in milliseconds, exact at every microsecond."""

import datetime as dt

from hypothesis import example, given
from hypothesis import strategies as st

from ledger.times import epoch_ms

_START = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@given(st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2100, 1, 1), timezones=st.just(dt.UTC)))  # noqa: DTZ001 - hypothesis adds the zone
@example(_START + dt.timedelta(microseconds=1_700_000_000_000_999))
@example(_START + dt.timedelta(milliseconds=1_700_000_000_001))
def test_a_time_is_its_whole_milliseconds(at):
    assert epoch_ms(at) == (at - _START) // dt.timedelta(milliseconds=1)


def test_no_time_is_none():
    assert epoch_ms(None) is None
