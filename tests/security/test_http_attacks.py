"""What no client of HTTP sends, against a real API process: refused, while others are served."""

import asyncio
import contextlib
import json
import time

import psutil
import pytest

from api.http.connection import HEAD_BYTES_MAX, HEADERS_MAX, MESSAGE_BYTES_MAX
from api.http.lingering import LINGERING_BYTES_MAX, LINGERING_CONNECTIONS_MAX
from tests.security.raw_http import head, request, statuses_in, wire
from tests.support.api_processes import api_processes
from tests.support.ledger_checks import eventually
from tests.support.ledger_rows import Vendor

CHUNKED = ("Transfer-Encoding: chunked", "Content-Type: application/json")
# Somebody else's request, hidden behind what one of two readers takes for a body.
HIDDEN = b"0\r\n\r\nGET /health HTTP/1.1\r\nHost: api\r\n\r\n"
# What lies in the buffers of two sockets and of the client, which nobody has read.
BUFFERED_BYTES_MAX = 10_000_000
IMPATIENT = {"API_HEAD_SECONDS": "1", "API_BODY_SECONDS": "1", "API_UNREAD_SECONDS": "1"}


@pytest.fixture
async def process(database_url, redis_url, tmp_path):
    """A process that waits for a second, and an honest client of it."""
    async with api_processes(1, database_url, redis_url, tmp_path, **IMPATIENT) as ([running], [client]):
        yield running, client


@contextlib.asynccontextmanager
async def served_meanwhile(client):
    """Somebody honest asks all the while, and is answered each time, in time."""
    slowest, stop = [0.0], asyncio.Event()

    async def ask():
        while not stop.is_set():
            started = time.monotonic()
            assert (await client.get("/health")).status == 200
            slowest.append(time.monotonic() - started)
            await asyncio.sleep(0.02)

    asking = asyncio.create_task(ask())
    try:
        yield
    finally:
        stop.set()
        await asking
    assert len(slowest) > 1
    # Twenty attackers are waited for a second each: whoever was served after them, one by one, would wait for longer.
    assert max(slowest) < 15


SMUGGLED = {
    "length, then chunked": head("POST", "/verify", "Content-Length: 5", *CHUNKED) + HIDDEN,
    "chunked, then length": head("POST", "/verify", *CHUNKED, "Content-Length: 5") + HIDDEN,
    "two lengths": head("POST", "/verify", "Content-Length: 2", "Content-Length: 44") + b"{}" + HIDDEN,
    "a list of lengths": head("POST", "/verify", "Content-Length: 2, 44") + b"{}" + HIDDEN,
    "a signed length": head("POST", "/verify", "Content-Length: +2") + b"{}" + HIDDEN,
    "a negative length": head("POST", "/verify", "Content-Length: -2") + b"{}" + HIDDEN,
    "a length in hexadecimal": head("POST", "/verify", "Content-Length: 0x2") + b"{}" + HIDDEN,
    "a length beyond 64 bits": head("POST", "/verify", "Content-Length: 99999999999999999999") + HIDDEN,
    "an unknown encoding": head("POST", "/verify", "Transfer-Encoding: xchunked") + HIDDEN,
    "chunked and then something": head("POST", "/verify", "Transfer-Encoding: chunked, identity") + HIDDEN,
    "two encodings": head("POST", "/verify", *CHUNKED, "Transfer-Encoding: identity") + HIDDEN,
    "a space before the colon": head("POST", "/verify", "Transfer-Encoding : chunked") + HIDDEN,
    "a tab in the value": head("POST", "/verify", "Transfer-Encoding: \x0bchunked") + HIDDEN,
    "a folded line": head("POST", "/verify", "X: a\r\n Transfer-Encoding: chunked") + HIDDEN,
    "a lone carriage return": b"GET /recipients HTTP/1.1\r\nHost: a\rTransfer-Encoding: chunked\r\n\r\n" + HIDDEN,
    "line feeds alone": b"POST /verify HTTP/1.1\nHost: a\nContent-Length: 2\n\n{}" + HIDDEN,
    "a NUL in a header": head("POST", "/verify", "X: a\0b", "Content-Length: 2") + b"{}" + HIDDEN,
    "a chunk longer than 64 bits": head("POST", "/verify", *CHUNKED) + b"FFFFFFFFFFFFFFFFFF\r\n{}" + HIDDEN,
    "a chunk of less than nothing": head("POST", "/verify", *CHUNKED) + b"-2\r\n{}\r\n" + HIDDEN,
    "a tunnel": b"CONNECT api:443 HTTP/1.1\r\nHost: api\r\n\r\n" + HIDDEN,
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10 + HIDDEN,
    "HTTP/2 at once": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN,
    "HTTP of the future": head("GET", "/recipients", version="9.9") + HIDDEN,
    "a path that is no ASCII": b"GET /\xff\xfe HTTP/1.1\r\nHost: api\r\n\r\n" + HIDDEN,
}


