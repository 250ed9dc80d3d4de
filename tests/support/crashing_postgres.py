"""A Postgres server that a test crashes, as a power cut would."""

import asyncio
import os
import signal
from pathlib import Path

from runtime.embedded.postgres import EmbeddedPostgres


class Postgres:
    """A server of this run alone, which can be crashed."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.server = EmbeddedPostgres(home, options={"fsync": "off"})

    async def start(self) -> str:
        await asyncio.to_thread(self.server.enter)
        return self.server.dsn("postgres")

    async def crash(self) -> None:
        """An immediate shutdown, as after a power cut, and a start with recovery."""
        pid = int((self.home / "postgres" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        while _is_alive(pid):  # noqa: ASYNC110 - it is not our child to wait for
            await asyncio.sleep(0.02)
        await asyncio.to_thread(self.server.leave)
        await asyncio.to_thread(self.server.enter)

    async def stop(self) -> None:
        await asyncio.to_thread(self.server.leave)


def _is_alive(pid: int) -> bool:
    return (Path("/proc") / str(pid)).exists()
