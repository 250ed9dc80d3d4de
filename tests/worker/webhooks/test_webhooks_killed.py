"""What is killed at random while receivers misbehave: every event reaches every receiver, under one id."""

import asyncio
import contextlib
import json
import random
import sys
import time

import pytest

from ledger.feed import entry_id
from migrations import upgrade
from runtime.database import open_pool
from runtime.database_errors import DATABASE_ERRORS
from tests.support.api_processes import own_redis
from tests.support.crashing_postgres import Postgres
from tests.support.feed_publishing import log_event
from tests.support.ledger_checks import eventually
from tests.support.source_tree import ROOT
from tests.support.webhook_receivers import at_length, badly, never, not_at_all, receiving, slowly, subscribe, well

ROUNDS = 5
EVENTS_A_ROUND = 30


async def start(*arguments):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.worker.webhooks.killed_sender", *arguments,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with asyncio.timeout(60):
        while await process.stdout.readline() != b"ready\n":
            assert process.returncode is None
    return process


async def assert_each_has(pool, receivers, expected):
    ids = {entry_id(row["id"]) for row in await pool.fetch("SELECT id FROM feed WHERE type = 'key.revoked'")}
    for receiver in receivers:
        by_id = {}
        for sent in receiver.sent:
            # The same id is the same event, byte by byte, in every try.
            assert by_id.setdefault(sent.id, sent.body) == sent.body
        assert {json.loads(body)["data"]["keyPrefix"] for body in by_id.values()} == expected
        assert set(by_id) == ids


async def nothing_waits(pool):
    deadline = time.monotonic() + 120
    while await pool.fetchval("SELECT count(*) FROM webhook_deliveries WHERE status <> 'delivered'"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_workers_killed_at_random_lose_no_delivery(net, pool, database_url, redis_url):
    seed = int(time.time())
    sys.stdout.write(f"replay: seed {seed}\n")
    rng = random.Random(seed)

    async def moody(request):
        return await rng.choice([well, well, badly, not_at_all])(request)

    async with receiving(moody) as one, receiving() as other:
        for receiver in (one, other):
            await subscribe(pool, receiver)
        process = None
        try:
            for round_number in range(ROUNDS):
                process = await start(database_url, redis_url, net.rpc_url)
                for n in range(EVENTS_A_ROUND):
                    await log_event(pool, "key.revoked", subject=f"sk_live_{round_number}_{n}")
                    await asyncio.sleep(rng.random() / 100)
                await asyncio.sleep(rng.random())
                process.kill()
                await process.wait()
                # What the dead one had leased is due at once, so that the test need not wait for it.
                await pool.execute(
                    "UPDATE webhook_deliveries SET next_try_at = clock_timestamp() WHERE status = 'pending'"
                )
            process = await start(database_url, redis_url, net.rpc_url)
            one.behave = well
            await nothing_waits(pool)
        finally:
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()
    expected = {f"sk_live_{r}_{n}" for r in range(ROUNDS) for n in range(EVENTS_A_ROUND)}
    await assert_each_has(pool, (one, other), expected)


@pytest.fixture
async def own_postgres(home):
    server = Postgres(home)
    await upgrade(await server.start())
    yield server
    await server.stop()


async def log_for_sure(pool, subject):
    """Log an event, again and again until the database has it."""
    while True:
        try:
            return await log_event(pool, "key.revoked", subject=subject)
        except (*DATABASE_ERRORS, TimeoutError):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("victim", ["database", "valkey"])
async def test_a_database_or_valkey_killed_amid_deliveries_loses_none(victim, own_postgres, net):
    """The worker lives on, while receivers hang, answer 500, close, are slow, or answer 1 MB."""
    seed = int(time.time())
    sys.stdout.write(f"replay: seed {seed}\n")
    rng = random.Random(seed)
    moods = [never, badly, not_at_all, slowly, at_length]

    def moody(mood):
        async def answer(request):
            return await rng.choice([well, mood])(request)

        return answer

    dsn = own_postgres.server.dsn("postgres")
    expected, process = set(), None
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(own_redis())
        pool = await stack.enter_async_context(open_pool(dsn, application="test", max_size=2))
        receivers = [await stack.enter_async_context(receiving(moody(mood))) for mood in moods]
        receivers.append(await stack.enter_async_context(receiving()))
        for receiver in receivers:
            await subscribe(pool, receiver)
        process = await start(dsn, redis.url, net.rpc_url)
        try:
            for round_number in range(ROUNDS):
                for n in range(EVENTS_A_ROUND):
                    subject = f"sk_live_{round_number}_{n}"
                    await log_for_sure(pool, subject)
                    expected.add(subject)
                    await asyncio.sleep(rng.random() / 50)
                if victim == "database":
                    await own_postgres.crash()
                else:
                    await redis.stop()
                    await asyncio.sleep(rng.random())
                    await redis.start()
            assert process.returncode is None
            before = {receiver.url: len(receiver.sent) for receiver in receivers}
            for receiver in receivers:
                receiver.behave = well
            await log_for_sure(pool, "sk_live_last")
            expected.add("sk_live_last")
            await eventually(
                lambda: pool.fetchval("SELECT count(*) FROM feed WHERE body LIKE '%sk_live_last%'"), seconds=60
            )
            # What was under way when the database went is due when its lease is over; the test need not wait for that.
            await pool.execute("UPDATE webhook_deliveries SET next_try_at = clock_timestamp() WHERE status = 'pending'")
            await nothing_waits(pool)
            assert all(len(receiver.sent) > before[receiver.url] for receiver in receivers)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        await assert_each_has(pool, receivers, expected)
