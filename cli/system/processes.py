"""All processes together: embedded servers and a localnet where nothing is configured, indexer, worker, API."""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlsplit

import structlog

from api.settings import ApiSettings
from cli.system.fee_payer import local_fee_payer
from cli.system.local_ledger import match_ledger
from cli.system.localnet_address import announce_localnet, withdraw_localnet
from cli.system.settlement_wallet import local_settlement
from indexer.settings import IndexerSettings
from migrations.migrate import upgrade
from runtime.embedded.servers import database_address, redis_address
from runtime.errors import OperatorError
from runtime.process import SUPERVISOR_VARIABLE
from runtime.settings import LoginSettings
from worker.settings import WorkerSettings

_log = structlog.get_logger(__name__)

_READY_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 20.0
_FIRST_PAUSE_SECONDS: Final = 1.0
_PAUSE_SECONDS_MAX: Final = 30.0
_USUAL_RPC_PORT: Final = 8899


class SystemSettings(IndexerSettings, ApiSettings, WorkerSettings, LoginSettings):
    """Everything that `up` and `demo` open."""


@dataclass(slots=True)
class Child:
    """One process of ours: it prints a JSON line when it is ready and ends well on SIGTERM."""

    name: str
    arguments: list[str]
    environment: dict[str, str]
    log: IO[bytes] | None = None
    process: asyncio.subprocess.Process | None = field(default=None)

    async def start(self) -> dict[str, Any]:
        """Start it and return its ready line. Raises OperatorError when it ends instead."""
        self.process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cli",
            *self.arguments,
            env={**os.environ, **self.environment, SUPERVISOR_VARIABLE: str(os.getpid())},
            stdout=asyncio.subprocess.PIPE,
            stderr=self.log,
            # Ctrl-C on a terminal is for us: we end our processes in order, each when nobody needs it any more.
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_READY_SECONDS):
                line = await process.stdout.readline()
        except TimeoutError:
            line = b""
        if not line:
            await self.stop()
            where = f"see {self.log.name}" if self.log else "its own message stands above"
            raise OperatorError(f"The {self.name} did not start; {where}.")
        ready: dict[str, Any] = json.loads(line)
        return ready

    async def stop(self) -> None:
        """End it, politely first."""
        if self.process is None or self.process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            self.process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self.process.wait()
        except TimeoutError:
            _log.warning("killed", process=self.name, hint="it did not end within its time")
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()


@dataclass(frozen=True, slots=True)
class System:
    """Where the parts of a running system are."""

    database_url: str
    redis_url: str
    rpc_url: str
    ws_url: str
    api_url: str
    metrics_port: int | None
    worker_metrics_port: int | None
    settlement_wallet: str | None
    children: tuple[Child, ...]

    def ready_line(self) -> dict[str, Any]:
        """What `up --json` prints."""
        return {
            "api": self.api_url,
            "rpc": self.rpc_url,
            "ws": self.ws_url,
            "databaseUrl": self.database_url,
            "redisUrl": self.redis_url,
            "indexerMetrics": self.metrics_port and f"http://127.0.0.1:{self.metrics_port}/metrics",
            "workerMetrics": self.worker_metrics_port and f"http://127.0.0.1:{self.worker_metrics_port}/metrics",
            "settlementWallet": self.settlement_wallet,
        }


