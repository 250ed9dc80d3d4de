"""A way to a TLS server for Postgres' programs that were built without TLS, such as those that come with us.

They talk to a socket in a private directory; what comes there goes on to the server encrypted, checked as the address
asks. No secret passes in the clear outside of this process and its children.
"""

import asyncio
import ssl
import struct
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from runtime.connection_string import ConnectionString, joined
from runtime.errors import OperatorError

# The first message of a client that wants TLS: its length, and a number that stands for the wish.
_TLS_REQUEST: Final = struct.pack("!ii", 8, 80_877_103)
_WILLING: Final = b"S"
_PORT: Final = 5432
_KEPT: Final = frozenset({"dbname", "user", "password", "options"})
_CHUNK_BYTES: Final = 1 << 16
_CONNECT_SECONDS: Final = 15.0
_LEAVE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class _Server:
    host: str
    port: int
    context: ssl.SSLContext
    must_encrypt: bool


@asynccontextmanager
async def way_to(address: ConnectionString) -> AsyncIterator[str]:
    """The address for a program: that of a relay while the context is open, or the original where no TLS is asked for.

    Raises:
        OperatorError: The certificates that the address names cannot be read.
    """
    server = _server_of(address)
    if server is None:
        yield address.libpq_dsn
        return
    parts = urlsplit(address.dsn)
    with tempfile.TemporaryDirectory(prefix="pay402-") as directory:  # readable to ourselves only
        socket = Path(directory) / f".s.PGSQL.{_PORT}"
        tasks: set[asyncio.Task[None]] = set()

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(_serve(server, reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        listening = await asyncio.start_unix_server(accepted, socket)
        kept = {name: value for name, value in parse_qsl(parts.query) if name in _KEPT}
        query = urlencode(kept | {"host": directory, "port": str(_PORT)}, quote_via=quote, safe="/,")
        user, at, _ = parts.netloc.rpartition("@")
        try:
            yield joined(parts._replace(netloc=f"{user}{at}", query=query))
        finally:
            listening.close()
            if tasks:
                # The program has ended, and so will what it had open; what was cancelled is ended here.
                _, left = await asyncio.wait(tasks, timeout=_LEAVE_SECONDS)
                for task in left:
                    task.cancel()
                await asyncio.gather(*left, return_exceptions=True)
            await listening.wait_closed()


async def _serve(server: _Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with suppress(OSError, asyncio.IncompleteReadError):
            await _relay(server, reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _server_of(address: ConnectionString) -> _Server | None:
    parts = urlsplit(address.dsn)
    query = dict(parse_qsl(parts.query))
    host, _, port = parts.netloc.rpartition("@")[2].partition(",")[0].rpartition(":")
    if not host:
        host, port = port, ""
    host = unquote(host).strip("[]") or query.get("host", "")
    mode = query.get("sslmode", "prefer")
    if not host or host.startswith("/") or mode == "disable":
        return None
    context = address.tls or _context(mode, query)
    return _Server(host, int(port or query.get("port", "") or _PORT), context, mode not in {"prefer", "allow"})


def _context(mode: str, query: dict[str, str]) -> ssl.SSLContext:
    """What libpq would check in this mode."""
    context = ssl.create_default_context()
    roots = query.get("sslrootcert")
    context.check_hostname = mode == "verify-full"
    context.verify_mode = ssl.CERT_REQUIRED if mode.startswith("verify") or roots else ssl.CERT_NONE
    try:
        if roots:
            context.load_verify_locations(roots)
        if certificate := query.get("sslcert"):
            context.load_cert_chain(certificate, query.get("sslkey"), query.get("sslpassword"))
    except (OSError, ssl.SSLError) as error:
        raise OperatorError(
            f"A certificate that DATABASE_URL names cannot be read ({error.strerror or error}); correct its path."
        ) from error
    return context


async def _relay(server: _Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async with asyncio.timeout(_CONNECT_SECONDS):
        from_server, to_server = await asyncio.open_connection(server.host, server.port)
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            to_server.write(_TLS_REQUEST)
            if await from_server.readexactly(1) == _WILLING:
                await to_server.start_tls(server.context, server_hostname=server.host)
            elif server.must_encrypt:
                return
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(reader, to_server))
            group.create_task(_pump(from_server, writer))
    finally:
        to_server.close()
        with suppress(OSError):
            await to_server.wait_closed()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(_CHUNK_BYTES):
            sink.write(data)
            await sink.drain()
        sink.close()
