"""Verifying and settling over x402, beside the published Python facilitator on the same chain and in the same run.

Both serve by one process and are asked by the same load generator with payments of the same kind. What the chain itself
takes to confirm is measured as well: the rest of a settlement is the facilitator's own share. Processor time is of the
process that serves and of the database that it writes to, less what both use while nobody asks anything. The published
facilitator keeps no books; ours include the recording of each transfer, and all that passes of the worker do with it.

Both are asked some settlements before they are measured, as some verifications: connections and plans of statements
are made once in the life of a process. Then the published client buys from the published middleware through each.
"""

import asyncio
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import psutil
from rich.console import Console
from rich.table import Table
from solders.keypair import Keypair

from bench.footprint import database_and_cache
from bench.keys import new_key
from bench.load import Sent
from bench.report import write_result
from bench.x402_payments import AMOUNT, X402Buyer
from bench.x402_purchase import PUBLISHED_PYTHON, purchase_seconds
from chain.rpc import RpcPool
from cli.system.processes import Child
from ledger.recipients import register_wallet
from localnet.payments import USDC
from migrations.migrate import upgrade
from runtime.database import open_pool
from runtime.embedded.servers import embedded_postgres, embedded_valkey

_SLOT_SECONDS: Final = 0.4
_READY_SECONDS: Final = 30.0
_CONNECTIONS: Final = (1, 16)
_JUDGED_CONNECTIONS: Final = 16
_VERIFICATIONS: Final = {1: 400, 16: 1_600}
_SETTLEMENTS: Final = {1: 12, 16: 96}
_WARM_UP: Final = 32
_CONFIRMATIONS: Final = 12
_PURCHASES: Final = 20
_IDLE_SECONDS: Final = 5.0

_VERIFY_RATIO_MIN: Final = 4.0
_PROCESSOR_RATIO_MAX: Final = 0.5
_OWN_SHARE_SECONDS_MAX: Final = 0.020
_PURCHASE_RATIO_MAX: Final = 0.65


@dataclass(slots=True)
class _Facilitator:
    """One that is measured: where it serves, and the processes that work for it."""

    name: str
    url: str
    buyer: X402Buyer
    processes: list[psutil.Process]
    key: str = "none"
    idle_share: float = 0.0

    def processor_seconds(self) -> float:
        """What its processes have used so far, their children's included."""
        families = [one for process in self.processes for one in (process, *process.children(recursive=True))]
        used = 0.0
        for one in families:
            try:
                times = one.cpu_times()
            except psutil.NoSuchProcess:
                continue
            used += times.user + times.system
        return used


@dataclass(slots=True)
class _Measured:
    """What one facilitator did over so many connections."""

    facilitator: str
    path: str
    connections: int
    sent: Sent
    processor_seconds: float

    @property
    def rate(self) -> float:
        """Answers in a second."""
        return len(self.sent.latencies) / self.sent.seconds

    @property
    def median_seconds(self) -> float:
        """The median of all answers."""
        return statistics.median(self.sent.latencies)

    @property
    def processor_ms(self) -> float:
        """Processor time of one answer, in milliseconds."""
        return 1000 * self.processor_seconds / len(self.sent.latencies)


@dataclass(slots=True)
class _System:
    """The chain, and both facilitators."""

    rpc: str
    ours: _Facilitator
    published: _Facilitator
    files: Path
    measured: list[_Measured] = field(default_factory=list)


def run() -> bool:
    """Measure, print, write; true when everything is within its bounds."""
    if not PUBLISHED_PYTHON.exists():
        raise SystemExit("error: the published facilitator is not installed; run `make test-clients` once")
    return asyncio.run(_measure())


async def _measure() -> bool:
    async with _running() as system, RpcPool([system.rpc]) as node:
        confirmation = await _confirmation_seconds(node, system.ours.buyer)
        await _note_idle_shares((system.ours, system.published))
        for path, counts in (("/x402/verify", _VERIFICATIONS), ("/x402/settle", _SETTLEMENTS)):
            for facilitator in (system.published, system.ours):
                await _load(system, node, facilitator, path, _JUDGED_CONNECTIONS, _WARM_UP)
                for connections in _CONNECTIONS:
                    await _one(system, node, facilitator, path, connections, counts[connections])
        purchases = {
            one.name: statistics.median(await purchase_seconds(one.url, one.key, system.rpc, one.buyer, _PURCHASES))
            for one in (system.published, system.ours)
        }
    return _report(system.measured, confirmation, purchases)


