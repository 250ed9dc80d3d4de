"""A Redis that takes nothing stops no pass, is not stormed, and is said once; passes that fail are shown."""

import asyncio
import contextlib
import json
import time
from urllib.parse import quote

import aiohttp
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from runtime.embedded.valkey import EmbeddedValkey
from tests.support.databases import short_lived_home
from tests.support.job_shop import fast_settings
from tests.support.ledger_checks import eventually
from worker.main import running_worker
from worker.redis_pool import SchedulePool, ScheduleRedis


@pytest.fixture
def valkey():
    """A Redis of this test alone, which it may spoil."""
    with short_lived_home() as home:
        server = EmbeddedValkey(home)
        server.enter()
        try:
            yield server.url
        finally:
            server.leave()


@contextlib.asynccontextmanager
async def administering(url):
    client = Redis.from_url(url)
    try:
        yield client
    finally:
        await client.aclose()


async def ran(worker, job, times=2):
    """Wait for so many more passes of `job`."""
    counter = worker.context.metrics.runs.labels(job, "ok")
    before = counter._value.get()
    await eventually(lambda: counter._value.get() >= before + times, seconds=40)


async def connections(admin):
    return (await admin.info("stats"))["total_connections_received"]


async def only_ours_is_open(admin):
    return len(await admin.client_list()) == 1


async def test_a_password_may_need_to_be_quoted(valkey, net, database_url):
    async with administering(valkey) as admin:
        await admin.execute_command("ACL", "SETUSER", "quoted", "on", ">p@ss/w:rd%", "~*", "&*", "+@all")
        url = valkey.replace("://", f"://quoted:{quote('p@ss/w:rd%', safe='')}@", 1)
        async with running_worker(fast_settings(), database_url, url, [net.rpc_url]) as worker:
            await eventually(lambda: worker.schedule.by_redis, seconds=30)
            await ran(worker, "measure")
            assert worker.schedule.by_redis


JOBS = ("reconcile_claims", "move_jobs_and_payouts", "measure")
# Whatever it may do, something that a schedule needs is missing.
RIGHTS = {
    "nothing at all": [],
    "nothing but a ping": ["+ping"],
    "reading": ["+@read", "+@connection", "+info"],
    "all but enqueueing": ["+@all", "-zadd"],
    "all but taking a job": ["+@all", "-psetex"],
    "all but looking for jobs": ["+@all", "-zrangebyscore"],
    "all but transactions": ["+@all", "-multi"],
}


@pytest.mark.parametrize("rights", RIGHTS)
async def test_a_user_without_rights_stops_no_pass(valkey, net, database_url, rights):
    async with administering(valkey) as admin:
        await admin.execute_command("ACL", "SETUSER", "weak", "on", ">secret", "~*", "&*", *RIGHTS[rights])
        url = valkey.replace("://", "://weak:secret@", 1)
        before = await connections(admin)
        with capture_logs() as lines:
            async with running_worker(fast_settings(), database_url, url, [net.rpc_url]) as worker:
                began_at = time.monotonic()
                for job in JOBS:
                    await ran(worker, job)
                seen = await connections(admin) - before
                # Redis is tried again after three seconds and more, and then each pass has a connection of its own.
                tries = 2 + (time.monotonic() - began_at) / 3
                passes = len(worker.schedule._passes)
                assert worker.context.metrics.liveness.reasons() == []
        # arq still works for a moment after it was ended; what it opens then is closed as well.
        await eventually(lambda: only_ours_is_open(admin))
    assert seen <= tries * (passes + 2), "a storm of connections"
    assert len([line for line in lines if line["event"] in {"redis_away", "redis_lost"}]) <= 1


async def test_a_full_redis_stops_no_pass_and_is_said_once(valkey, net, database_url):
    async with administering(valkey) as admin:
        with capture_logs() as lines:
            async with running_worker(fast_settings(), database_url, valkey, [net.rpc_url]) as worker:
                await eventually(lambda: worker.schedule.by_redis, seconds=30)
                await ran(worker, "move_jobs_and_payouts")
                lines.clear()
                await admin.config_set("maxmemory-policy", "noeviction")
                await admin.config_set("maxmemory", "1")
                await eventually(lambda: not worker.schedule.by_redis, seconds=20)
                before = await connections(admin)
                for job in JOBS:
                    await ran(worker, job, times=5)
                assert not worker.schedule.by_redis
                assert worker.context.metrics.by_redis._value.get() == 0
                seen = await connections(admin) - before
                await admin.config_set("maxmemory", "0")
                await eventually(lambda: worker.schedule.by_redis, seconds=75)
                assert worker.context.metrics.by_redis._value.get() == 1
        await eventually(lambda: only_ours_is_open(admin))
    assert seen <= 10, "a storm of connections"
    assert len([line for line in lines if line["event"] == "redis_away"]) == 1


async def health(port):
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/health") as answer:
        return answer.status, json.dumps(await answer.json())


@pytest.mark.parametrize("redis", ["with redis", "without"])
async def test_passes_that_fail_make_the_process_unwell(net, database_url, redis_url, pool, redis):
    url = redis_url if redis == "with redis" else "redis://127.0.0.1:1"
    settings = fast_settings(WORKER_PASS_GRACE_SECONDS=0.5)
    async with running_worker(settings, database_url, url, [net.rpc_url]) as worker:
        await ran(worker, "measure")
        await pool.execute("ALTER TABLE job_fundings RENAME TO hidden")

        async def unwell():
            status, text = await health(worker.metrics_port)
            return status == 503 and "move_jobs_and_payouts" in text

        await eventually(unwell, seconds=60)
        # What does not need the table goes on.
        await ran(worker, "measure")
        await pool.execute("ALTER TABLE hidden RENAME TO job_fundings")

        async def well():
            return (await health(worker.metrics_port))[0] == 200

        await eventually(well, seconds=60)


async def test_a_pipeline_cancelled_while_it_ends_lets_go_of_its_connection(valkey):
    async with administering(valkey) as admin:
        pool = SchedulePool.to(valkey)
        pipeline = ScheduleRedis(pool).pipeline()
        await pipeline.watch("watched")
        await admin.execute_command("CLIENT", "PAUSE", 2000, "ALL")
        ending = asyncio.create_task(pipeline.reset())
        # The pause holds the answer to UNWATCH back.
        done, _ = await asyncio.wait({ending}, timeout=0.2)
        assert not done
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)
        assert pipeline.connection is None
        await pool.aclose()
        assert await only_ours_is_open(admin)
