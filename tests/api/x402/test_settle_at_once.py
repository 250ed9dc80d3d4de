"""One payload, many settles at once over three API processes that are killed at random; a wallet that races itself.

`make storm` runs the large number of both.
"""

import asyncio
import contextlib
import os
import random
import signal

import aiohttp
import pytest
from solders.keypair import Keypair

from indexer.main import running_indexer
from ledger.invariants import check_invariants
from tests.support.api_client import key_for
from tests.support.api_processes import api_processes
from tests.support.job_shop import fast_settings
from tests.support.ledger_checks import eventually
from tests.support.ledger_checks import fast_settings as fast_indexer
from tests.support.wallets import USDC, token_account
from worker.context import open_worker_context
from worker.settlements import move_settlements

SETTLES = int(os.environ.get("STORM_SETTLES", "120"))
RACES = int(os.environ.get("STORM_RACES", "3"))


@pytest.fixture
async def following(parties, net, database_url):
    settings = fast_indexer(INDEXER_FINALIZE_SECONDS=0.2)
    async with running_indexer(settings, database_url, [net.rpc_url], [net.ws_url]) as running:
        await eventually(lambda: running.feed.watching >= 2)
        yield running


@pytest.fixture
async def replicas(parties, database_url, redis_url, net, tmp_path):
    environment = {**parties.settings, "SOLANA_RPC_URL": net.rpc_url}
    async with api_processes(3, database_url, redis_url, tmp_path, **environment) as opened:
        yield opened


def received(net, parties):
    return net.chain.true_token_balance(token_account(parties.shop, USDC)) or 0


async def test_of_many_settles_of_one_payload_one_is_a_fresh_success(
    following, replicas, parties, pool, net, database_url
):
    processes, strangers = replicas
    key = await key_for(pool)
    body = (await parties.purchase()).body()
    is_over = asyncio.Event()

    async def settle(n):
        """Repeated by its seller until there is an answer, whichever process dies meanwhile."""
        await asyncio.sleep(random.Random(n).random())
        while True:
            client = strangers[n % 3].holding(key)
            client.url = processes[n % 3].url
            try:
                reply = await client.post("/x402/settle", body)
            except aiohttp.ClientError:
                n += 1
                await asyncio.sleep(0.1)
                continue
            assert reply.status in {200, 503}, reply.text
            if reply.status == 200 and reply.body.get("errorReason") != "settlement_pending":
                return reply.body

    async def kill():
        """One process after the other, at random; two are left."""
        moments = random.Random(402)
        kills = 0
        while not is_over.is_set():
            await asyncio.sleep(moments.random())
            victim = moments.choice(processes)
            await victim.stop(signal.SIGKILL)
            kills += 1
            await victim.start()
        return kills

    killing = asyncio.create_task(kill())
    async with open_worker_context(fast_settings(), database_url, [net.rpc_url]) as worker:

        async def work():
            while not is_over.is_set():
                with contextlib.suppress(OSError):
                    await move_settlements(worker, older_seconds=0)
                await asyncio.sleep(0.2)

        working = asyncio.create_task(work())
        answers = await asyncio.gather(*(settle(n) for n in range(SETTLES)))
        is_over.set()
        await working
    kills = await killing
    assert kills >= 1
    successes = [one for one in answers if one["success"]]
    # Each one more than the first is the stored answer, for a process that died before it could note the one before.
    assert 1 <= len(successes) <= 1 + kills
    assert {one.get("errorReason") for one in answers if not one["success"]} <= {"duplicate_settlement"}
    assert len({one["transaction"] for one in answers}) == 1
    assert received(net, parties) == 10_000
    assert await pool.fetchval("SELECT count(*) FROM transactions") == 1
    assert await check_invariants(pool) == []


async def test_a_wallet_with_money_for_one_payment_races_itself_over_three_processes(
    following, replicas, parties, pool, net
):
    _, strangers = replicas
    key = await key_for(pool)
    for number in range(1, RACES + 1):
        poor = Keypair()
        await parties.fund(poor.pubkey(), 10_000)
        purchases = [await parties.purchase(payer=poor) for _ in range(6)]
        replies = await asyncio.gather(
            *(strangers[n % 3].holding(key).post("/x402/settle", one.body()) for n, one in enumerate(purchases))
        )
        answers = [reply.body for reply in replies]
        assert [one["success"] for one in answers].count(True) == 1, answers
        assert received(net, parties) == number * 10_000
        landed = [one["transaction"] for one in answers if one["transaction"]]
        for one in answers:
            if one["transaction"]:
                found = net.chain.find(one["transaction"])
                assert one["success"] == (found is not None and found.err is None)
        assert len(landed) >= 1
    assert await check_invariants(pool) == []
