"""A short run of the chaos that `make chaos` runs long: new seeds each time, printed so that they can be replayed."""

import time

from tests.scenarios.chaos import run


async def test_everything_at_once(capsys):
    assert await run(rounds=2, first_seed=int(time.time()), steps=15) == 0
    assert capsys.readouterr().out.count("good") == 2
