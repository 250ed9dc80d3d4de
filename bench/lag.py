"""How long a payment takes from its notification to its committed row.

Ceiling: one `getTransaction` round trip plus one durable one-row commit, both measured in the same run on the
same localnet and the same Postgres. The bound is twice that sum.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from bench.report import write_result
from pay402.chain.node import Node
from pay402.indexer.main import running_indexer
from pay402.localnet import payments as pay
from pay402.localnet.market import Market, open_market
from pay402.migrations.migrate import upgrade
from pay402.ops.recipients import register
from pay402.ops.system import Child
from pay402.runtime.database import open_pool
from pay402.runtime.embedded import embedded_postgres
from pay402.runtime.settings import IndexerSettings, SolanaSettings

_BOUND: Final = 2.0
_RATES_PER_SECOND: Final = (1, 5, 20, 100)
_INSERT: Final = "INSERT INTO events (type, subject) VALUES ('bench', 'bench')"
_SECONDS_PER_RATE: Final = 8


class _Samples:
    """Stands in for the histogram: a median needs the values, not their buckets."""

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
        localnet = Child("localnet", ["localnet", "--json", "--port", "0", "--slot-seconds", "0.05"], {})
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
            while indexer.feed.watching < 3 * len(market.recipients) or not indexer.healer.is_idle:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            known = await _known_signature(market)
            for rate in _RATES_PER_SECOND:
                lags = _Samples()
                indexer.metrics.lag = lags  # type: ignore[assignment]
                ceiling = await _pay(rpc, market, pool, known, rate)
                await indexer.pipeline.drain(10.0)
                rows.append((rate, *ceiling, lags.values))
    return _report(rows)


async def _pay(rpc: str, market: Market, pool: asyncpg.Pool, known: str, rate: int) -> tuple[float, float]:
    """Let another process pay at a steady rate; meanwhile, at the same rate, sample both ceilings.

    An idle machine answers its first question slowly: ceilings sampled in a tight loop would be those of
    another machine than the one that waits for payments.
    """
    count = max(rate * _SECONDS_PER_RATE, 10)
    payer = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.payer", rpc, str(rate), str(count))
    node = Node(market.rpc)
    round_trips, commits = [], []
    async with pool.acquire() as connection:
        while payer.returncode is None:
            await asyncio.sleep(1 / rate)
            round_trips.append(await _timed(node.transaction(known)))
            await asyncio.sleep(1 / rate)
            commits.append(await _timed(connection.execute(_INSERT)))
    await asyncio.sleep(0.5)
    return statistics.median(round_trips), statistics.median(commits)


async def _known_signature(market: Market) -> str:
    payer = market.payers[1]
    signature = await market.pay(pay.plain(payer.pubkey(), market.recipients[1].pubkey(), 1), payer)
    await market.settled()
    return signature


async def _timed(work: object) -> float:
    started = time.perf_counter()
    await work  # type: ignore[misc]
    return time.perf_counter() - started


def _report(rows: list[tuple[int, float, float, list[float]]]) -> bool:
    table = Table(title="Lag: from notification to committed row, milliseconds")
    for column in ("payments/s", "rows", "round trip", "commit", "median lag", "p99 lag", "ratio", "bound"):
        table.add_column(column, justify="right")
    results = []
    for rate, round_trip, commit, values in rows:
        median, p99 = statistics.median(values), statistics.quantiles(values, n=100)[98]
        ratio = median / (round_trip + commit)
        results.append(
            {
                "rate": rate,
                "rows": len(values),
                "roundTrip": round_trip,
                "commit": commit,
                "median": median,
                "p99": p99,
                "ratio": ratio,
            }
        )
        figures = [f"{1000 * seconds:.2f}" for seconds in (round_trip, commit, median, p99)]
        table.add_row(str(rate), str(len(values)), *figures, f"{ratio:.2f}", f"{_BOUND:.2f}")
    Console(width=110).print(table)
    write_result("lag", results)
    return all(result["ratio"] < _BOUND for result in results)
