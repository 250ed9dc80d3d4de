"""A load generator in a separate process: each connection sends its next request when it has its answer.

It implements only as much HTTP as it needs, so that it costs less than what it measures.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import Final, cast

import msgspec
import uvloop

_HEAD_END: Final = b"\r\n\r\n"


class Sent(msgspec.Struct):
    """What was measured: the seconds in all, the seconds of each answer, and how often each status came."""

    seconds: float
    latencies: list[float]
    statuses: dict[str, int]


class _Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, requests: "asyncio.Queue[bytes]", sent: Sent) -> None:
        self._requests = requests
        self._sent = sent
        self._buffer = b""
        self._started = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own, which is none by its class
        self._next()

    def data_received(self, data: bytes) -> None:
        """Take an answer, send the next request."""
        self._buffer += data
        head, end, body = self._buffer.partition(_HEAD_END)
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(body) < length:
            return
        self._sent.latencies.append(time.perf_counter() - self._started)
        status = head[9:12].decode()
        self._sent.statuses[status] = self._sent.statuses.get(status, 0) + 1
        self._buffer = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """End, well or not."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))

    def _next(self) -> None:
        if self._requests.empty():
            self.done.set_result(None)
            self._transport.close()
            return
        self._started = time.perf_counter()
        self._transport.write(self._requests.get_nowait())


async def send(host: str, port: int, requests: list[bytes], connections: int) -> Sent:
    """Send `requests`, whole HTTP messages, over so many connections."""
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    for request in requests:
        queue.put_nowait(request)
    sent = Sent(0.0, [], {})
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    opened = [await loop.create_connection(lambda: _Connection(queue, sent), host, port) for _ in range(connections)]
    await asyncio.gather(*(protocol.done for _, protocol in opened))
    sent.seconds = time.perf_counter() - started
    return sent


def main() -> None:
    """`python -m bench.load HOST PORT CONNECTIONS FILE`: the file holds requests as a msgpack list of bytes."""
    host, port, connections, file = sys.argv[1:5]
    requests = msgspec.msgpack.decode(Path(file).read_bytes(), type=list[bytes])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sent = runner.run(send(host, int(port), requests, int(connections)))
    sys.stdout.buffer.write(msgspec.json.encode(sent))


if __name__ == "__main__":
    main()