@asynccontextmanager
async def running_system(
    settings: SystemSettings,
    *,
    rpc_port: int | None = None,
    slot_seconds: float = 0.4,
    log_directory: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[System]:
    """Start everything, in order; stop it in reverse.

    Args:
        settings: What is set is used; what is not set is embedded below `settings.home`.
        rpc_port: Where the localnet listens; `None` for the usual port, or any when that is taken.
        slot_seconds: The localnet's pace.
        log_directory: Where the processes' logs go; `None` for standard error.
        say: Called with a line about each part that is being started.
    """
    async with AsyncExitStack() as stack:
        say("Postgres")
        database_url = await stack.enter_async_context(database_address(settings))
        await upgrade(database_url)
        say("Valkey")
        redis_url = await stack.enter_async_context(redis_address(settings))
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "PAY402_HOME": str(settings.home),
        }
        for_api: dict[str, str] = {}
        rpc_urls, ws_urls = settings.rpc_urls, settings.ws_urls
        if not rpc_urls:
            say("localnet")
            log = stack.enter_context(_log_file(log_directory, "localnet"))
            ready = await _start_localnet(stack, rpc_port, slot_seconds, log)
            announce_localnet(settings.home, ready["rpc"], ready["ws"])
            stack.callback(withdraw_localnet, settings.home)
            rpc_urls, ws_urls = [ready["rpc"]], [ready["ws"]]
            if await match_ledger(database_url, ready["rpc"], is_embedded=settings.database_url is None):
                say("an empty ledger: the local chain is new, and the ledger was about the one before")
                _log.warning("ledger_emptied", hint="the local chain is new; API keys are kept")
            if settings.settlement_keypair is None and settings.settlement_wallet is None:
                wallet, file = await local_settlement(settings.home, database_url, ready["rpc"])
                environment |= {"SETTLEMENT_WALLET": wallet, "SETTLEMENT_KEYPAIR": file}
            if settings.x402_fee_payer_keypair is None:
                for_api["X402_FEE_PAYER_KEYPAIR"] = await local_fee_payer(settings.home, ready["rpc"])
        say("indexer")
        environment |= {"SOLANA_RPC_URL": ",".join(rpc_urls), "SOLANA_WS_URL": ",".join(ws_urls)}
        if "metrics_port" not in settings.model_fields_set:
            environment["METRICS_PORT"] = "0"
        log = stack.enter_context(_log_file(log_directory, "indexer"))
        indexer = Child("indexer", ["indexer", "--json"], environment, log)
        stack.push_async_callback(indexer.stop)
        metrics_port = (await indexer.start())["metricsPort"]
        say("worker")
        log = stack.enter_context(_log_file(log_directory, "worker"))
        # A port that is set is the indexer's: two processes cannot have the same one.
        worker = Child("worker", ["worker", "--json"], {**environment, "METRICS_PORT": "0"}, log)
        stack.push_async_callback(worker.stop)
        worker_metrics_port = (await worker.start())["metricsPort"]
        say("API")
        log = stack.enter_context(_log_file(log_directory, "api"))
        api = Child("API", ["api", "--json"], {**environment, **for_api}, log)
        if "port" not in settings.model_fields_set:
            api.arguments.append("--any-if-taken")
        stack.push_async_callback(api.stop)
        api_url = (await api.start())["api"]
        # Started again, it is to be found where it was.
        api.environment["PORT"] = str(urlsplit(api_url).port)
        yield System(
            database_url,
            redis_url,
            rpc_urls[0],
            ws_urls[0],
            api_url,
            metrics_port,
            worker_metrics_port,
            environment.get("SETTLEMENT_WALLET", settings.settlement_wallet),
            (indexer, worker, api),
        )


async def watch(system: System, stop: asyncio.Event) -> None:
    """Until `stop` is set, start each process again whenever it ends by itself."""
    async with asyncio.TaskGroup() as group:
        for child in system.children:
            group.create_task(_watch_one(child, stop))


async def _watch_one(child: Child, stop: asyncio.Event) -> None:
    stopping = asyncio.create_task(stop.wait())
    try:
        while not stop.is_set():
            assert child.process is not None
            ended = asyncio.create_task(child.process.wait())
            await asyncio.wait({stopping, ended}, return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
            if not stop.is_set():
                _log.error("process_ended", process=child.name, hint="it is started again and makes up for it")
                await _start_again(child, stop)
    finally:
        stopping.cancel()


async def _start_again(child: Child, stop: asyncio.Event) -> None:
    """Start it until it is ready, with growing pauses: what it needs may be away as well."""
    pause_seconds = _FIRST_PAUSE_SECONDS
    while not stop.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_seconds):
                await stop.wait()
                return
        try:
            await child.start()
        except OperatorError as error:
            _log.error("process_not_started", process=child.name, error=str(error), hint="it is tried again")
            pause_seconds = min(2 * pause_seconds, _PAUSE_SECONDS_MAX)
        else:
            return


async def _start_localnet(
    stack: AsyncExitStack, port: int | None, slot_seconds: float, log: IO[bytes] | None
) -> dict[str, Any]:
    where = ["--port", str(_USUAL_RPC_PORT), "--any-if-taken"] if port is None else ["--port", str(port)]
    # A seed of its own gives each chain a genesis hash of its own.
    seed = str(secrets.randbits(32))
    arguments = ["localnet", "--json", *where, "--slot-seconds", str(slot_seconds), "--seed", seed]
    child = Child("localnet", arguments, {}, log)
    stack.push_async_callback(child.stop)
    return await child.start()


@contextmanager
def _log_file(directory: Path | None, name: str) -> Iterator[IO[bytes] | None]:
    if directory is None:
        yield None
        return
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / f"{name}.log").open("ab") as file:
        yield file
