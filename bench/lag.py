"""How long a payment takes from its notification to its committed row.

Ceiling: one `getTransaction` round trip plus one durable one-row commit, both measured in the same run on the
same localnet and the same Postgres. The bound is twice that sum.
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

import asyncpg
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
_RATES_PER_SECOND: Final = (1, 20, 100)
_SAMPLES: Final = 100
_SECONDS_PER_RATE: Final = 8


class _Samples:
    """Stands in for the histogram: a median needs the values, not their buckets."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def observe(self, seconds: float) -> None:
        self.values.append(seconds)


def run() -> bool:
    """Measure, print, write; true when every ratio is within its bound."""
    return asyncio.run(_measure())


async def _measure() -> bool:
    with tempfile.TemporaryDirectory(prefix="pay402-bench-") as home:
        localnet = Child("localnet", ["localnet", "--json", "--port", "0", "--slot-seconds", "0.2"], {})
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
            for rate in _RATES_PER_SECOND:
                # Before each rate, so that a machine that changes its pace does not change the ratio.
                round_trip = await _round_trip_seconds(market)
                commit = await _commit_seconds(pool)
                samples = _Samples()
                indexer.metrics.lag = samples  # type: ignore[assignment]
                await _pay(market, rate)
                await indexer.pipeline.drain(10.0)
                rows.append((rate, round_trip, commit, samples.values))
    return _report(rows)


async def _pay(market: Market, rate: int) -> None:
    """Pay at a steady rate."""
    payer, recipient = market.payers[0], market.recipients[0].pubkey()
    due = time.monotonic()
    for n in range(max(rate * _SECONDS_PER_RATE, 10)):
        await market.pay(pay.plain(payer.pubkey(), recipient, rate * 100_000 + n), payer)
        due += 1 / rate
        await asyncio.sleep(max(due - time.monotonic(), 0))
    await market.settled()
    await asyncio.sleep(0.5)


async def _round_trip_seconds(market: Market) -> float:
    payer = market.payers[1]
    signature = await market.pay(
        pay.plain(payer.pubkey(), market.recipients[1].pubkey(), time.time_ns() % 10**6), payer
    )
    await market.settled()
    node = Node(market.rpc)
    return statistics.median([await _timed(node.transaction(signature)) for _ in range(_SAMPLES)])


async def _commit_seconds(pool: asyncpg.Pool) -> float:
    insert = "INSERT INTO events (type, subject) VALUES ('bench', 'bench')"
    async with pool.acquire() as connection:
        return statistics.median([await _timed(connection.execute(insert)) for _ in range(_SAMPLES)])


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
