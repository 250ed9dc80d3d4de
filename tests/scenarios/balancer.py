"""A load balancer in a few lines: connections go round the backends, and past one that refuses."""

import asyncio
import contextlib
from dataclasses import dataclass, field


@dataclass
class Balancer:
    """TCP on `port`; `backends` may change while it works. Each connection goes to the next of them."""

    backends: list[int] = field(default_factory=list)
    port: int = 0
    _turn: int = 0
    _tasks: set = field(default_factory=set)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        asyncio.current_task().add_done_callback(self._tasks.discard)
        # Closed when this is cut as well: what is left open is reported in whatever test runs later.
        with contextlib.closing(writer), contextlib.suppress(OSError):
            upstream = await self._connect()
            if upstream is not None:
                with contextlib.closing(upstream[1]) as there:
                    await asyncio.gather(_pipe(reader, there), _pipe(upstream[0], writer))

    async def end(self):
        """Cut what is still open."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self):
        for _ in range(len(self.backends)):
            self._turn += 1
            with contextlib.suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", self.backends[self._turn % len(self.backends)])
        return None


async def _pipe(reader, writer):
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    finally:
        with contextlib.suppress(OSError, RuntimeError):
            if writer.can_write_eof():
                writer.write_eof()


@contextlib.asynccontextmanager
async def balancing():
    """A balancer that listens on a free port."""
    balancer = Balancer()
    server = await asyncio.start_server(balancer._serve, "127.0.0.1", 0)
    balancer.port = server.sockets[0].getsockname()[1]
    try:
        yield balancer
    finally:
        server.close()
        await balancer.end()
