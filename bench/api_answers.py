"""Answers of an API process over a filled ledger: how long they take, and what the database reads for them."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from cli.system.processes import Child

_ROUNDS: Final = 30

Work = Callable[[], Awaitable[Any]]
"""A request, with its answer."""


async def median_seconds(work: Work) -> float:
    """What `work` takes, when it is warm; the median of 30 rounds."""
    return statistics.median(await durations(work, _ROUNDS))


async def durations(work: Work, rounds: int) -> list[float]:
    """What `work` takes in so many rounds, when it is warm, in seconds."""
    for _ in range(3):
        await work()
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        await work()
        seconds.append(time.perf_counter() - started)
    return seconds


async def walked(connection: "asyncpg.Connection[Any]", work: Work, tables: Sequence[str]) -> str:
    """What the API's answer read of `tables`, by the server's counters: whole tables, or indexes."""
    await _flush_counters(work)
    before = await _counters(connection, tables)
    await _flush_counters(work)
    after = await _counters(connection, tables)
    return ", ".join(name for name, count in after.items() if count > before.get(name, 0))


async def _flush_counters(work: Work) -> None:
    """Ask again until the session that answers has updated the counters, which it does at most once a second."""
    for _ in range(2):
        await asyncio.sleep(1.1)
        await work()


async def _counters(connection: "asyncpg.Connection[Any]", tables: Sequence[str]) -> dict[str, int]:
    rows = await connection.fetch(
        "SELECT 'Seq Scan ' || relname AS name, seq_scan AS count FROM pg_stat_user_tables WHERE relname = ANY($1)"
        " UNION ALL SELECT indexrelname, idx_scan FROM pg_stat_user_indexes WHERE relname = ANY($1) ORDER BY name",
        list(tables),
    )
    return {row["name"]: row["count"] for row in rows}


@asynccontextmanager
async def serving_api(dsn: str, node_url: str = "http://127.0.0.1:1") -> AsyncIterator[str]:
    """An API process over the ledger, with one connection for its answers; it has no node unless one is given."""
    with tempfile.TemporaryDirectory(prefix="pay402-bench-") as home:
        environment = {
            "DATABASE_URL": dsn,
            "PAY402_HOME": home,
            "PORT": "0",
            "SOLANA_RPC_URL": node_url,
            "AUTH_RATE_LIMIT": "0",
            "API_POOL_SIZE": "2",
            "LOG_LEVEL": "error",
        }
        api = Child("API", ["api", "--json"], environment)
        try:
            yield (await api.start())["api"]
        finally:
            await api.stop()
