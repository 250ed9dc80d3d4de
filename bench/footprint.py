"""What the system uses: memory and processor of each process, idle and busy, and RPC calls to the node by method.

The node counts the calls itself. Payers and buyers use another port of it, which does not count. At each rate, buyers
pay for a while and then wait until all payments are final, so that every call caused by a payment falls into its phase.
Three ratios have bounds: the memory of a busy process to the same process idle, the processor time for a payment at the
highest rate to that at the lowest, and the calls for a payment to one, because every ledger must fetch a payment once.
"""

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil

from bench.buyer import PAYERS, RECIPIENTS, Bought
from bench.footprint_phase import Phase
from bench.footprint_report import conclude
from bench.keys import new_key
from chain.rpc import RpcPool
from cli.registration import register
from cli.system.processes import Child
from localnet.market import open_market
from migrations.migrate import upgrade
from runtime.database import open_pool
from runtime.embedded.servers import embedded_postgres, embedded_valkey
from runtime.settings import SolanaSettings

_SLOT_SECONDS: Final = 0.4
_WARM_SECONDS: Final = 20.0
# Two audits and two searches of every wallet, each of which happens once a minute.
_IDLE_SECONDS: Final = 120.0
# Finality takes 13 s here, and a pass of the finalizer 2 s.
_DRAIN_SECONDS: Final = 18.0
_TRADES: Final = ((1, 60.0, "confirmed"), (10, 30.0, "confirmed"), (50, 30.0, "confirmed"), (10, 30.0, "at-once"))
_SAMPLE_SECONDS: Final = 0.5
_READY_SECONDS: Final = 60.0
_ACCOUNTS: Final = 3 * RECIPIENTS


@dataclass(frozen=True, slots=True)
class _System:
    """The running parts, by process id, and where they are."""

    pids: dict[str, int]
    rpc: str
    payers: str
    api: str
    key: str


def run() -> bool:
    """Measure, print, write, draw; true when everything is within its bounds."""
    return conclude(asyncio.run(_measure()), accounts=_ACCOUNTS)


async def _measure() -> list[Phase]:
    nothing = Bought(0, 0, 0, [])
    async with _running() as system, RpcPool([system.rpc]) as node:
        await asyncio.sleep(_WARM_SECONDS)
        # The first payment opens connections that all later payments use, so it is not measured.
        await _buy(system, 1, 5.0, "confirmed")
        await asyncio.sleep(_DRAIN_SECONDS)
        phases = []
        idle = Phase("idle", 0, _IDLE_SECONDS, nothing)
        await _watch(system, node, idle, asyncio.sleep(_IDLE_SECONDS, nothing), 0.0)
        phases.append(idle)
        for rate, seconds, when in _TRADES:
            name = f"{rate}/s" if when == "confirmed" else f"{rate}/s, presented at once"
            phase = Phase(name, rate, seconds, nothing)
            await _watch(system, node, phase, _buy(system, rate, seconds, when), _DRAIN_SECONDS)
            phases.append(phase)
    return phases


async def _watch(system: _System, node: RpcPool, phase: Phase, work: Any, drain_seconds: float) -> None:
    """Do `work`, and write into `phase` what each process used meanwhile."""
    calls, cpu = await _calls(node), _cpu_seconds(system)
    began = time.monotonic()
    working = asyncio.ensure_future(work)
    while not working.done():
        await asyncio.wait({working}, timeout=_SAMPLE_SECONDS)
        for part, megabytes in _megabytes(system).items():
            phase.megabytes[part] = max(phase.megabytes.get(part, 0.0), megabytes)
    phase.bought = working.result()
    phase.seconds = time.monotonic() - began
    after = _cpu_seconds(system)
    phase.cpu_seconds = {part: after[part] - before for part, before in cpu.items()}
    await asyncio.sleep(drain_seconds)
    phase.call_seconds = time.monotonic() - began
    phase.calls = await _calls(node) - calls