async def test_a_request_that_two_readers_take_differently_is_refused_and_nothing_behind_it_served(process):
    _, client = process
    async with served_meanwhile(client):
        for name, sent in SMUGGLED.items():
            async with wire(client.url) as attacker:
                await attacker.send(sent)
                received = await attacker.rest()
                assert statuses_in(received) == [400], (name, received)
                refusal = json.loads(received.partition(b"\r\n\r\n")[2])
                assert refusal["code"] == "VALIDATION_ERROR"
                assert {"error", "message", "code", "requestId"} <= refusal.keys()


async def test_a_head_without_end_is_not_kept(process):
    running, client = process
    memory = psutil.Process(running.process.pid)
    before = memory.memory_info().rss
    floods = {
        "one long line": [head("GET", "/health", "X: " + "a" * (HEAD_BYTES_MAX + 1))],
        "many lines": [head("GET", "/health", *[f"X-{n}: a" for n in range(HEADERS_MAX + 1)])],
        "a long path": [head("GET", "/health?" + "a" * (HEAD_BYTES_MAX + 1))],
    }
    endless = {
        "a line that never ends": [b"GET /health HTTP/1.1\r\nX: ", *[b"a" * 1_000_000] * 100],
        "lines that never end": [b"GET /health HTTP/1.1\r\n", *[b"X: a\r\n" * 100_000] * 100],
        "an end that never ends": [
            head("POST", "/verify", *CHUNKED),
            b"2\r\n{}\r\n0\r\n",
            *[b"X: a\r\n" * 100_000] * 99,
        ],
        "an extension that never ends": [head("POST", "/verify", *CHUNKED), b"2;", *[b"a" * 1_000_000] * 100],
        "a body in crumbs": [head("POST", "/verify", *CHUNKED), *[b"1\r\n \r\n" * 100_000] * 100],
    }
    async with served_meanwhile(client):
        for name, pieces in floods.items():
            async with wire(client.url) as attacker:
                for piece in pieces:
                    await attacker.send(piece)
                assert statuses_in(await attacker.rest()) == [431], name
        for name, pieces in endless.items():
            async with wire(client.url) as attacker:
                taken = 0
                for piece in pieces:
                    taken += len(piece) * await attacker.send(piece)
                is_head = pieces[0].startswith(b"GET")
                read = HEAD_BYTES_MAX if is_head else MESSAGE_BYTES_MAX + LINGERING_BYTES_MAX
                assert taken < read + BUFFERED_BYTES_MAX, name
                assert not {200, 500} & set(statuses_in(attacker.received)), name
    assert memory.memory_info().rss - before < 60_000_000


async def test_a_head_as_long_as_is_allowed_is_served(process):
    _, client = process
    long = ["X: " + "a" * (HEAD_BYTES_MAX - 400), *[f"X-{n}: a" for n in range(20)]]
    async with wire(client.url) as honest:
        await honest.send(head("GET", "/health", *long))
        assert await honest.statuses() == [200]


SLOW = {
    "says nothing": [],
    "stops in the head": [b"GET /health HTTP/1.1\r\nHost: api\r\n"],
    "drips a head": [b"GET /health HTTP/1.1\r\n", *[b"X: a\r\n"] * 50],
    "sends line ends": [b"\r\n"] * 50,
    "sends a line end after an answer": [head("GET", "/health"), *[b"\r\n"] * 50],
    "drips a body": [head("POST", "/verify", "Content-Length: 1000", "Content-Type: application/json"), *[b" "] * 50],
    "drips a body nobody asked for": [head("GET", "/health", "Content-Length: 1000"), *[b" "] * 50],
    "drips chunks": [head("POST", "/verify", *CHUNKED), *[b"1\r\n \r\n"] * 50],
    "promises a body": [head("POST", "/verify", "Content-Length: 9", "Expect: 100-continue")],
    "promises too large a body": [head("POST", "/verify", "Content-Length: 99999999"), *[b" "] * 50],
}


