"""API, database and Valkey are killed at every step from reservation to answer: the final answer equals the chain."""

import asyncio
import contextlib
import os
import signal
import sys

import aiohttp
import pytest

from chain.rpc import RpcError
from indexer.main import running_indexer
from ledger.invariants import check_invariants
from migrations import upgrade
from runtime.crash_points import watch_steps
from runtime.database import open_pool
from runtime.database_errors import DATABASE_ERRORS
from tests.support.api_client import key_for, running_api
from tests.support.api_processes import UNLIMITED, own_redis
from tests.support.crashing_postgres import Postgres
from tests.support.job_shop import fast_settings
from tests.support.ledger_checks import eventually
from tests.support.ledger_checks import fast_settings as fast_indexer
from tests.support.wallets import USDC, token_account
from tests.support.x402_parties import open_parties
from worker.context import open_worker_context
from worker.settlements import move_settlements

STEPS = ("reserve", "broadcast", "claim", "answer", "note")
POINTS = [f"{side} {step}" for step in STEPS for side in ("before", "after")]
FATES = {"settlement_pending", None}


def received(net, parties):
    return net.chain.true_token_balance(token_account(parties.shop, USDC)) or 0


@contextlib.asynccontextmanager
async def following(net, database_url):
    settings = fast_indexer(INDEXER_FINALIZE_SECONDS=0.2)
    async with running_indexer(settings, database_url, [net.rpc_url], [net.ws_url]) as running:
        await eventually(lambda: running.feed.watching >= 2)
        yield


async def final_answer(client, body):
    """What a seller hears in the end who repeats its request; the whole way there must be true."""

    async def answered():
        with contextlib.suppress(aiohttp.ClientError):
            reply = await client.post("/x402/settle", body)
            if reply.status == 200 and reply.body.get("errorReason") != "settlement_pending":
                return reply.body
        return None

    return await eventually(answered, seconds=60, pause=0.2)


@pytest.mark.parametrize("point", POINTS)
async def test_an_api_process_killed_at_any_step(point, parties, pool, net, database_url, redis_url):
    """Another process and the worker go on; the seller repeats its request there."""
    key = await key_for(pool)
    environment = {
        "PATH": os.environ["PATH"], "DATABASE_URL": database_url, "REDIS_URL": redis_url,
        "SOLANA_RPC_URL": net.rpc_url, "APP_ENV": "test", "PORT": "0", "LOG_LEVEL": "error",
        **UNLIMITED, **parties.settings,
    }  # fmt: skip
    async with (
        following(net, database_url),
        open_worker_context(fast_settings(), database_url, [net.rpc_url]) as worker,
        running_api(database_url, redis_url, [net.rpc_url], **parties.settings) as api,
        aiohttp.ClientSession() as http,
    ):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.api.x402.killed_api", point,
            env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        url = (await asyncio.wait_for(process.stdout.readline(), 40)).decode().strip()
        # Built when everybody is ready: a blockhash of this chain lives for some seconds only.
        body = (await parties.purchase()).body()
        heard = None
        with contextlib.suppress(aiohttp.ClientError):
            async with http.post(f"{url}/x402/settle", json=body, headers={"x-api-key": key}) as response:
                heard = await response.json()
        assert await process.wait() == -signal.SIGKILL
        assert (heard is not None) == (point.endswith(" note")), "an answer goes out before it is noted"
        await move_settlements(worker, older_seconds=0)
        answer = await final_answer(api.holding(key), body)
        # The answer may not have gone out: it is given again; once it was noted it is not.
        assert answer["success"] == (point != "after note"), answer
        assert answer["transaction"]
        again = (await api.holding(key).post("/x402/settle", body)).body
        assert again["errorReason"] == "duplicate_settlement"
    assert received(net, parties) == 10_000
    assert await pool.fetchval("SELECT count(*) FROM settlements") == 1
    assert await check_invariants(pool) == []


@pytest.fixture
async def own_postgres(home):
    server = Postgres(home)
    await upgrade(await server.start())
    yield server
    await server.stop()


@pytest.mark.parametrize("victim", ["database", "valkey"])
async def test_a_database_or_valkey_killed_at_any_step(victim, own_postgres, net):
    dsn = own_postgres.server.dsn("postgres")
    async with own_redis() as redis, open_pool(dsn, application="test", max_size=2) as pool:
        parties = await open_parties(net, pool)
        key = await key_for(pool)
        struck = []

        async def strike():
            if victim == "database":
                await own_postgres.crash()
            else:
                await redis.stop()
                await redis.start()

        pending_point = ""

        async def on_step(reached):
            if reached == pending_point and reached not in struck:
                struck.append(reached)
                # Whatever was under way may be given up meanwhile; the victim comes back all the same.
                await asyncio.shield(asyncio.create_task(strike()))

        with watch_steps(on_step):
            async with (
                following(net, dsn),
                open_worker_context(fast_settings(), dsn, [net.rpc_url]) as worker,
                running_api(dsn, redis.url, [net.rpc_url], **parties.settings, X402_WAIT_SECONDS=5) as api,
            ):
                client = api.holding(key)
                for number, point in enumerate(POINTS, start=1):
                    pending_point = point
                    body = (await parties.purchase()).body()
                    first = await client.post("/x402/settle", body)
                    assert first.status in {200, 503}, first.text
                    if first.status == 503:
                        # Nothing is said, not that it failed.
                        assert first["errorReason"] == "unexpected_settle_error"
                    else:
                        assert first["success"] or first["errorReason"] == "settlement_pending", first.body
                    await eventually(lambda: _works(worker))
                    if first.status == 503 or not first["success"]:
                        answer = await final_answer(client, body)
                        assert answer["success"], (point, answer)
                    await eventually(lambda paid=number * 10_000: received(net, parties) == paid)
        assert struck == POINTS
        assert await check_invariants(pool) == []


async def _works(worker):
    with contextlib.suppress(*DATABASE_ERRORS, RpcError):
        await move_settlements(worker, older_seconds=0)
        return True
    return False