async def _buy(system: _System, rate: float, seconds: float, when: str) -> Bought:
    arguments = (system.payers, system.api, system.key, rate, seconds, when)
    buyer = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.buyer", *map(str, arguments), stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await buyer.communicate()
    return msgspec.json.decode(printed, type=Bought)


async def _calls(node: RpcPool) -> Counter[str]:
    return Counter(await node.call("localnet_countCalls", [], dict[str, int]))


@asynccontextmanager
async def _running() -> AsyncIterator[_System]:
    """The whole system with default settings, but without logs of requests."""
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pay402-bench-")))
        node = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.node", str(_SLOT_SECONDS), stdout=asyncio.subprocess.PIPE
        )
        stack.push_async_callback(_ended, node)
        assert node.stdout is not None
        async with asyncio.timeout(_READY_SECONDS):
            where = msgspec.json.decode(await node.stdout.readline(), type=dict[str, str])
        dsn = await stack.enter_async_context(embedded_postgres(home))
        redis = await stack.enter_async_context(embedded_valkey(home))
        await upgrade(dsn)
        key = await _merchant(dsn, where["payers"])
        environment = {
            "PAY402_HOME": str(home),
            "DATABASE_URL": dsn,
            "REDIS_URL": redis,
            "SOLANA_RPC_URL": where["rpc"],
            "SOLANA_WS_URL": where["ws"],
            "METRICS_PORT": "0",
            "PORT": "0",
            "LOG_LEVEL": "warning",
        }
        pids = {"node": node.pid, **database_and_cache(home)}
        ready: dict[str, Any] = {}
        for role in ("indexer", "worker", "api"):
            child = Child(role, [role, "--json"], environment)
            stack.push_async_callback(child.stop)
            ready |= await child.start()
            assert child.process is not None
            pids[role] = child.process.pid
        yield _System(pids, where["rpc"], where["payers"], ready["api"], key)


async def _ended(process: asyncio.subprocess.Process) -> None:
    process.terminate()
    await process.wait()


async def _merchant(dsn: str, rpc: str) -> str:
    """Wallets with accounts that are followed, payers with money, and the merchant's key."""
    async with open_pool(dsn, application="bench", max_size=1) as pool:
        async with open_market(rpc, payers=PAYERS, recipients=RECIPIENTS) as market:
            await market.prepare()
            for wallet in market.wallets:
                await register(pool, SolanaSettings(solana_rpc_url=rpc), wallet, user="bench")
        return await new_key(pool, "bench", "read", "write")


def database_and_cache(home: Path) -> dict[str, int]:
    """The processes of the embedded servers below `home`: `postgres` and `valkey`."""
    postgres = int((home / "postgres" / "postmaster.pid").read_text(encoding="utf-8").split()[0])
    return {"postgres": postgres, "valkey": msgspec.json.decode((home / "valkey.json").read_bytes())["pid"]}


def _families(system: _System) -> dict[str, list[psutil.Process]]:
    processes = {part: psutil.Process(pid) for part, pid in system.pids.items()}
    return {part: [process, *(process.children() if part == "postgres" else [])] for part, process in processes.items()}


def _megabytes(system: _System) -> dict[str, float]:
    sizes = dict.fromkeys(system.pids, 0.0)
    for part, family in _families(system).items():
        for process in family:
            try:
                memory = process.memory_info()
            except psutil.NoSuchProcess:  # a connection that has just been closed
                continue
            # The buffers that Postgres' processes share are not counted.
            sizes[part] += (memory.rss - (memory.shared if part == "postgres" else 0)) / 1e6
    return sizes


def _cpu_seconds(system: _System) -> dict[str, float]:
    used = dict.fromkeys(system.pids, 0.0)
    for part, family in _families(system).items():
        for process in family:
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            # Processor time of a process that ended is counted by its parent.
            used[part] += (
                times.user + times.system + (times.children_user + times.children_system) * (process is family[0])
            )
    return used
