"""A process drains on the first signal, and ends in any case."""

import asyncio
import signal

import pytest

from runtime.errors import OperatorError
from runtime.process import run_until_signal
from tests.support.child_processes import child

DRAINS = """
import asyncio
from runtime.process import run_until_signal

async def main(stop):
    print("ready", flush=True)
    await stop.wait()
    await asyncio.sleep(0.2)
    print("drained", flush=True)

run_until_signal(main)
"""
NEVER_DRAINS = """
import asyncio, sys
from runtime.errors import OperatorError
from runtime.process import run_until_signal

async def main(stop):
    try:
        print("ready", flush=True)
        await asyncio.sleep(3600)
    finally:
        print("closed", flush=True)

try:
    run_until_signal(main, drain_seconds=float(sys.argv[1]))
except OperatorError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_process_finish_and_end_well(number):
    with child(DRAINS) as process:
        assert process.line() == "ready"
        process.send(number)
        assert process.end() == (0, "drained\n", "")


def test_what_does_not_drain_in_time_is_cut_short_but_closes_its_resources():
    with child(NEVER_DRAINS, 0.2) as process:
        assert process.line() == "ready"
        process.send(signal.SIGTERM)
        code, output, errors = process.end()
    assert (code, output) == (1, "closed\n")
    assert errors.startswith("Stopped before everything under way was finished: 0.2 s had passed;")


def test_a_second_signal_does_not_wait_for_the_drain():
    with child(NEVER_DRAINS, 3600) as process:
        assert process.line() == "ready"
        process.send(signal.SIGINT)
        # Two signals of a kind that are pending together are one.
        process.send(signal.SIGTERM)
        code, output, errors = process.end()
    assert (code, output) == (1, "closed\n")
    assert "a second signal came" in errors


def test_work_that_ends_by_itself_hands_on_its_result():
    async def main(stop):
        assert not stop.is_set()
        return 402

    assert run_until_signal(main) == 402


def test_work_that_fails_hands_on_its_error():
    async def main(stop):
        raise OperatorError("no", exit_code=3)

    with pytest.raises(OperatorError) as caught:
        run_until_signal(main)
    assert caught.value.exit_code == 3


def test_the_loop_is_the_fast_one():
    async def main(stop):
        return type(asyncio.get_running_loop()).__module__

    assert run_until_signal(main) == "uvloop"
