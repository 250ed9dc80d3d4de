"""Each payment once, whatever comes at once: several API processes, one ledger, a Valkey that is lost meanwhile."""

import asyncio
import contextlib
import json
import os
import sys
import time

import aiohttp
import pytest
import redis.asyncio

from pay402.ledger import claims
from pay402.ledger.claims import Proof, Terms
from pay402.ledger.judge import Claim
from pay402.localnet import payments as pay
from pay402.localnet.payments import USDC, Payment
from pay402.runtime.embedded_valkey import EmbeddedValkey
from pay402.runtime.sql import load_queries
from tests.api.shop import Client, key_for, pay_usdc, proof_of
from tests.conftest import short_lived_home
from tests.indexer.shop import eventually

PROCESSES = 3
REQUESTS = 1_000


@contextlib.asynccontextmanager
async def api_process(database_url, redis_url, rpc_url):
    """`pay402 api` as an operator runs it; yields its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pay402", "api", "--json",
        env={
            "PATH": os.environ["PATH"], "DATABASE_URL": database_url, "REDIS_URL": redis_url, "PORT": "0",
            "SOLANA_RPC_URL": rpc_url, "VERIFY_RATE_LIMIT": "100000", "LOG_LEVEL": "error",
        },
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield json.loads(await process.stdout.readline())["api"]
    finally:
        process.terminate()
        assert await process.wait() == 0, "SIGTERM drains and exits 0"


@pytest.mark.timeout(240)
async def test_of_a_thousand_concurrent_claims_to_one_payment_exactly_one_is_honoured(
    market, indexer, database_url, pool, net
):
    transaction, payer = await pay_usdc(market, 10_000)
    await eventually(lambda: pool.fetchval("SELECT count(*) FROM transfers WHERE signature = $1", transaction))
    key = await key_for(pool)
    same = proof_of(payer, transaction, 0.01)
    # Half of them repeat one proof, the others have a nonce of their own each.
    proofs = [same if n % 2 else proof_of(payer, transaction, 0.01, nonce=f"own-{n}") for n in range(REQUESTS)]
    with short_lived_home() as home:
        valkey = EmbeddedValkey(home)
        await asyncio.to_thread(valkey.enter)
        async with contextlib.AsyncExitStack() as stack:
            urls = [
                await stack.enter_async_context(api_process(database_url, valkey.url, net.rpc_url))
                for _ in range(PROCESSES)
            ]
            connector = aiohttp.TCPConnector(limit=200)
            http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            clients = [Client(url, http, key) for url in urls]

            async def lose_valkey():
                await asyncio.sleep(0.2)
                async with redis.asyncio.Redis.from_url(valkey.url) as client:
                    await client.flushall()
                await asyncio.to_thread(valkey.leave)
                await asyncio.to_thread(valkey.enter)

            losing = asyncio.create_task(lose_valkey())
            replies = await asyncio.gather(*(clients[n % PROCESSES].verify(p) for n, p in enumerate(proofs)))
            await losing
        await asyncio.to_thread(valkey.leave)
    codes = [reply.code for reply in replies]
    assert codes.count("VALID") == 1, {code: codes.count(code) for code in set(codes)}
    assert codes.count("REPLAY_ATTACK") == REQUESTS - 1
    honoured = await pool.fetch("SELECT path FROM transactions WHERE signature = $1", transaction)
    assert len(honoured) == 1


async def test_two_jobs_paid_in_one_transaction_are_two_claims_and_no_third(merchant, market, indexer):
    payer, to = market.payers[0], market.recipients[0].pubkey()
    one, two = pay.plain(payer.pubkey(), to, 5_000), pay.plain(payer.pubkey(), to, 5_001)
    both = Payment("two jobs", [*one.instructions, *two.instructions], [*one.meant, *two.meant])
    transaction = await market.pay(both, payer)
    proofs = [proof_of(payer, transaction, "0.005", nonce=f"job-{n}") for n in range(3)]
    replies = await asyncio.gather(*map(merchant.verify, proofs))
    assert sorted(reply.code for reply in replies) == ["REPLAY_ATTACK", "VALID", "VALID"]
    paths = [reply["transaction"]["path"] for reply in replies if reply.code == "VALID"]
    assert sorted(paths) == ["0", "1"]


async def test_a_nonce_is_used_once_with_a_merchant(merchant, market, indexer):
    first, payer = await pay_usdc(market, 10_000)
    second, _ = await pay_usdc(market, 10_001)
    assert (await merchant.verify(proof_of(payer, first, 0.01, nonce="once"))).code == "VALID"
    assert (await merchant.verify(proof_of(payer, second, 0.01, nonce="once"))).code == "REPLAY_ATTACK"
    assert (await merchant.verify(proof_of(payer, second, 0.01, nonce="twice"))).code == "VALID"


async def test_a_claim_follows_its_transfer_through_an_abandoned_fork(merchant, market, indexer, pool):
    """Undone, the claim is reversed; landed again, it is confirmed again; undone for good, it fails."""
    queries = load_queries("pay402.ledger", "claims.sql")
    transaction, payer = await pay_usdc(market, 10_000)
    assert (await merchant.verify(proof_of(payer, transaction, 0.01))).code == "VALID"

    async def stands():
        await claims.follow_transfers(pool, queries, dead_seconds=3600)
        return await pool.fetchval("SELECT status FROM transactions WHERE signature = $1", transaction)

    await eventually(lambda: _is(stands, "finalized"))
    # Of another payment, the step from confirmed to undone and back, which the cluster takes at its own pace.
    other, _ = await pay_usdc(market, 10_002)
    await eventually(lambda: pool.fetchval("SELECT count(*) FROM transfers WHERE signature = $1", other))
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("UPDATE transfers SET finality = 'confirmed' WHERE signature = $1", other)
        terms = Terms("merchant", "fork", other, _claim(payer, market), str(USDC), "USDC")
        (context,) = await claims.read_contexts(connection, queries, [Proof("merchant", "fork", other, "x")])
        assert len(await claims.honour(connection, queries, [(terms, context.transfers[0])])) == 1
        await connection.execute("UPDATE transfers SET finality = 'orphaned' WHERE signature = $1", other)
        assert (await claims.follow_transfers(connection, queries)).reversed == 1
        await connection.execute("UPDATE transfers SET finality = 'confirmed' WHERE signature = $1", other)
        assert (await claims.follow_transfers(connection, queries)).restored == 1
        await connection.execute("UPDATE transfers SET finality = 'orphaned' WHERE signature = $1", other)
        assert (await claims.follow_transfers(connection, queries)).reversed == 1
        assert (await claims.follow_transfers(connection, queries, dead_seconds=-1)).failed == 1


def _claim(payer, market):
    return Claim(str(payer.pubkey()), frozenset(market.wallets), frozenset({str(USDC)}), 10_002, 10_002)


async def _is(read, wanted):
    return await read() == wanted


async def test_asking_again_with_a_pending_proof_gives_its_fate_once(merchant, market, indexer, pool, net):
    """A payment that comes late is remembered as pending; whoever asks again is told yes, and only once."""
    payer = market.payers[0]
    proof = proof_of(payer, str(payer.sign_message(b"not sent yet")), 0.01)
    started = time.monotonic()
    first = await merchant.verify(proof)
    assert (first.status, first.code) == (402, "PAYMENT_PENDING")
    assert first.headers["Retry-After"]
    assert time.monotonic() - started > 1
    assert await pool.fetchval("SELECT status FROM transactions WHERE nonce = $1", proof["nonce"]) == "pending"
    await _settle(pool, proof["nonce"])
    again = await merchant.verify(proof)
    assert (again.status, again.code) == (402, "TRANSACTION_FAILED")


async def _settle(pool, nonce):
    queries = load_queries("pay402.ledger", "claims.sql")
    claim = await pool.fetchval("SELECT id FROM transactions WHERE nonce = $1", nonce)
    assert await claims.settle_pending(pool, queries, [(claim, "failed", "TRANSACTION_FAILED")]) == 1
