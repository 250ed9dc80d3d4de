"""The processes of a whole system, each with a login that has its own role and no other, as deployments run them."""

import asyncio
import contextlib
import json
import os
import re
import secrets
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import asyncpg

PROCESSES = ("api", "indexer", "worker")


@dataclass
class Confined:
    """A running process of ours; `log` is what it wrote, `dsn` what it was told of the database."""

    name: str
    dsn: str
    log: Path
    process: asyncio.subprocess.Process
    reported: dict = field(default_factory=dict)

    @property
    def url(self):
        return self.reported.get("api") or f"http://127.0.0.1:{self.reported['metricsPort']}"

    async def metrics(self):
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}/metrics") as answer:
            return await answer.text()

    async def stop(self):
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(40):
            return await self.process.wait()


async def login_of(dsn, role):
    """The address of `dsn` for a new login that has the rights of `role`, and its password."""
    login, password = f"login_{secrets.token_hex(6)}", secrets.token_urlsafe(24)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"CREATE ROLE {login} LOGIN PASSWORD '{password}' IN ROLE {role}")
    finally:
        await connection.close()
    return re.sub(r"//[^@]*@", f"//{login}:{password}@", dsn), password


@contextlib.asynccontextmanager
async def confined_system(dsn, directory, environments):
    """All three processes, started; yields them by name."""
    running = {}
    try:
        for name in PROCESSES:
            own, _ = await login_of(dsn, f"pay402_{name}")
            log = directory / f"{name}.log"
            with log.open("ab") as written:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "cli", name, "--json",
                    env={"PATH": os.environ["PATH"], "DATABASE_URL": own, **environments[name]},
                    stdout=asyncio.subprocess.PIPE, stderr=written,
                )  # fmt: skip
            running[name] = Confined(name, own, log, process)
        for one in running.values():
            async with asyncio.timeout(60):
                line = await one.process.stdout.readline()
            assert line, one.log.read_text()
            one.reported = json.loads(line)
        yield running
    finally:
        await asyncio.gather(*(one.stop() for one in running.values()))
