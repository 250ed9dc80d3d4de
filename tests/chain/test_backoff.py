"""Pauses between tries: they grow up to a bound, spread where asked to, and never overflow."""

from itertools import islice

import pytest

from chain.backoff import Backoff


def test_pauses_grow_from_the_first_up_to_the_bound():
    assert list(islice(Backoff(0.5, 30.0), 8)) == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert [Backoff(5.0, 100.0, grows=3.0).after(failures) for failures in range(4)] == [5.0, 15.0, 45.0, 100.0]


def test_each_series_begins_anew():
    backoff = Backoff(1.0, 60.0)
    assert list(islice(backoff, 3)) == list(islice(backoff, 3)) == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("grows", [1.5, 2.0, 3.0])
@pytest.mark.parametrize("failures", [64, 1_100, 10**9])
def test_it_stays_at_its_bound_however_often_something_failed(grows, failures):
    assert Backoff(0.05, 5.0, grows=grows).after(failures) == 5.0


def test_jitter_makes_pauses_longer_and_shorter_by_no_more_than_its_share():
    pauses = {Backoff(10.0, 10.0, jitter=0.2).after(0) for _ in range(200)}
    assert 8.0 <= min(pauses) < 10.0 < max(pauses) <= 12.0
