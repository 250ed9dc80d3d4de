"""A real PgBouncer before a real Postgres, where the program is installed."""

import asyncio
import os
import pwd
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.databases import short_lived_home

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
needs_pgbouncer = pytest.mark.skipif(PGBOUNCER is None, reason="no PgBouncer is installed")


@asynccontextmanager
async def pooled(database_url: str, pool_mode: str, **options: str) -> AsyncIterator[str]:
    """The address of `database_url` by way of a PgBouncer in this mode."""
    parts = urlsplit(database_url)
    query = parse_qs(parts.query)
    host, port = query["host"][0], query["port"][0]
    database = parts.path.removeprefix("/")
    with short_lived_home() as home, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listening = free.getsockname()[1]
        free.close()
        settings = {
            "listen_addr": "127.0.0.1", "listen_port": listening, "unix_socket_dir": "", "auth_type": "any",
            "pool_mode": pool_mode, "default_pool_size": 20, "logfile": home / "pgbouncer.log", **options,
        }  # fmt: skip
        lines = [f"{name} = {value}" for name, value in settings.items()]
        file = Path(home) / "pgbouncer.ini"
        file.write_text(
            f"[databases]\n{database} = host={host} port={port} user={parts.username or 'postgres'}\n[pgbouncer]\n"
            + "\n".join(lines)
        )
        as_whom = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for path in (Path(home), file):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
            as_whom = {"user": nobody.pw_uid, "group": nobody.pw_gid}
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(PGBOUNCER, str(file), stdout=quiet, stderr=quiet, **as_whom)
        try:
            await _listening(listening)
            yield f"postgresql://{parts.username or 'postgres'}@127.0.0.1:{listening}/{database}"
        finally:
            process.terminate()
            await process.wait()


async def _listening(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise AssertionError("PgBouncer does not listen")
