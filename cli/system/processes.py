"""All processes together: embedded servers and a localnet where nothing is configured, indexer, worker, API."""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, TypeVar
from urllib.parse import urlsplit

import structlog

from api.settings import ApiSettings
from chain.backoff import Backoff
from cli.system.local_ledger import follow_settlement, match_ledger
from cli.system.localnet_address import announce_localnet, withdraw_localnet
from indexer.settings import IndexerSettings
from migrations.status import status
from runtime.embedded.servers import database_address, redis_address
from runtime.errors import OperatorError
from runtime.process import SUPERVISOR_VARIABLE
from runtime.settings import DatabaseSettings, LoginSettings
from worker.settings import WorkerSettings

_log = structlog.get_logger(__name__)

_READY_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 20.0
_BACKOFF: Final = Backoff(1.0, 30.0)
_USUAL_RPC_PORT: Final = 8899
_SETTLEMENT_FILE: Final = "settlement.json"
_FEE_PAYER_FILE: Final = "fee-payer.json"

T = TypeVar("T")


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
    """Start everything, at once what does not depend on each other; stop it in reverse.

    Args:
        settings: What is set is used; what is not set is embedded below `settings.home`.
        rpc_port: Where the localnet listens; `None` for the usual port, or any when that is taken.
        slot_seconds: The localnet's pace.
        log_directory: Where the processes' logs go; `None` for standard error.
        say: Called with a line about each part that is being started.
    """
    async with AsyncExitStack() as stack:

        def child(name: str, arguments: list[str], given: dict[str, str]) -> Child:
            log = stack.enter_context(_log_file(log_directory, name.lower()))
            made = Child(name, arguments, given, log)
            stack.push_async_callback(made.stop)
            return made

        environment = {"PAY402_HOME": str(settings.home)}
        for_api: dict[str, str] = {}
        chain: list[Awaitable[Any]] = []
        if not settings.rpc_urls:
            arguments = _localnet_arguments(rpc_port, slot_seconds)
            if settings.settlement_keypair is None and settings.settlement_wallet is None:
                environment["SETTLEMENT_KEYPAIR"] = str((settings.home / _SETTLEMENT_FILE).resolve())
                arguments += ["--settlement-key", environment["SETTLEMENT_KEYPAIR"]]
            if settings.x402_fee_payer_keypair is None:
                for_api["X402_FEE_PAYER_KEYPAIR"] = str((settings.home / _FEE_PAYER_FILE).resolve())
                arguments += ["--fee-payer-key", for_api["X402_FEE_PAYER_KEYPAIR"]]
            settings.home.mkdir(parents=True, exist_ok=True)
            chain.append(child("localnet", arguments, {}).start())
        say("Postgres, Valkey, localnet" if chain else "Postgres, Valkey")
        database_url, redis_url, *localnet = await _together(
            _migrated_database(stack, settings, child),
            stack.enter_async_context(redis_address(settings)),
            *chain,
        )
        environment |= {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        rpc_urls, ws_urls = settings.rpc_urls, settings.ws_urls
        for ready in localnet:
            rpc_urls, ws_urls = [ready["rpc"]], [ready["ws"]]
            announce_localnet(settings.home, ready["rpc"], ready["ws"])
            stack.callback(withdraw_localnet, settings.home)
            if await match_ledger(database_url, ready["genesis"], is_embedded=settings.database_url is None):
                say("an empty ledger: the local chain is new, and the ledger was about the one before")
                _log.warning("ledger_emptied", hint="the local chain is new; API keys are kept")
            if (settlement := ready.get("settlement")) is not None:
                environment["SETTLEMENT_WALLET"] = settlement["address"]
                await follow_settlement(database_url, settlement["address"], before=settlement["before"])
        say("indexer, worker, API")
        environment |= {"SOLANA_RPC_URL": ",".join(rpc_urls), "SOLANA_WS_URL": ",".join(ws_urls)}
        if "metrics_port" not in settings.model_fields_set:
            environment["METRICS_PORT"] = "0"
        indexer = child("indexer", ["indexer", "--json"], environment)
        # A port that is set is the indexer's: two processes cannot have the same one.
        worker = child("worker", ["worker", "--json"], {**environment, "METRICS_PORT": "0"})
        any_port = [] if "port" in settings.model_fields_set else ["--any-if-taken"]
        api = child("API", ["api", "--json", *any_port], {**environment, **for_api})
        of_indexer, of_worker, of_api = await _together(indexer.start(), worker.start(), api.start())
        metrics_port, worker_metrics_port, api_url = of_indexer["metricsPort"], of_worker["metricsPort"], of_api["api"]
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
    pauses = iter(_BACKOFF)
    while not stop.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(next(pauses)):
                await stop.wait()
                return
        try:
            await child.start()
        except OperatorError as error:
            _log.error("process_not_started", process=child.name, error=str(error), hint="it is tried again")
        else:
            return


def _localnet_arguments(port: int | None, slot_seconds: float) -> list[str]:
    where = ["--port", str(_USUAL_RPC_PORT), "--any-if-taken"] if port is None else ["--port", str(port)]
    # A seed of its own gives each chain a genesis hash of its own.
    seed = str(secrets.randbits(32))
    return ["localnet", "--json", *where, "--slot-seconds", str(slot_seconds), "--seed", seed]


async def _migrated_database(
    stack: AsyncExitStack, settings: DatabaseSettings, child: Callable[[str, list[str], dict[str, str]], Child]
) -> str:
    """The address of the database, whose schema is current; a process that ends again has made it so."""
    database_url = await stack.enter_async_context(database_address(settings))
    if not (await status(database_url)).is_current:
        await child("migration", ["migrate", "up", "--json"], {"DATABASE_URL": database_url}).start()
    return database_url


async def _together(*parts: Awaitable[Any]) -> list[Any]:
    """What each of `parts` returns. When one of them fails, the others are ended and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_result_of(part)) for part in parts]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return [task.result() for task in tasks]


async def _result_of(part: Awaitable[T]) -> T:
    return await part


@contextmanager
def _log_file(directory: Path | None, name: str) -> Iterator[IO[bytes] | None]:
    if directory is None:
        yield None
        return
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / f"{name}.log").open("ab") as file:
        yield file
