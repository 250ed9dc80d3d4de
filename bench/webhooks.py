"""Webhooks: from a commit to a receiver's socket, alone and beside nine receivers that misbehave, and a day's backlog.

The worker, the chain, and the receivers are processes of their own; the receivers that misbehave are in another than
the one that answers. Ceiling of the rate: the same HTTP client, with as many connections as one receiver gets, that
posts the same body without us. `BENCH_WEBHOOK_BACKLOG` sets the events of the backlog, which are 100,000. The rates
share the machine with its neighbours; the processor time of a delivery, by worker and database, does not.
"""

import asyncio
import contextlib
import json
import math
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg
import psutil
import uvloop
from rich.console import Console
from rich.table import Table

from bench.footprint import database_and_cache
from bench.report import write_result
from cli.system.processes import Child
from ledger.webhooks import add_webhook, remove_webhook
from migrations.migrate import upgrade
from runtime.database import open_pool
from runtime.embedded.servers import embedded_postgres, embedded_valkey
from runtime.webhook_seal import WebhookSeal
from runtime.webhook_signatures import new_signing_keys, signed_headers

_EVENTS: Final = 400
_PAUSE_SECONDS: Final = 0.03
_BROKEN: Final = ("hang", "hang", "hang", "fail", "fail", "close", "slow", "long", "long")
_CONNECTIONS: Final = 8
_CEILING_POSTS: Final = 4_000
_MEDIAN_SECONDS_MAX: Final = 0.050
_RATE_RATIO_MIN: Final = 0.5
_WAIT_SECONDS: Final = 60.0
_SLOT_SECONDS: Final = 0.4
USER: Final = "bench"
# As a merchant's own event is logged, and the worker woken as it is by a payment.
LOG_EVENT: Final = """
WITH logged AS (INSERT INTO events (type, subject, user_id, data) VALUES ('key.revoked', $1, $2, '{}'))
SELECT pg_notify('transfers', '')
"""


@dataclass(slots=True)
class _System:
    """What runs, and how the worker is started."""

    pool: asyncpg.Pool
    worker: Child
    good: str
    bad: str
    home: Path
    http: aiohttp.ClientSession


@dataclass(frozen=True, slots=True)
class _Latency:
    """Seconds from commits to a receiver's socket."""

    median: float
    p99: float


@dataclass(frozen=True, slots=True)
class _Pace:
    """How many went out a second, and the milliseconds of processor time of each."""

    a_second: float
    processor_ms: float


