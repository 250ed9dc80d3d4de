"""HTTP as an attacker writes it: bytes on a socket, and whatever comes back."""

import asyncio
import contextlib
import re
from urllib.parse import urlsplit

PATIENCE_SECONDS = 20
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


class Wire:
    """A connection to an API process."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.received = b""

    async def send(self, data):
        """Send, unless the other side has had enough already. True while it listens."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except ConnectionError:
            return False
        return True

    async def rest(self, seconds=PATIENCE_SECONDS):
        """Everything until the other side hangs up. Raises TimeoutError when it does not."""
        async with asyncio.timeout(seconds):
            with contextlib.suppress(ConnectionError):
                while chunk := await self.reader.read(65_536):
                    self.received += chunk
        return self.received

    async def statuses(self, count=1, seconds=PATIENCE_SECONDS):
        """The statuses of so many answers, or of all that came before the other side hung up."""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(seconds):
                while len(statuses_in(self.received)) < count:
                    if not (chunk := await self.reader.read(65_536)):
                        break
                    self.received += chunk
        return statuses_in(self.received)

    async def is_closed(self, seconds=PATIENCE_SECONDS):
        """True when the other side hangs up within so many seconds."""
        try:
            await self.rest(seconds)
        except TimeoutError:
            return False
        return True


def statuses_in(received):
    return [int(status) for status in _STATUS.findall(received)]


@contextlib.asynccontextmanager
async def wire(url):
    """A new connection to where `url` points."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


def head(method="POST", path="/verify", *lines, version="1.1"):
    """The head of a request, with these lines of header."""
    return "\r\n".join((f"{method} {path} HTTP/{version}", "Host: api", *lines, "", "")).encode("latin-1")


def request(body, *lines, method="POST", path="/verify"):
    """A whole request whose body is declared as it is."""
    declared = (f"Content-Length: {len(body)}", "Content-Type: application/json")
    return head(method, path, *declared, *lines) + body
