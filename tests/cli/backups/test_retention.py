"""Which backups are kept, whatever backups there are."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from cli.backups.retention import ALL_OF, DAILY, MONTHLY, WEEKLY, kept

moments = st.datetimes(dt.datetime(2024, 1, 1), dt.datetime(2027, 1, 1), timezones=st.just(dt.UTC))  # noqa: DTZ001
histories = st.lists(moments, max_size=60, unique=True)


@given(histories)
def test_only_backups_that_exist_are_kept_and_never_more_than_the_rule_allows(history):
    keep = kept(history)
    assert keep <= set(history)
    older = {moment for moment in keep if moment < max(history) - ALL_OF}
    assert len(older) <= DAILY + WEEKLY + MONTHLY


@given(histories.filter(bool))
def test_the_newest_is_always_kept(history):
    assert max(history) in kept(history)


@given(histories.filter(bool))
def test_everything_of_the_last_two_days_is_kept(history):
    assert {moment for moment in history if moment >= max(history) - dt.timedelta(hours=48)} <= kept(history)


def test_a_second_backup_of_a_day_does_not_replace_the_first():
    morning = dt.datetime(2026, 11, 19, 3, 15, tzinfo=dt.UTC)
    history = [
        morning - dt.timedelta(days=2),
        morning,
        morning + dt.timedelta(hours=9),
        morning + dt.timedelta(hours=10),
    ]
    assert kept(history) >= set(history[1:])


@given(histories)
def test_a_day_a_week_and_a_month_are_kept_by_their_newest(history):
    for moment in (one for one in kept(history) if one < max(history) - ALL_OF):
        later = [other for other in history if other > moment]
        assert (
            not any(other.date() == moment.date() for other in later)
            or not any(other.isocalendar()[:2] == moment.isocalendar()[:2] for other in later)
            or not any((other.year, other.month) == (moment.year, moment.month) for other in later)
        )


@given(histories)
def test_pruning_after_every_backup_keeps_what_pruning_once_keeps(history):
    survivors: set[dt.datetime] = set()
    for moment in sorted(history):
        survivors = kept({*survivors, moment})
    assert survivors == kept(history)


@given(histories)
def test_pruning_twice_changes_nothing(history):
    assert kept(kept(history)) == kept(history)


def test_three_years_of_nightly_backups_leave_a_year_to_go_back_to():
    end = dt.datetime(2026, 11, 19, 3, 15, tzinfo=dt.UTC)
    keep = sorted(kept(end - dt.timedelta(days=days) for days in range(3 * 365)))
    assert keep[-DAILY:] == [end - dt.timedelta(days=days) for days in reversed(range(DAILY))]
    assert {moment.strftime("%Y-%m") for moment in keep} == {
        "2025-12", "2026-01", "2026-02", "2026-03", "2026-04", "2026-05",
        "2026-06", "2026-07", "2026-08", "2026-09", "2026-10", "2026-11",
    }  # fmt: skip
    # The last four Sundays, or the newest day of the week that is under way.
    assert {moment.isocalendar()[1] for moment in keep} >= {47, 46, 45, 44}
    # Some days stand for a week or a month too.
    assert len(keep) == 20