def run() -> bool:
    """Measure, print, write; true when median and rate are within their bounds."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure())


async def _measure() -> bool:
    backlog = int(os.environ.get("BENCH_WEBHOOK_BACKLOG", "100000"))
    async with _running() as system:
        await system.worker.start()
        await _subscribe(system, f"{system.good}/well")
        await _latency(system, "warm", 50)
        alone = await _latency(system, "alone", _EVENTS)
        broken = [await _subscribe(system, f"{system.bad}/{name}") for name in _BROKEN]
        beside = await _latency(system, "beside", _EVENTS)
        for one in broken:
            await remove_webhook(system.pool, one)
        ceiling = await _ceiling(system)
        await system.worker.stop()
        drained = await _backlog(system, backlog)
    return _report(alone, beside, drained, ceiling, backlog)


async def _latency(system: _System, name: str, count: int) -> _Latency:
    committed = {}
    for n in range(count):
        subject = f"sk_live_{name}_{n}"
        await system.pool.execute(LOG_EVENT, subject, USER)
        committed[subject] = time.time()
        await asyncio.sleep(_PAUSE_SECONDS)
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        async with system.http.get(f"{system.good}/taken") as response:
            taken = await response.json()
        if committed.keys() <= taken.keys():
            break
        if time.monotonic() > deadline:
            raise SystemExit(f"error: {len(committed.keys() - taken.keys())} events did not arrive")
        await asyncio.sleep(0.2)
    taken_seconds = sorted(taken[subject] - at for subject, at in committed.items())
    return _Latency(statistics.median(taken_seconds), taken_seconds[math.ceil(0.99 * count) - 1])


async def _ceiling(system: _System) -> _Pace:
    """Posts a second by the worker's own client library, of a body that was sent, signed as it is sent."""
    body: bytes = (await system.pool.fetchval("SELECT body FROM feed ORDER BY id LIMIT 1")).encode()
    keys = new_signing_keys()
    left = iter(range(_CEILING_POSTS))
    connector = aiohttp.TCPConnector(limit=_CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as http:

        async def post() -> None:
            for n in left:
                headers = signed_headers(
                    f"evt_{n}", int(time.time()), body, secret_keys=[keys.secret], seeds=[keys.signing_seed]
                )
                async with http.post(f"{system.good}/well", data=body, headers=headers) as response:
                    await response.read()

        began, used = time.perf_counter(), time.process_time()
        await asyncio.gather(*(post() for _ in range(_CONNECTIONS)))
        seconds, used = time.perf_counter() - began, time.process_time() - used
        return _Pace(_CEILING_POSTS / seconds, 1000 * used / _CEILING_POSTS)


async def _backlog(system: _System, count: int) -> _Pace:
    """Deliveries a second until the last of `count` events has arrived that were logged while no worker ran."""
    await system.pool.execute(
        "INSERT INTO events (type, subject, user_id, data)"
        " SELECT 'key.revoked', 'sk_live_late_' || n, $1, '{}' FROM generate_series(1, $2) AS n",
        USER,
        count,
    )
    async with system.http.get(f"{system.good}/count") as response:
        before = await response.json()
    began = time.monotonic()
    await system.worker.start()
    before_seconds = _processor_seconds(system)
    while True:
        async with system.http.get(f"{system.good}/count") as response:
            arrived = await response.json() - before
        if arrived == count:
            seconds = time.monotonic() - began
            return _Pace(count / seconds, 1000 * (_processor_seconds(system) - before_seconds) / count)
        await asyncio.sleep(0.2)


def _processor_seconds(system: _System) -> float:
    """Processor time of the worker, and of the database with its processes that ended."""
    assert system.worker.process is not None
    postmaster = psutil.Process(database_and_cache(system.home)["postgres"])
    seconds = sum(psutil.Process(system.worker.process.pid).cpu_times()[:2]) + sum(postmaster.cpu_times()[:4])
    for one in postmaster.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            seconds += sum(one.cpu_times()[:2])
    return seconds


async def _subscribe(system: _System, url: str) -> uuid.UUID:
    webhook_id = uuid.uuid4()
    keys = WebhookSeal([]).seal(webhook_id, new_signing_keys())
    await add_webhook(
        system.pool, webhook_id=webhook_id, user_id=USER, environment="live", url=url, types=None, description="",
        keys=keys, webhooks_max=100,
    )  # fmt: skip
    return webhook_id


@asynccontextmanager
async def _running() -> AsyncIterator[_System]:
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pay402-bench-")))
        chain = json.loads(await started(stack, "bench.node", str(_SLOT_SECONDS)))
        good, bad = [await started(stack, "bench.webhook_receivers") for _ in range(2)]
        dsn = await stack.enter_async_context(embedded_postgres(home))
        redis = await stack.enter_async_context(embedded_valkey(home))
        await upgrade(dsn)
        environment = {
            "PAY402_HOME": str(home), "DATABASE_URL": dsn, "REDIS_URL": redis, "SOLANA_RPC_URL": chain["rpc"],
            "SOLANA_WS_URL": chain["ws"], "METRICS_PORT": "0", "LOG_LEVEL": "error", "WEBHOOK_KEY": uuid.uuid4().hex,
        }  # fmt: skip
        worker = Child("worker", ["worker", "--json"], environment)
        stack.push_async_callback(worker.stop)
        pool = await stack.enter_async_context(open_pool(dsn, application="bench", max_size=2))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield _System(pool, worker, good, bad, home, http)


async def started(stack: AsyncExitStack, *module: str) -> str:
    """Start a module of Python, which ends with `stack`; returns its first line."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", *module, stdout=asyncio.subprocess.PIPE)

    async def end() -> None:
        process.terminate()
        await process.wait()

    stack.push_async_callback(end)
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


def _report(alone: _Latency, beside: _Latency, drained: _Pace, ceiling: _Pace, backlog: int) -> bool:
    table = Table(title=f"webhooks; {os.getloadavg()[0]:.1f} processes wanted to run in the last minute")
    for column in ("", "measured", "beside", "ratio", "bound"):
        table.add_column(column, justify="right")
    table.add_row("median ms, alone", f"{1000 * alone.median:.1f}", "", "", f"at most {1000 * _MEDIAN_SECONDS_MAX:.0f}")
    table.add_row("p99 ms, alone and beside nine broken", f"{1000 * alone.p99:.1f}", f"{1000 * beside.p99:.1f}",
                  f"{beside.p99 / alone.p99:.2f}", "")  # fmt: skip
    table.add_row("median ms beside nine broken", f"{1000 * beside.median:.1f}", "", "", "")
    table.add_row(f"a second, {backlog:,} behind; the client alone", f"{drained.a_second:.0f}",
                  f"{ceiling.a_second:.0f}", f"{drained.a_second / ceiling.a_second:.2f}",
                  f"at least {_RATE_RATIO_MIN}")  # fmt: skip
    table.add_row("processor ms each, worker and database; the client alone", f"{drained.processor_ms:.2f}",
                  f"{ceiling.processor_ms:.2f}", f"{ceiling.processor_ms / drained.processor_ms:.2f}", "")  # fmt: skip
    Console(width=120).print(table)
    write_result(
        "webhooks",
        {
            "aloneSeconds": [alone.median, alone.p99], "besideBrokenSeconds": [beside.median, beside.p99],
            "backlog": backlog, "aSecond": drained.a_second, "clientAloneASecond": ceiling.a_second,
            "processorMs": drained.processor_ms, "clientAloneProcessorMs": ceiling.processor_ms,
        },
    )  # fmt: skip
    return alone.median <= _MEDIAN_SECONDS_MAX and drained.a_second >= _RATE_RATIO_MIN * ceiling.a_second
