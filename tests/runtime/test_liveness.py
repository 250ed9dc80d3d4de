"""Liveness: what has not succeeded for too long is named, by `/health` and by the metrics."""

import pytest

from runtime.liveness import Liveness
from runtime.metrics import new_registry


class Clock:
    def __init__(self):
        self.seconds = 1_000.0

    def __call__(self):
        return self.seconds


def test_a_loop_that_stands_still_is_named_until_it_succeeds_again():
    clock, registry = Clock(), new_registry()
    alive = Liveness(registry, clock=clock)
    alive.expect("audit", within_seconds=60)
    alive.expect("finalize", within_seconds=10)
    clock.seconds += 10
    assert alive.reasons() == []
    clock.seconds += 1
    assert alive.reasons() == ["finalize last succeeded 11 s ago, more than the 10 s it may take"]
    since = "pay402_loop_seconds_since_success"
    assert registry.get_sample_value(since, {"loop": "audit"}) == 11
    assert registry.get_sample_value("pay402_loop_limit_seconds", {"loop": "audit"}) == 60
    alive.succeeded("finalize")
    assert alive.reasons() == []
    clock.seconds += 50
    assert [reason.partition(" ")[0] for reason in alive.reasons()] == ["audit", "finalize"]


def test_a_bound_that_never_ends_is_refused():
    with pytest.raises(ValueError, match="not watched at all"):
        Liveness(new_registry()).expect("audit", within_seconds=float("inf"))