async def _note_idle_shares(facilitators: tuple[_Facilitator, ...]) -> None:
    """What share of a processor each takes while nobody asks it anything."""
    before = [one.processor_seconds() for one in facilitators]
    await asyncio.sleep(_IDLE_SECONDS)
    for one, used in zip(facilitators, before, strict=True):
        one.idle_share = (one.processor_seconds() - used) / _IDLE_SECONDS


async def _one(
    system: _System, node: RpcPool, facilitator: _Facilitator, path: str, connections: int, count: int
) -> None:
    before = facilitator.processor_seconds()
    sent = await _load(system, node, facilitator, path, connections, count)
    used = facilitator.processor_seconds() - before - facilitator.idle_share * sent.seconds
    system.measured.append(_Measured(facilitator.name, path.rpartition("/")[2], connections, sent, used))


async def _load(
    system: _System, node: RpcPool, facilitator: _Facilitator, path: str, connections: int, count: int
) -> Sent:
    requests = await facilitator.buyer.requests(node, path, count, facilitator.key)
    file = system.files / "requests"
    file.write_bytes(msgspec.msgpack.encode(requests))
    where = urlsplit(facilitator.url)
    arguments = (where.hostname, where.port, connections, file)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.load", *map(str, arguments), stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    sent = msgspec.json.decode(printed, type=Sent)
    if sent.statuses != {"200": count}:
        raise SystemExit(f"error: {facilitator.name} answered {path} with {sent.statuses}")
    return sent


async def _confirmation_seconds(node: RpcPool, buyer: X402Buyer) -> float:
    """The median of what the chain takes from a transaction that is sent to its confirmation, without a facilitator."""
    taken = []
    for _ in range(_CONFIRMATIONS):
        began = time.monotonic()
        signature = await node.call("requestAirdrop", [str(buyer.fee_payer), 1], str)
        while True:
            statuses = await node.call("getSignatureStatuses", [[signature]], Any)
            status = statuses["value"][0]
            if status and status["confirmationStatus"] in {"confirmed", "finalized"}:
                break
            await asyncio.sleep(0.005)
        taken.append(time.monotonic() - began)
    return statistics.median(taken)


@asynccontextmanager
async def _running() -> AsyncIterator[_System]:
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pay402-bench-")))
        chain = await _started(stack, [sys.executable, "-m", "bench.node", str(_SLOT_SECONDS)], {})
        dsn = await stack.enter_async_context(embedded_postgres(home))
        redis = await stack.enter_async_context(embedded_valkey(home))
        await upgrade(dsn)
        payer, shop, ours, theirs = (Keypair() for _ in range(4))
        async with RpcPool([chain.said["payers"]]) as node:
            for fee_payer in (ours, theirs):
                await node.call("requestAirdrop", [str(fee_payer.pubkey()), 10**10], Any)
            units = AMOUNT * 10 * (sum(_SETTLEMENTS.values()) + _WARM_UP + _PURCHASES)
            await node.call("localnet_fundToken", [str(payer.pubkey()), str(USDC), units], Any)
            await node.call("localnet_fundToken", [str(shop.pubkey()), str(USDC), 0], Any)
        async with open_pool(dsn, application="bench", max_size=1) as pool:
            await register_wallet(pool, address=str(shop.pubkey()), user_id="bench", label=None, followed_from_slot=0)
            key = await new_key(pool, "bench", "read", "write")
        environment = {
            "PAY402_HOME": str(home),
            "DATABASE_URL": dsn,
            "REDIS_URL": redis,
            "SOLANA_RPC_URL": chain.said["rpc"],
            "SOLANA_WS_URL": chain.said["ws"],
            "X402_FEE_PAYER_KEYPAIR": str(ours),
            "METRICS_PORT": "0",
            "PORT": "0",
            "LOG_LEVEL": "warning",
            "AUTH_RATE_LIMIT": "0",
            "VERIFY_RATE_LIMIT": "0",
        }
        said: dict[str, Any] = {}
        for role in ("indexer", "worker", "api"):
            child = Child(role, [role, "--json"], environment)
            stack.push_async_callback(child.stop)
            said |= await child.start()
        assert child.process is not None
        published = await _started(
            stack,
            # Without its own directory on the path, where this file would stand in place of the package.
            [str(PUBLISHED_PYTHON), "-P", "bench/x402_published.py", chain.said["payers"]],
            {"FEE_PAYER": str(theirs)},
        )
        working = [psutil.Process(child.process.pid), psutil.Process(database_and_cache(home)["postgres"])]
        yield _System(
            rpc=chain.said["payers"],
            ours=_Facilitator("402pay", said["api"], X402Buyer(payer, shop.pubkey(), ours.pubkey()), working, key),
            published=_Facilitator(
                "published",
                published.said["api"],
                X402Buyer(payer, shop.pubkey(), theirs.pubkey()),
                [psutil.Process(published.process.pid)],
            ),
            files=home,
        )


