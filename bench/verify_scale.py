"""What a verification costs the database as the ledger grows: ten thousand, one million and ten million transfers.

The two statements of a verification (reading what is known of a proof, honouring the claim) are run for payments that
have just arrived. Ledgers of every size on one server take turns, so that another load on the machine affects all of
them alike. The ceiling is the smallest ledger: with ten million transfers the statements may take 1.3 times as long.

Up to a million of the transfers are taken by a claim. `make bench ARGS=verify` measures the whole route.
"""

import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import uvloop

from bench.claiming import claim
from bench.conclusion import conclude
from bench.dataset import Ledger, bench_server, filled_ledger, read_indexes
from bench.points import Point
from runtime.database import open_connection, open_pool

_SIZES: Final = (10_000, 1_000_000, 10_000_000)
_CLAIMS: Final = 1_000_000
_UNCLAIMED: Final = 4_000
_WARM_UP: Final = 500
_PER_TURN: Final = 20
_TURNS: Final = 50
_RATIO_MAX: Final = 1.3


@dataclass(slots=True)
class _Runner:
    """A connection as the API verifies on, payments that wait to be claimed there, and what claiming them took."""

    ledger: Ledger
    connection: Any
    payments: list[Any]
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"on": [], "off": []})

    async def claim(self, commit: str) -> None:
        """Verify the next payment as the API does, once the proof itself is checked."""
        payment = self.payments.pop()
        started = time.perf_counter()
        await claim(self.connection, payment)
        self.seconds[commit].append(time.perf_counter() - started)


def run() -> bool:
    """Measure, print, write, draw; true when every ledger is within its bound."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure())


async def _measure() -> bool:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(bench_server())
        runners = []
        for size in _SIZES:
            ledger = await stack.enter_async_context(filled_ledger(server, size, claims=_CLAIMS, unclaimed=_UNCLAIMED))
            opened = open_pool(ledger.dsn, application="bench", max_size=1, by_keys_alone=True)
            connection = await (await stack.enter_async_context(opened)).acquire()
            runners.append(_Runner(ledger, connection, await _newest_unclaimed(ledger)))
        # Loading the largest ledger has pushed the others out of the machine's memory.
        for runner in runners:
            await read_indexes(server, runner.ledger)
        await _take_turns(runners)
        return _report(runners)


async def _newest_unclaimed(ledger: Ledger) -> list[Any]:
    # On another connection, because that of the verifications is set to prefer other plans.
    async with open_connection(ledger.dsn) as connection:
        return await ledger.newest_unclaimed(connection)


async def _take_turns(runners: Sequence[_Runner]) -> None:
    for runner in runners:
        for _ in range(_WARM_UP):
            await runner.claim("on")
        runner.seconds["on"].clear()
    for _ in range(_TURNS):
        for commit in ("on", "off"):
            for runner in runners:
                await runner.connection.execute(f"SET synchronous_commit = {commit}")
                for _ in range(_PER_TURN):
                    await runner.claim(commit)


def _report(runners: Sequence[_Runner]) -> bool:
    names = {"on": "context, honour, durable commit", "off": "the same, not waiting for the disk"}
    points = []
    for commit, name in names.items():
        smallest = statistics.median(runners[0].seconds[commit])
        for runner in runners:
            seconds = runner.seconds[commit]
            p99 = statistics.quantiles(seconds, n=100)[98]
            note = f"p99 {1000 * p99:.2f} ms, {len(seconds)} claims"
            points.append(
                Point(name, runner.ledger.transfers, statistics.median(seconds), smallest, _RATIO_MAX, note=note)
            )
    loads = {runner.ledger.transfers: runner.ledger.load_seconds for runner in runners}
    title = "A verification's statements as the ledger grows, p50"
    return conclude("verify_scale", title, points, size_name="transfers", more={"loadSeconds": loads})
