"""A thousand to ten thousand followed accounts on one indexer process: time to follow, memory, idle cost.

The ceiling of the time is a program that only asks for each wallet's token accounts under both programs and subscribes
to as many accounts on as many sockets. The indexer also starts in that time, and walks the history of each account.
"""

import asyncio
import json
import re
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import aiohttp
from rich.console import Console
from rich.table import Table
from solders.pubkey import Pubkey
from websockets.asyncio.client import connect

from bench.plot import draw
from bench.points import Point
from bench.report import write_result
from chain.programs import TOKEN_PROGRAMS
from chain.rpc import RpcPool
from cli.system.processes import Child
from indexer.settings import IndexerSettings
from localnet.payments import USDC
from migrations.migrate import upgrade
from runtime.database import open_pool
from runtime.embedded.servers import embedded_postgres

_SIZES: Final = (1_000, 3_000, 10_000)
_SECONDS_MAX: Final = 60.0
_MEGABYTES_MAX: Final = 250.0
_TITLE: Final = "Followed accounts on one indexer process"
_CONFIRMED_SECONDS: Final = 2.0
_ASKED_AT_ONCE: Final = 8
_IDLE_SECONDS: Final = 10.0
_PATIENCE_SECONDS: Final = 300.0


def run() -> bool:
    """Measure, print, write, draw; true when time and memory are within their bounds."""
    return asyncio.run(_measure())


async def _measure() -> bool:
    results = [await _one_size(size) for size in _SIZES]
    return _report(results)


async def _one_size(accounts: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="pay402-bench-") as home:
        localnet = Child("localnet", ["localnet", "--json", "--port", "0", "--slot-seconds", "0.4"], {})
        ready = await localnet.start()
        try:
            async with embedded_postgres(Path(home)) as dsn:
                await upgrade(dsn)
                wallets = await _register(dsn, ready["rpc"], accounts // 2)
                ceiling = await _ask_and_subscribe(ready["rpc"], ready["ws"], wallets, accounts)
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
                    observed = await _observe(f"http://127.0.0.1:{metrics_port}/metrics", started, accounts)
                finally:
                    await indexer.stop()
        finally:
            await localnet.stop()
    return {"accounts": accounts, "ceilingSeconds": ceiling, **observed}


async def _ask_and_subscribe(rpc_url: str, ws_url: str, wallets: list[str], accounts: int) -> float:
    """Seconds until the accounts of `wallets` are found and so many are subscribed."""
    per_socket = IndexerSettings().accounts_per_socket
    waiting = iter(wallets)

    async def ask(rpc: RpcPool) -> list[str]:
        found = []
        for wallet in waiting:
            for program in TOKEN_PROGRAMS:
                params = [wallet, {"programId": program}, {"encoding": "base64", "commitment": "confirmed"}]
                answer = await rpc.call("getTokenAccountsByOwner", params, Any)
                found += [account["pubkey"] for account in answer["value"]]
        return found

    async def one_socket(addresses: list[str]) -> None:
        async with connect(ws_url, max_size=None, compression=None) as socket:
            for number, address in enumerate(addresses):
                params = [{"mentions": [address]}, {"commitment": "confirmed"}]
                request = {"jsonrpc": "2.0", "id": number, "method": "logsSubscribe", "params": params}
                await socket.send(json.dumps(request))
            for _ in addresses:
                assert "result" in json.loads(await socket.recv())

    started = time.monotonic()
    async with RpcPool([rpc_url]) as rpc:
        found = await asyncio.gather(*(ask(rpc) for _ in range(_ASKED_AT_ONCE)))
    addresses = [*wallets, *(account for some in found for account in some)]
    assert len(addresses) == accounts, len(addresses)
    await asyncio.gather(*(one_socket(addresses[n : n + per_socket]) for n in range(0, accounts, per_socket)))
    return time.monotonic() - started


async def _register(dsn: str, rpc_url: str, count: int) -> list[str]:
    """Wallets with one token account each, on chain and in the database."""
    wallets = [str(Pubkey.new_unique()) for _ in range(count)]
    async with RpcPool([rpc_url]) as rpc:
        for start in range(0, count, 100):
            await asyncio.gather(
                *(rpc.call("localnet_fundToken", [w, str(USDC), 1], Any) for w in wallets[start : start + 100])
            )
        await asyncio.sleep(_CONFIRMED_SECONDS)
    async with open_pool(dsn, application="bench", max_size=1) as pool:
        await pool.executemany(
            "INSERT INTO recipients (address, user_id, followed_from_slot) VALUES ($1, 'bench', 0)",
            [(wallet,) for wallet in wallets],
        )
    return wallets


async def _observe(url: str, started: float, accounts: int) -> dict[str, float]:
    async with aiohttp.ClientSession() as session:
        subscribed = await _until(session, url, lambda m: m["pay402_subscribed_accounts"] >= accounts)
        subscribed_seconds = time.monotonic() - started
        healed = await _until(session, url, lambda m: _is_healed(m, accounts))
        healed_seconds = time.monotonic() - started
        before = await _metrics(session, url)
        await asyncio.sleep(_IDLE_SECONDS)
        after = await _metrics(session, url)
    return {
        "subscribedSeconds": subscribed_seconds,
        "healedSeconds": healed_seconds,
        "megabytes": max(m["process_resident_memory_bytes"] for m in (subscribed, healed, after)) / 1e6,
        "idleCpuShare": (after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]) / _IDLE_SECONDS,
        "rpcCallsToStart": _calls(healed),
        "idleRpcCallsPerMinute": (_calls(after) - _calls(before)) * 60 / _IDLE_SECONDS,
    }


def _report(results: list[dict[str, float]]) -> bool:
    table = Table("figure", *(f"{result['accounts']:,} accounts" for result in results), "bound", title=_TITLE)
    rows = (
        ("all subscribed after", "subscribedSeconds", "{:.1f} s", f"{_SECONDS_MAX:.0f} s"),
        ("ceiling: asking and subscribing alone", "ceilingSeconds", "{:.1f} s", ""),
        ("all histories healed after", "healedSeconds", "{:.1f} s", ""),
        ("resident memory, highest seen", "megabytes", "{:.0f} MB", f"{_MEGABYTES_MAX:.0f} MB"),
        ("RPC calls until then", "rpcCallsToStart", "{:.0f}", ""),
        ("idle: share of one core", "idleCpuShare", "{:.3f}", ""),
        ("idle: RPC calls a minute", "idleRpcCallsPerMinute", "{:.0f}", ""),
    )
    for title, name, form, bound in rows:
        table.add_row(title, *(form.format(result[name]) for result in results), bound)
    Console(width=110).print(table)
    write_result("scale", results)
    points = [Point("all subscribed", int(r["accounts"]), r["subscribedSeconds"], r["ceilingSeconds"]) for r in results]
    draw("scale", _TITLE, points, "accounts")
    return all(r["subscribedSeconds"] < _SECONDS_MAX and r["megabytes"] < _MEGABYTES_MAX for r in results)


def _is_healed(metrics: dict[str, float], accounts: int) -> bool:
    return metrics['pay402_heals_total{outcome="complete"}'] >= accounts and not metrics["pay402_heal_queue_length"]


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
