"""What an operator runs: Postgres, Valkey, two nodes, one of which lies, and one process each of our three."""

import asyncio
import contextlib
import os
import signal
import socket
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import psutil

from cli.system.local_ledger import follow_settlement
from cli.system.processes import Child
from cli.system.settlement_wallet import local_settlement
from migrations.migrate import upgrade
from runtime.database import open_connection
from runtime.embedded.postgres import EmbeddedPostgres
from tests.scenarios.system import ENVIRONMENT as FAST_INDEXER
from tests.support.api_processes import OwnRedis, own_redis
from tests.support.crashing_postgres import Postgres
from tests.support.job_shop import FAST as FAST_WORKER
from tests.support.lying_node import LyingNode

ROLES = ("indexer", "worker", "api")
_EXIT_SECONDS = 40


@dataclass(frozen=True)
class Pace:
    """How fast time passes: an operator's own settings, or such that everything periodic happens within seconds."""

    slot_seconds: float
    finalize_slots: int
    settings: dict[str, str]
    # How long the end may take until the last payment is final, audited and paid out.
    end_seconds: float
    # How long a fault may be felt after what it broke is there again.
    grace_seconds: float


# The invariants of money are checked each minute instead of every five, so that a breach shows while it lasts.
USUAL = Pace(0.4, 32, {"WORKER_INSPECT_SECONDS": "60"}, end_seconds=240.0, grace_seconds=15.0)
QUICK = Pace(
    0.1, 8, {name: str(value) for name, value in {**FAST_INDEXER, **FAST_WORKER}.items()},
    end_seconds=60.0, grace_seconds=8.0,
)  # fmt: skip


@dataclass
class Estate:
    """The parts, each of which can be taken away and given back."""

    home: Path
    pace: Pace
    postgres: Postgres
    redis: OwnRedis
    localnet: Child
    # The node that our processes ask first, before the honest one at `rpc_url`.
    liar: LyingNode
    rpc_url: str
    dsn: str
    environment: dict[str, str]
    settlement: str
    children: dict[str, Child] = field(default_factory=dict)
    api_url: str = ""
    # Role, signal and exit code of each process that was ended.
    ended: list[tuple[str, int, int]] = field(default_factory=list)

    async def start(self, role: str) -> None:
        """Start a process and wait until it says that it is ready."""
        ready = await self.children[role].start()
        if role == "api":
            self.api_url = ready["api"]

    async def end(self, role: str, number: signal.Signals) -> None:
        """End a process by a signal and wait for it."""
        process = self.children[role].process
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        async with asyncio.timeout(_EXIT_SECONDS):
            self.ended.append((role, number, await process.wait()))

    async def pause_postgres(self, seconds: float) -> None:
        """Stop Postgres as its operator does, and start it again after a while."""
        await self.postgres.stop()
        await asyncio.sleep(seconds)
        await self.postgres.start()

    async def end_connections(self) -> None:
        """End every connection of our processes to Postgres, as a failover or a restarted pooler does."""
        async with open_connection(self.dsn, application="soak") as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ $1",
                f"^pay402-({'|'.join(ROLES)})",
            )

    async def pause_redis(self, seconds: float) -> None:
        """Kill Valkey, which forgets everything, and start an empty one in its place."""
        await self.redis.stop()
        await asyncio.sleep(seconds)
        await self.redis.start()

    def families(self) -> dict[str, list[int]]:
        """The processes of each part, by process id, as they are now."""
        found = {name: [child.process.pid] for name, child in self.children.items() if _lives(child)}
        found["localnet"] = [self.localnet.process.pid]
        if self.redis.process is not None and self.redis.process.returncode is None:
            found["valkey"] = [self.redis.process.pid]
        with contextlib.suppress(OSError, ValueError, IndexError, psutil.Error):
            pid = int((self.home / "postgres" / "postmaster.pid").read_text().split()[0])
            found["postgres"] = [pid, *(one.pid for one in psutil.Process(pid).children())]
        return found

    def log_of(self, role: str) -> Path:
        """What a process of ours says."""
        return self.home / f"{role}.log"


def _lives(child: Child) -> bool:
    return child.process is not None and child.process.returncode is None


@contextlib.asynccontextmanager
async def running_estate(home: Path, pace: Pace):
    """Everything started, in order; stopped in reverse, whatever has become of it."""
    async with contextlib.AsyncExitStack() as stack:
        postgres = Postgres(home)
        postgres.server = EmbeddedPostgres(home)  # durable, as an operator's is
        dsn = await postgres.start()
        stack.push_async_callback(postgres.stop)
        await upgrade(dsn)
        redis = await stack.enter_async_context(own_redis())
        arguments = ["--slot-seconds", str(pace.slot_seconds), "--finalize-slots", str(pace.finalize_slots)]
        arguments = ["localnet", "--json", "--port", "0", *arguments]
        localnet = Child("localnet", arguments, {}, _log(stack, home, "localnet"))
        ready = await localnet.start()
        stack.push_async_callback(localnet.stop)
        behind = SimpleNamespace(rpc_url=ready["rpc"], ws_url=ready["ws"], chain=None)
        liar = await stack.enter_async_context(LyingNode(behind).serve())
        key_file = home / "settlement.json"
        wallet = (await local_settlement(key_file, ready["rpc"])).address
        await follow_settlement(dsn, wallet, before=None)
        environment = {
            "PAY402_HOME": str(home), "DATABASE_URL": dsn, "REDIS_URL": redis.url,
            "SOLANA_RPC_URL": f"{liar.rpc_url},{ready['rpc']}",
            "SOLANA_WS_URL": ready["ws"], "SETTLEMENT_WALLET": wallet, "SETTLEMENT_KEYPAIR": str(key_file),
            **pace.settings, "METRICS_PORT": "0", "PORT": str(_free_port()), "APP_ENV": "development",
        }  # fmt: skip
        estate = Estate(home, pace, postgres, redis, localnet, liar, ready["rpc"], dsn, environment, wallet)
        for role in ROLES:
            estate.children[role] = Child(role, [role, "--json"], environment, _log(stack, home, role))
            stack.push_async_callback(estate.children[role].stop)
            await estate.start(role)
        yield estate


def _log(stack: contextlib.ExitStack, home: Path, name: str):
    return stack.enter_context((home / f"{name}.log").open("ab"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command_environment(estate: Estate) -> dict[str, str]:
    """What a command of the operator's needs to find all of this."""
    return {"PATH": os.environ["PATH"], **estate.environment}
