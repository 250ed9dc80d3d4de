"""A thousand readers of the feed's stream on one API process: its memory and processor time, and how late each reads.

All readers are one process, on the same machine, so what they take is in the lag too. `BENCH_STREAMS` sets how many.
"""

import asyncio
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg
import psutil
import uvloop
from rich.console import Console
from rich.table import Table

from bench.keys import new_key
from bench.report import write_result
from bench.webhooks import LOG_EVENT, USER, started
from cli.system.processes import Child
from migrations.migrate import upgrade
from runtime.database import open_pool
from runtime.embedded.servers import embedded_postgres, embedded_valkey

_EVENTS: Final = 20
_PAUSE_SECONDS: Final = 0.5
_IDLE_SECONDS: Final = 5.0
_WAIT_SECONDS: Final = 60.0
_SLOT_SECONDS: Final = "0.4"


@dataclass(slots=True)
class _Readers:
    """What all readers have read: how many are connected, and when each event came to each of them."""

    connected: int = 0
    arrived: dict[str, list[float]] = field(default_factory=dict)

    async def read(self, http: aiohttp.ClientSession, url: str, key: str) -> None:
        """Be one reader, until cancelled."""
        timeout = aiohttp.ClientTimeout(total=None)
        async with http.get(f"{url}/events/stream", headers={"x-api-key": key}, timeout=timeout) as response:
            if response.status != 200:  # noqa: PLR2004 - anything else is no stream
                raise SystemExit(f"error: a stream was answered with {response.status}")
            self.connected += 1
            async for line in response.content:
                if line.startswith(b"data:"):
                    event = json.loads(line.removeprefix(b"data:"))
                    self.arrived.setdefault(event["data"]["keyPrefix"], []).append(time.time())


@dataclass(slots=True)
class _System:
    """What runs."""

    pool: asyncpg.Pool
    url: str
    key: str
    process: psutil.Process


def run() -> bool:
    """Measure, print, write; true when every reader has had every event."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(int(os.environ.get("BENCH_STREAMS", "1000"))))


async def _measure(count: int) -> bool:
    readers = _Readers()
    async with _running(count) as system, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        empty_bytes = system.process.memory_info().rss
        tasks = [asyncio.create_task(readers.read(http, system.url, system.key)) for _ in range(count)]
        await _until(lambda: readers.connected == count)
        await asyncio.sleep(1)
        open_bytes = system.process.memory_info().rss
        idle = await _processor_seconds(system, asyncio.sleep(_IDLE_SECONDS)) / _IDLE_SECONDS
        committed: dict[str, float] = {}
        used = await _processor_seconds(system, _log(system, committed))
        is_whole = await _until(
            lambda: len(readers.arrived) == _EVENTS and all(len(one) == count for one in readers.arrived.values())
        )
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    lags = sorted(at - committed[name] for name, arrived in readers.arrived.items() for at in arrived)
    measured = {
        "readers": count,
        "memoryEmptyMb": empty_bytes / 1e6,
        "memoryOfOneKb": (open_bytes - empty_bytes) / count / 1e3,
        "processorIdleShare": idle,
        "processorOfAnEventMs": 1000 * (used - idle * _EVENTS * _PAUSE_SECONDS) / _EVENTS,
        "lagFirstReaderMs": 1000
        * statistics.median(min(one) - committed[name] for name, one in readers.arrived.items()),
        "lagMedianMs": 1000 * statistics.median(lags),
        "lagP99Ms": 1000 * lags[math.ceil(0.99 * len(lags)) - 1],
        "processesThatWantToRun": os.getloadavg()[0],
    }
    table = Table("figure", "measured", title="streams of the feed")
    for name, value in measured.items():
        table.add_row(name, f"{value:,.1f}")
    Console(width=100).print(table)
    write_result("streams", measured)
    return is_whole


async def _log(system: _System, committed: dict[str, float]) -> None:
    for n in range(_EVENTS):
        await system.pool.execute(LOG_EVENT, f"sk_live_{n}", USER)
        committed[f"sk_live_{n}"] = time.time()
        await asyncio.sleep(_PAUSE_SECONDS)


async def _processor_seconds(system: _System, during: Awaitable[None]) -> float:
    before = system.process.cpu_times()
    await during
    after = system.process.cpu_times()
    return after.user + after.system - before.user - before.system


async def _until(check: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not check():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


@asynccontextmanager
async def _running(count: int) -> AsyncIterator[_System]:
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pay402-bench-")))
        chain = json.loads(await started(stack, "bench.node", _SLOT_SECONDS))
        dsn = await stack.enter_async_context(embedded_postgres(home))
        redis = await stack.enter_async_context(embedded_valkey(home))
        await upgrade(dsn)
        environment = {
            "PAY402_HOME": str(home), "DATABASE_URL": dsn, "REDIS_URL": redis, "SOLANA_RPC_URL": chain["rpc"],
            "SOLANA_WS_URL": chain["ws"], "METRICS_PORT": "0", "PORT": "0", "LOG_LEVEL": "error",
            "AUTH_RATE_LIMIT": "0", "PUBLIC_RATE_LIMIT": "0", "API_STREAMS": str(count),
            "API_STREAMS_PER_USER": str(count),
        }  # fmt: skip
        for role in ("worker", "api"):
            child = Child(role, [role, "--json"], environment)
            stack.push_async_callback(child.stop)
            said = await child.start()
        assert child.process is not None
        pool = await stack.enter_async_context(open_pool(dsn, application="bench", max_size=1))
        key = await new_key(pool, USER, "read")
        yield _System(pool, said["api"], key, psutil.Process(child.process.pid))
