"""Passes that are made again and again: on their interval, when woken, and whatever the one before failed by."""

import asyncio

import asyncpg
import pytest
from structlog.testing import capture_logs

from chain.rpc import RpcError
from runtime.database_errors import DatabaseAwayError, DatabaseTroubles
from runtime.metrics import new_registry
from runtime.passes import Outcome, note_failure, repeat
from runtime.process import working
from tests.support.ledger_checks import eventually

SELDOM = 3_600.0
FAILURES = [
    (RpcError("no node answers"), Outcome.CHAIN_AWAY, ("chain_away", "warning"), None),
    (DatabaseAwayError("gone"), Outcome.DATABASE_AWAY, ("database_away", "warning"), "away"),
    (asyncpg.UndefinedTableError("no such table"), Outcome.DATABASE_REFUSED, ("database_refused", "error"), "refused"),
    (asyncpg.CheckViolationError("a broken rule"), Outcome.DEFECT, ("database_defect", "error"), "defect"),
    (KeyError("nothing there"), Outcome.DEFECT, ("defect", "error"), "defect"),
]


class Passes:
    """Counts passes; fails by what it is told to, and says that more is ready as often as it is told to."""

    def __init__(self, *, failures=(), more=0):
        self.made = self.succeeded = 0
        self._failures, self._more = list(failures), more

    async def make(self):
        self.made += 1
        if self._failures:
            raise self._failures.pop(0)
        self._more -= 1
        return self._more >= 0

    def note_success(self):
        self.succeeded += 1


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr("runtime.database_errors._PAUSE_SECONDS", dict.fromkeys(["away", "refused", "defect"], 0.01))


@pytest.fixture
def registry():
    return new_registry()


@pytest.fixture
def begun(registry):
    def begin(passes, **how):
        troubles = DatabaseTroubles(registry)
        how = {"every_seconds": SELDOM, "troubles": troubles, "succeeded": passes.note_success} | how
        return working(repeat(passes.make, "testing", **how))

    return begin


@pytest.mark.parametrize(("error", "outcome", "logged", "counted"), FAILURES, ids=str)
def test_a_failure_is_noted_for_what_it_is(error, outcome, logged, counted, registry):
    with capture_logs() as lines:
        failure = note_failure(DatabaseTroubles(registry), "testing", error, job="one")
    [line] = lines
    assert (failure.outcome, line["event"], line["log_level"], line["job"]) == (outcome, *logged, "one")
    assert (failure.pause_seconds > 0) is (counted is not None)
    kinds = ("away", "refused", "defect")
    found = {kind: registry.get_sample_value("pay402_database_errors_total", {"kind": kind}) for kind in kinds}
    assert found == {kind: float(kind == counted) for kind in kinds}


def test_nodes_that_do_not_answer_have_the_name_in_the_log_that_the_loop_gives_it(registry):
    with capture_logs() as lines:
        note_failure(DatabaseTroubles(registry), "testing", RpcError("none"), chain_event="not_audited")
    assert [line["event"] for line in lines] == ["not_audited"]


async def test_every_failure_is_survived_and_none_counts_as_success(begun, registry):
    passes = Passes(failures=[error for error, *_ in FAILURES])
    async with begun(passes, every_seconds=0.01):
        await eventually(lambda: passes.succeeded > 2)
    assert passes.made == passes.succeeded + len(FAILURES)
    assert registry.get_sample_value("pay402_database_errors_total", {"kind": "defect"}) == 2


async def test_passes_follow_each_other_at_once_while_more_is_ready(begun):
    passes = Passes(more=3)
    async with begun(passes):
        await eventually(lambda: passes.succeeded == 4)
        await asyncio.sleep(0.05)
    assert passes.made == 4


async def test_one_that_is_woken_does_not_wait_for_its_interval(begun):
    passes, woken = Passes(), asyncio.Event()
    async with begun(passes, woken=woken, at_once=False):
        await asyncio.sleep(0.05)
        assert passes.made == 0
        woken.set()
        await eventually(lambda: passes.made == 1)
        woken.set()
        await eventually(lambda: passes.made == 2)


async def test_what_wakes_it_during_a_pass_is_not_missed(begun):
    woken = asyncio.Event()

    class WokenWhileAtWork(Passes):
        async def make(self):
            if not self.made:
                woken.set()
            return await super().make()

    passes = WokenWhileAtWork()
    async with begun(passes, woken=woken):
        await eventually(lambda: passes.made == 2)
        await asyncio.sleep(0.05)
    assert passes.made == 2


async def test_the_interval_is_asked_for_after_each_pass(begun):
    passes = Passes()
    async with begun(passes, every_seconds=lambda: 0.01 if passes.made < 3 else SELDOM):
        await eventually(lambda: passes.made == 3)
        await asyncio.sleep(0.05)
    assert passes.made == 3


async def test_passes_that_fail_without_waiting_let_everybody_else_run(begun):
    """An event that is set again by each failure, and a pass that never yields, must not hold the process."""
    woken = asyncio.Event()

    class FailsAtOnce(Passes):
        async def make(self):
            self.made += 1
            woken.set()
            raise RpcError("no node answers")

    passes = FailsAtOnce()
    async with begun(passes, woken=woken):
        await eventually(lambda: passes.made > 10)


@pytest.mark.parametrize("is_at_work", [True, False])
async def test_cancelling_ends_a_pass_and_a_wait(is_at_work, registry):
    begun = asyncio.Event()

    async def work():
        begun.set()
        if is_at_work:
            await asyncio.Event().wait()

    task = asyncio.create_task(
        repeat(work, "testing", every_seconds=SELDOM, troubles=DatabaseTroubles(registry), succeeded=lambda: None)
    )
    await begun.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert registry.get_sample_value("pay402_database_errors_total", {"kind": "defect"}) == 0
