"""Postgres says that it ends a connection and hangs up only later: an outage of ours, and nobody's defect.

A query in between meets a connection that is neither usable nor closed, which asyncpg calls an internal error. Found by
the soak, where a restart of Postgres made one answer in a thousand a 500.
"""

import asyncio
import contextlib
from urllib.parse import parse_qs, urlsplit

import pytest

from indexer.main import running_indexer
from tests.support.api_client import running_api
from tests.support.job_shop import fast_settings as fast_worker
from tests.support.ledger_checks import eventually, fast_settings
from tests.support.ledger_rows import NO_NODE, Vendor
from worker.main import running_worker

SAYS_GOODBYE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE $1"


@pytest.fixture
async def lingering(database_url):
    """The database behind a line that tells of a connection's end and does not end, until `hang_up` is set."""
    parts = urlsplit(database_url)
    query = parse_qs(parts.query)
    socket = f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"
    hang_up, tasks = asyncio.Event(), set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        with contextlib.closing(writer), contextlib.suppress(OSError):
            from_server, to_server = await asyncio.open_unix_connection(socket)
            with contextlib.closing(to_server):
                up = asyncio.create_task(_pipe(reader, to_server))
                try:
                    await _pipe(from_server, writer)
                    await hang_up.wait()
                finally:
                    up.cancel()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield f"postgresql://postgres@127.0.0.1:{port}{parts.path}", hang_up
    server.close()
    hang_up.set()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _pipe(reader, writer):
    with contextlib.suppress(OSError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()


async def test_a_verification_is_asked_to_come_again_and_is_honoured_then(lingering, pool, redis_url):
    dsn, hang_up = lingering
    async with running_api(dsn, redis_url, [NO_NODE], VERIFY_WAIT_MS=0) as api:
        vendor = await Vendor(api, pool).open()
        proofs = [vendor.proof(await vendor.paid(), nonce=f"nonce {n}") for n in range(3)]
        assert (await vendor.client.verify(proofs[0])).code == "VALID"
        assert await pool.fetch(SAYS_GOODBYE, "pay402-api%")
        reply = await vendor.client.verify(proofs[1])
        assert (reply.status, reply.code) == (503, "UNAVAILABLE"), reply.text
        hang_up.set()
        for proof in proofs[1:]:

            async def is_honoured(proof=proof):
                return (await vendor.client.verify(proof)).code == "VALID"

            await eventually(is_honoured)


async def test_the_indexer_and_the_worker_live_on(lingering, pool, redis_url, net):
    dsn, hang_up = lingering
    async with (
        running_indexer(fast_settings(), dsn, [net.rpc_url], [net.ws_url]),
        running_worker(fast_worker(), dsn, redis_url, [net.rpc_url]),
    ):

        async def beats():
            return await pool.fetchval("SELECT count(DISTINCT role) = 2 FROM heartbeats")

        await eventually(beats)
        assert await pool.fetch(SAYS_GOODBYE, "pay402-indexer%")
        assert await pool.fetch(SAYS_GOODBYE, "pay402-worker%")
        # Time enough for each of their passes to meet it. A defect would cancel this block.
        await asyncio.sleep(1.5)
        hang_up.set()
        await pool.execute("DELETE FROM heartbeats")
        await eventually(beats)
