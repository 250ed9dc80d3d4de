"""A short run of the chaos that `make chaos` runs long: new seeds each time, printed so that they can be replayed."""

import time

import pytest

from tests.scenarios.chaos import run


@pytest.mark.timeout(300)
async def test_everything_at_once(capsys):
    assert await run(rounds=2, first_seed=int(time.time()), steps=12) == 0
    assert capsys.readouterr().out.count("good") == 2
