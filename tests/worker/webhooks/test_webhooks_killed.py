"""Workers that are killed at random while receivers misbehave: every event reaches every receiver, under one id."""

import asyncio
import json
import random
import sys
import time

from tests.support.feed_publishing import log_event
from tests.support.source_tree import ROOT
from tests.support.webhook_receivers import badly, not_at_all, receiving, subscribe, well

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
            deadline = time.monotonic() + 60
            while await pool.fetchval("SELECT count(*) FROM webhook_deliveries WHERE status <> 'delivered'"):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
        finally:
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()
    expected = {f"sk_live_{r}_{n}" for r in range(ROUNDS) for n in range(EVENTS_A_ROUND)}
    for receiver in (one, other):
        by_id = {}
        for sent in receiver.sent:
            # The same id is the same event, byte by byte, in every try.
            assert by_id.setdefault(sent.id, sent.body) == sent.body
        assert {json.loads(body)["data"]["keyPrefix"] for body in by_id.values()} == expected
        assert len(by_id) == len(expected)