async def test_whoever_is_slow_is_waited_for_a_moment_and_holds_up_nobody(process):
    _, client = process

    async def attack(name, pieces):
        async with wire(client.url) as attacker:
            started = time.monotonic()
            reading = asyncio.create_task(attacker.rest())
            for piece in pieces:
                if not await attacker.send(piece):
                    break
                await asyncio.sleep(0.1)
            await reading
            # A head or a body has a second here, a late body two more; fifty pieces would take five.
            assert time.monotonic() - started < 8, name
            assert set(statuses_in(attacker.received)) <= {100, 200, 408, 413}, name
            return name, statuses_in(attacker.received)

    async with served_meanwhile(client):
        reported = dict(await asyncio.gather(*(attack(*one) for one in SLOW.items() for _ in range(20))))
    assert reported["stops in the head"] == reported["drips a body"] == [408]
    assert reported["promises too large a body"] == [413]


async def test_answers_that_nobody_reads_are_not_kept(process):
    running, client = process
    there = psutil.Process(running.process.pid)
    await client.get("/openapi.json")
    before = len(there.net_connections())

    async with contextlib.AsyncExitStack() as stack:
        attackers = [await stack.enter_async_context(wire(client.url)) for _ in range(20)]
        await eventually(lambda: len(there.net_connections()) > before + 10)
        for attacker in attackers:
            attacker.writer.transport.pause_reading()
            attacker.writer.write(head("GET", "/openapi.json") * 200)
        async with served_meanwhile(client):

            async def are_gone():
                return len(there.net_connections()) <= before + 2

            await eventually(are_gone, seconds=60)


async def test_a_body_that_is_too_large_is_refused_before_it_is_here_and_the_answer_arrives(process):
    _, client = process
    large = b" " * 1_048_576
    declared = [head("POST", "/verify", "Content-Length: 33554432", "Content-Type: application/json"), *[large] * 32]
    chunked = [head("POST", "/verify", *CHUNKED), *[b"100000\r\n" + large + b"\r\n"] * 32]
    async with served_meanwhile(client):
        for pieces in (declared, chunked):
            async with wire(client.url) as attacker:
                reading = asyncio.create_task(attacker.rest())
                taken = [await attacker.send(piece) for piece in pieces]
                await reading
                assert statuses_in(attacker.received) == [413]
                assert not all(taken)