@dataclass(slots=True)
class _Started:
    """A process that serves, and what it printed when it was ready."""

    process: asyncio.subprocess.Process
    said: dict[str, str]


async def _started(stack: AsyncExitStack, command: list[str], more: dict[str, str]) -> _Started:
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **more}, stdout=asyncio.subprocess.PIPE)

    async def end() -> None:
        if process.returncode is None:
            process.terminate()
        await process.wait()

    stack.push_async_callback(end)
    assert process.stdout is not None
    async with asyncio.timeout(_READY_SECONDS):
        line = await process.stdout.readline()
    return _Started(process, msgspec.json.decode(line, type=dict[str, str]))


def _report(measured: list[_Measured], confirmation_seconds: float, purchases: dict[str, float]) -> bool:
    table = Table(title=f"x402 beside the published facilitator; the chain confirms in {confirmation_seconds:.3f} s")
    for column in ("", "connections", "a second", "p50 ms", "p99 ms", "own share ms", "processor ms", "times theirs"):
        table.add_column(column, justify="right")
    by = {(one.path, one.connections, one.facilitator): one for one in measured}
    is_good = True
    for one in measured:
        theirs = by[one.path, one.connections, "published"]
        p99 = sorted(one.sent.latencies)[math.ceil(0.99 * len(one.sent.latencies)) - 1]
        is_settling = one.path == "settle"
        own = one.median_seconds - confirmation_seconds
        table.add_row(
            f"{one.facilitator} {one.path}",
            str(one.connections),
            f"{one.rate:.1f}",
            f"{1000 * one.median_seconds:.1f}",
            f"{1000 * p99:.1f}",
            f"{1000 * own:.1f}" if is_settling else "",
            f"{one.processor_ms:.2f}",
            f"{one.rate / theirs.rate:.2f}",
        )
        if one is not theirs and one.connections == _JUDGED_CONNECTIONS:
            is_good = is_good and one.processor_ms <= _PROCESSOR_RATIO_MAX * theirs.processor_ms
            is_good = is_good and (is_settling or one.rate >= _VERIFY_RATIO_MIN * theirs.rate)
        if one is not theirs and is_settling and one.connections == 1:
            is_good = is_good and own <= _OWN_SHARE_SECONDS_MAX
    ratio = purchases["402pay"] / purchases["published"]
    is_good = is_good and ratio <= _PURCHASE_RATIO_MAX
    console = Console(width=130)
    console.print(table)
    console.print(
        f"A whole purchase, median: {1000 * purchases['402pay']:.0f} ms through 402pay, "
        f"{1000 * purchases['published']:.0f} ms through the published facilitator; ratio {ratio:.2f}, "
        f"at most {_PURCHASE_RATIO_MAX}"
    )
    write_result(
        "x402",
        {
            "confirmationSeconds": confirmation_seconds,
            "purchaseSeconds": purchases,
            "measured": [
                {
                    "facilitator": one.facilitator,
                    "path": one.path,
                    "connections": one.connections,
                    "aSecond": one.rate,
                    "p50ms": 1000 * one.median_seconds,
                    "processorMs": one.processor_ms,
                }
                for one in measured
            ],
        },
    )
    return is_good
