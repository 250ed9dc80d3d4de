"""Ten thousand followed accounts on one indexer process: time until all are subscribed, memory, idle cost."""

import asyncio
import re
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import aiohttp
from rich.console import Console
from rich.table import Table
from solders.pubkey import Pubkey

from bench.report import write_result
from pay402.chain.rpc import RpcPool
from pay402.localnet.payments import USDC
from pay402.migrations.migrate import upgrade
from pay402.ops.system import Child
from pay402.runtime.database import open_pool
from pay402.runtime.embedded import embedded_postgres

_WALLETS: Final = 5_000
_ACCOUNTS: Final = 2 * _WALLETS
_SECONDS_BOUND: Final = 60.0
_MEGABYTES_BOUND: Final = 250.0
_IDLE_SECONDS: Final = 10.0
_PATIENCE_SECONDS: Final = 300.0


def run() -> bool:
    """Measure, print, write; true when time and memory are within their bounds."""
    return asyncio.run(_measure())


async def _measure() -> bool:
    with tempfile.TemporaryDirectory(prefix="pay402-bench-") as home:
        localnet = Child("localnet", ["localnet", "--json", "--port", "0", "--slot-seconds", "0.4"], {})
        ready = await localnet.start()
        try:
            async with embedded_postgres(Path(home)) as dsn:
                await upgrade(dsn)
                await _register(dsn, ready["rpc"])
                environment = {
                    "DATABASE_URL": dsn,
                    "SOLANA_RPC_URL": ready["rpc"],
                    "SOLANA_WS_URL": ready["ws"],
                    "METRICS_PORT": "0",
                    "LOG_LEVEL": "error",
                }
                indexer = Child("indexer", ["indexer", "--json"], environment)
                started = time.monotonic()
                metrics_port = (await indexer.start())["metricsPort"]
                try:
                    return await _observe(f"http://127.0.0.1:{metrics_port}/metrics", started)
                finally:
                    await indexer.stop()
        finally:
            await localnet.stop()


async def _register(dsn: str, rpc_url: str) -> None:
    """Wallets with one token account each, on chain and in the database."""
    wallets = [str(Pubkey.new_unique()) for _ in range(_WALLETS)]
    async with RpcPool([rpc_url]) as rpc:
        for start in range(0, _WALLETS, 100):
            await asyncio.gather(
                *(rpc.call("localnet_fundToken", [w, str(USDC), 1], Any) for w in wallets[start : start + 100])
            )
    async with open_pool(dsn, application="bench", max_size=1) as pool:
        await pool.executemany(
            "INSERT INTO recipients (address, user_id, followed_from_slot) VALUES ($1, 'bench', 0)",
            [(wallet,) for wallet in wallets],
        )


async def _observe(url: str, started: float) -> bool:
    async with aiohttp.ClientSession() as session:
        subscribed = await _until(session, url, lambda m: m["pay402_subscribed_accounts"] >= _ACCOUNTS)
        subscribed_seconds = time.monotonic() - started
        healed = await _until(session, url, _is_healed)
        healed_seconds = time.monotonic() - started
        before = await _metrics(session, url)
        await asyncio.sleep(_IDLE_SECONDS)
        after = await _metrics(session, url)
    result = {
        "accounts": _ACCOUNTS,
        "subscribedSeconds": subscribed_seconds,
        "healedSeconds": healed_seconds,
        "megabytes": max(m["process_resident_memory_bytes"] for m in (subscribed, healed, after)) / 1e6,
        "idleCpuShare": (after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]) / _IDLE_SECONDS,
        "rpcCallsToStart": _calls(healed),
        "idleRpcCallsPerMinute": (_calls(after) - _calls(before)) * 60 / _IDLE_SECONDS,
    }
    table = Table("figure", "measured", "bound", title=f"{_ACCOUNTS} followed accounts on one indexer process")
    table.add_row("all subscribed after", f"{subscribed_seconds:.1f} s", f"{_SECONDS_BOUND:.0f} s")
    table.add_row("all histories healed after", f"{healed_seconds:.1f} s", "")
    table.add_row("resident memory, highest seen", f"{result['megabytes']:.0f} MB", f"{_MEGABYTES_BOUND:.0f} MB")
    table.add_row("RPC calls until then", f"{result['rpcCallsToStart']:.0f}", "")
    table.add_row("idle: share of one core", f"{result['idleCpuShare']:.3f}", "")
    table.add_row("idle: RPC calls a minute", f"{result['idleRpcCallsPerMinute']:.0f}", "")
    Console(width=110).print(table)
    write_result("scale", result)
    return subscribed_seconds < _SECONDS_BOUND and result["megabytes"] < _MEGABYTES_BOUND


def _is_healed(metrics: dict[str, float]) -> bool:
    return metrics['pay402_heals_total{outcome="complete"}'] >= _ACCOUNTS and not metrics["pay402_heal_queue_length"]


async def _until(session: aiohttp.ClientSession, url: str, enough: Any) -> dict[str, float]:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        metrics = await _metrics(session, url)
        if enough(metrics) or time.monotonic() > deadline:
            return metrics
        await asyncio.sleep(0.2)


async def _metrics(session: aiohttp.ClientSession, url: str) -> dict[str, float]:
    async with session.get(url) as response:
        text = await response.text()
    lines = re.findall(r"^([a-z_]\S*?(?:\{[^}]*\})?) ([-+.\deE]+)$", text, re.MULTILINE)
    return dict.fromkeys(('pay402_heals_total{outcome="complete"}',), 0.0) | {name: float(v) for name, v in lines}


def _calls(metrics: dict[str, float]) -> float:
    return sum(value for name, value in metrics.items() if name.startswith("pay402_rpc_calls_total"))
