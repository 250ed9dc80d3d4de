"""How long a payment takes from its notification to its committed row.

Ceiling: one `getTransaction` round trip plus one durable one-row commit, both measured in the same run on the
same localnet and the same Postgres, by a process that does nothing else. The bound is twice that sum.

Payments do not come evenly: a node announces all payments of a slot at once, when the slot is confirmed. A client that
asks for ten transactions gets the tenth answer after nine others. So the ceiling makes as many round trips at once as a
slot has payments at this rate: at 20 payments a second and below that is one. The commit is always of a single row,
although the ledger's rows wait for their batch. At 100 a second, a round trip alone takes half as long as among the
others of its slot; that one is in the table too, without a bound.
"""

import asyncio
import statistics
import sys
import tempfile
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Final

import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from bench.plot import draw
from bench.points import Point
from bench.report import write_result
from cli.registration import register
from cli.system.processes import Child
from indexer.main import running_indexer
from indexer.settings import IndexerSettings
from localnet import payments as pay
from localnet.market import Market, open_market
from migrations.migrate import upgrade
from runtime.database import open_pool
from runtime.embedded.servers import embedded_postgres
from runtime.settings import SolanaSettings

_RATIO_MAX: Final = 2.0
_RATES_PER_SECOND: Final = (1, 5, 20, 50, 100, 200)
_SLOT_SECONDS: Final = 0.05
_SECONDS_PER_RATE: Final = 8


class _Samples:
    """Replaces the histogram, because a median needs the values and not their buckets."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def observe(self, seconds: float) -> None:
        self.values.append(seconds)


def run() -> bool:
    """Measure, print, write; true when every ratio is within its bound."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure())


async def _measure() -> bool:
    with tempfile.TemporaryDirectory(prefix="pay402-bench-") as home:
        localnet = Child("localnet", ["localnet", "--json", "--port", "0", "--slot-seconds", str(_SLOT_SECONDS)], {})
        ready = await localnet.start()
        try:
            async with (
                embedded_postgres(Path(home)) as dsn,
                open_market(ready["rpc"], payers=3, recipients=2) as market,
            ):
                await upgrade(dsn)
                return await _with_indexer(dsn, ready["rpc"], ready["ws"], market)
        finally:
            await localnet.stop()


async def _with_indexer(dsn: str, rpc: str, ws: str, market: Market) -> bool:
    settings = IndexerSettings(metrics_port=0)
    async with open_pool(dsn, application="bench", max_size=2) as pool:
        await market.prepare()
        for wallet in market.wallets:
            await register(pool, SolanaSettings(solana_rpc_url=rpc), wallet, user="bench")
        rows = []
        async with running_indexer(settings, dsn, [rpc], [ws]) as indexer:
            while indexer.feed.watching < 3 * len(market.recipients) or not indexer.heal_queue.is_idle:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            known = await _known_signature(market)
            for rate in _RATES_PER_SECOND:
                lags = _Samples()
                indexer.metrics.lag = lags  # type: ignore[assignment]
                ceiling = await _pay(rpc, dsn, known, rate)
                await indexer.pipeline.drain(10.0)
                rows.append((rate, ceiling, lags.values))
    return _report(rows)


@dataclass(frozen=True, slots=True)
class _Ceiling:
    """Medians in seconds: a round trip among the others of a slot, one alone, and a commit."""

    at_once: int
    round_trip: float
    alone: float
    commit: float


async def _pay(rpc: str, dsn: str, known: str, rate: int) -> _Ceiling:
    """Let one process pay at a steady rate, while others sample both ceilings at the same rate.

    A machine that was idle answers its first call slowly, so ceilings sampled in a tight loop would be too low.
    """
    at_once = max(round(rate * _SLOT_SECONDS), 1)
    count = max(rate * _SECONDS_PER_RATE, 10)
    pause = at_once / rate
    payer = await _child("bench.payer", rpc, rate, count)
    # One after the other, because probes that run together would slow each other down.
    among = await _probe(rpc, dsn, known, at_once, pause, count / rate / 2)
    alone = await _probe(rpc, dsn, known, 1, pause, count / rate / 2)
    await payer.wait()
    await asyncio.sleep(0.5)
    commits = among[1] + alone[1]
    return _Ceiling(at_once, statistics.median(among[0]), statistics.median(alone[0]), statistics.median(commits))


async def _probe(*arguments: object) -> tuple[list[float], list[float]]:
    probe = await _child("bench.probe", *arguments)
    printed, _ = await probe.communicate()
    return msgspec.json.decode(printed, type=tuple[list[float], list[float]])


async def _child(module: str, *arguments: object) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)


async def _known_signature(market: Market) -> str:
    payer = market.payers[1]
    signature = await market.pay(pay.plain(payer.pubkey(), market.recipients[1].pubkey(), 1), payer)
    await market.settled()
    return signature


def _report(rows: list[tuple[int, _Ceiling, list[float]]]) -> bool:
    table = Table(title="Lag: from notification to committed row, milliseconds")
    columns = (
        "payments/s",
        "rows",
        "at once",
        "round trip",
        "alone",
        "commit",
        "median lag",
        "p99 lag",
        "ratio",
        "bound",
    )
    for column in columns:
        table.add_column(column, justify="right")
    results = []
    for rate, ceiling, values in rows:
        median, p99 = statistics.median(values), statistics.quantiles(values, n=100)[98]
        ratio = median / (ceiling.round_trip + ceiling.commit)
        results.append(
            {
                "rate": rate,
                "rows": len(values),
                "atOnce": ceiling.at_once,
                "roundTrip": ceiling.round_trip,
                "roundTripAlone": ceiling.alone,
                "commit": ceiling.commit,
                "median": median,
                "p99": p99,
                "ratio": ratio,
            }
        )
        seconds = (ceiling.round_trip, ceiling.alone, ceiling.commit, median, p99)
        milliseconds = [f"{1000 * one:.2f}" for one in seconds]
        counts = (str(rate), str(len(values)), str(ceiling.at_once))
        table.add_row(*counts, *milliseconds, f"{ratio:.2f}", f"{_RATIO_MAX:.2f}")
    Console(width=110).print(table)
    write_result("lag", results)
    draw("lag", "From notification to committed row, median", list(starmap(_point, rows)), "payments a second")
    return all(result["ratio"] < _RATIO_MAX for result in results)


def _point(rate: int, ceiling: _Ceiling, values: list[float]) -> Point:
    return Point("lag", rate, statistics.median(values), ceiling.round_trip + ceiling.commit)