def body_of(size, form):
    """How a body of so many bytes is sent: the lines of its head, and its pieces, of about a megabyte each."""
    if form == "declared":
        return (f"Content-Length: {size}",), [b" " * size]
    chunk_bytes = {"in large chunks": 65_536, "in small chunks": 16}[form]
    chunk = f"{chunk_bytes:x}\r\n".encode() + b" " * chunk_bytes + b"\r\n"
    together = 1_000_000 // len(chunk)
    count = -(-size // chunk_bytes)
    return CHUNKED, [chunk * min(together, count - sent) for sent in range(0, count, together)]


@pytest.mark.parametrize("size", [1_100_000, 8_000_000], ids=["a little too large", "far too large"])
@pytest.mark.parametrize("connection", ["close", "keep-alive"])
@pytest.mark.parametrize("form", ["declared", "in large chunks", "in small chunks"])
async def test_a_refusal_reaches_whoever_reads_only_when_all_is_sent(process, size, connection, form):
    """Hanging up with unread bytes resets the connection, and takes the answer from its caller."""
    _, client = process
    lines, pieces = body_of(size, form)
    assert size <= sum(len(piece) for piece in pieces) < MESSAGE_BYTES_MAX + LINGERING_BYTES_MAX
    async with wire(client.url) as caller:
        # A client that writes all before it reads: what comes meanwhile waits in the socket, and a reset discards it.
        caller.writer.transport.pause_reading()
        for one in (head("POST", "/verify", *lines, f"Connection: {connection}"), *pieces):
            assert await caller.send(one)
        await asyncio.sleep(0.3)
        caller.writer.transport.resume_reading()
        assert await caller.statuses() == [413]
        assert b"PAYLOAD_TOO_LARGE" in caller.received


async def test_only_so_many_linger_at_once_and_an_honest_caller_is_answered_all_the_same(
    database_url, redis_url, tmp_path
):
    """Whoever keeps sending after a refusal is thrown out by those who come after; the newest are heard to the end."""
    refused = head("POST", "/verify", "Content-Length: 99999999", "Connection: close")
    async with (
        api_processes(1, database_url, redis_url, tmp_path, API_BODY_SECONDS="100") as ([running], [client]),
        contextlib.AsyncExitStack() as stack,
    ):
        there = psutil.Process(running.process.pid)
        await client.get("/health")
        before = len(there.net_connections())
        attackers = []
        for _ in range(LINGERING_CONNECTIONS_MAX + 20):
            attackers.append(await stack.enter_async_context(wire(client.url)))
            await attackers[-1].send(refused)
            assert await attackers[-1].statuses() == [413]

        async def only_so_many_are_left():
            # They send on, so that none of them counts as idle.
            for attacker in attackers:
                await attacker.send(b" ")
            return len(there.net_connections()) <= before + LINGERING_CONNECTIONS_MAX

        await eventually(only_so_many_are_left)
        listening = [await attacker.send(b" ") for attacker in attackers]
        assert listening == [False] * 20 + [True] * LINGERING_CONNECTIONS_MAX
        lines, pieces = body_of(8_000_000, "in large chunks")
        async with wire(client.url) as caller:
            caller.writer.transport.pause_reading()
            for one in (head("POST", "/verify", *lines, "Connection: close"), *pieces):
                assert await caller.send(one)
            caller.writer.transport.resume_reading()
            assert await caller.statuses() == [413]


async def test_headers_after_the_body_are_none(process, pool):
    """A proxy that takes a header away, or sets it, does not look for it there."""
    _, client = process
    vendor = await Vendor(client, pool).open()
    for line, asked in ((f"x-api-key: {vendor.client.key}", "401"), ("Content-Type: text/html", "401")):
        async with wire(client.url) as attacker:
            await attacker.send(head("POST", "/payments/requests", *CHUNKED) + b"2\r\n{}\r\n0\r\n")
            await attacker.send(f"{line}\r\n\r\n".encode())
            assert await attacker.statuses() == [int(asked)], line


async def test_whoever_sends_two_of_a_kind_is_answered_as_one_or_not_at_all(process):
    """Two keys, two hosts, a path that names a host: none of them leads anywhere."""
    _, client = process
    for sent, wanted in (
        (head("GET", "/recipients", "x-api-key: a", "x-api-key: b"), {401}),
        (head("GET", "/recipients", "x-api-key: sk_live_\xff\xe9"), {401}),
        (head("GET", "/recipients", "authorization: Bearer \xff.\xe9.\xff"), {401}),
        (b"GET http://evil.example/health HTTP/1.1\r\nHost: api\r\n\r\n", {200}),
        (head("GET", "/health", "Host: evil.example"), {200}),
        (head("GET", "//evil.example/..", "Host: evil.example"), {404}),
        (head("GET", "/recipients/", "Host: evil.example"), {404}),
        (head("GET", "/%2e%2e/%00/%ff/..%5cx"), {404}),
        (head("GET", "/health", "Connection: Upgrade", "Upgrade: websocket"), {200}),
        (head("GET", "/health", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"), {200}),
    ):
        async with wire(client.url) as attacker:
            await attacker.send(sent)
            assert set(await attacker.statuses()) == wanted, sent
            assert b"evil.example" not in attacker.received.partition(b"\r\n\r\n")[0]


async def test_many_requests_on_one_connection_are_answered_in_order(process):
    _, client = process
    async with wire(client.url) as honest:
        await honest.send((head("GET", "/health") + request(b"[", path="/verify")) * 500)
        assert await honest.statuses(1000) == [200, 400] * 500
        # What is no request ends it, after all that came before.
        await honest.send(b"NONSENSE\r\n\r\n")
        assert (await honest.statuses(1001))[-1] == 400


async def test_the_process_lives_through_all_of_it_and_reports_no_defect(process):
    running, client = process
    for sent in (*SMUGGLED.values(), *(b"".join(pieces) for pieces in SLOW.values())):
        async with wire(client.url) as attacker:
            await attacker.send(sent)
    assert (await client.get("/health")).status == 200
    assert await running.stop() == 0
    events = [line["event"] for line in running.lines() if line["level"] in {"error", "critical"}]
    assert events == []
