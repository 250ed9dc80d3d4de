"""One payment, one yes: whatever comes at the same moment, through however many processes, and whatever dies."""

import asyncio
import contextlib
import random
import signal
from collections import Counter

import aiohttp
import asyncpg
import pytest

from ledger import claims
from ledger.sql import load_queries
from tests.support.api_processes import api_processes, own_redis
from tests.support.ledger_checks import eventually
from tests.support.ledger_rows import Vendor, book, new_signature

FINALITY = load_queries("ledger", "finality.sql")
REQUESTS = 1_000


@pytest.fixture
async def vendor_of_processes(database_url, redis_url, pool, tmp_path):
    """The same merchant at three API processes."""
    async with api_processes(3, database_url, redis_url, tmp_path) as (_, clients):
        first = await Vendor(clients[0], pool).open()
        yield first, [client.holding(first.client.key) for client in clients]


async def all_at_once(clients, proofs, **options):
    """Each proof to one of the processes, all at the same time; how many got which answer."""
    calls = [clients[n % len(clients)].verify(proof, **options) for n, proof in enumerate(proofs)]
    return await asyncio.gather(*calls)


async def test_of_1000_requests_for_one_payment_one_is_honoured(database_url, pool, tmp_path):
    """Three processes, half of the requests with one nonce, and Redis flushed, killed and started again meanwhile."""
    async with own_redis() as redis:
        limits = {"VERIFY_RATE_LIMIT": "1000000"}
        async with api_processes(3, database_url, redis.url, tmp_path, **limits) as (_, strangers):
            vendor = await Vendor(strangers[0], pool).open()
            clients = [client.holding(vendor.client.key) for client in strangers]
            transaction = await vendor.paid(10_000)
            same = vendor.proof(transaction)
            proofs = [same if n % 2 else vendor.proof(transaction, nonce=f"nonce {n}") for n in range(REQUESTS)]
            random.Random(402).shuffle(proofs)
            is_over = asyncio.Event()

            async def trouble():
                while not is_over.is_set():
                    await redis.command(b"FLUSHALL\r\n")
                    await redis.stop()
                    await asyncio.sleep(0.05)
                    await redis.start()
                    await asyncio.sleep(0.05)

            troubling = asyncio.create_task(trouble())
            await asyncio.sleep(0.1)
            replies = await all_at_once(clients, proofs)
            later = await all_at_once(clients, proofs[:100])
            is_over.set()
            await troubling
            assert redis.times_started > 2
            assert Counter(reply.code for reply in replies) == {"VALID": 1, "REPLAY_ATTACK": REQUESTS - 1}
            assert {reply.code for reply in later} == {"REPLAY_ATTACK"}
            assert await pool.fetchval("SELECT count(*) FROM transactions") == 1


async def test_of_many_payments_with_one_nonce_one_is_honoured(vendor_of_processes, pool):
    vendor, clients = vendor_of_processes
    proofs = [vendor.proof(await vendor.paid(), nonce="the one") for _ in range(60)]
    replies = await all_at_once(clients, proofs)
    assert Counter(reply.code for reply in replies) == {"VALID": 1, "REPLAY_ATTACK": 59}
    assert await pool.fetchval("SELECT count(*) FROM transactions") == 1


async def test_of_one_transaction_with_five_transfers_five_claims_are_honoured(vendor_of_processes, pool):
    vendor, clients = vendor_of_processes
    transaction = new_signature()
    for path in range(5):
        await book(pool, vendor.buyer.pubkey(), vendor.wallet, 10_000 + path, signature=transaction, path=str(path))
    replies = await all_at_once(clients, [vendor.proof(transaction, nonce=f"job {n}") for n in range(60)])
    assert Counter(reply.code for reply in replies) == {"VALID": 5, "REPLAY_ATTACK": 55}
    paths = [reply["transaction"]["path"] for reply in replies if reply.code == "VALID"]
    assert sorted(paths) == ["0", "1", "2", "3", "4"]


async def test_a_pending_claim_that_arrives_is_honoured_for_one_of_those_who_ask(vendor_of_processes, pool):
    """Some wait for it, some come later, and the worker honours it at the same time."""
    vendor, clients = vendor_of_processes
    for _ in range(5):
        proof = vendor.proof(new_signature(), nonce=new_signature())
        assert (await vendor.client.verify(proof)).code == "PAYMENT_PENDING"
        row = await vendor.claim(proof["nonce"])
        asking = asyncio.gather(*(clients[n % 3].verify(proof) for n in range(12)))
        await book(pool, vendor.buyer.pubkey(), vendor.wallet, 10_000, signature=proof["transactionId"])
        with contextlib.suppress(asyncpg.UniqueViolationError):
            await claims.honour_pending(pool, [(row["id"], "0")])
        codes = Counter(reply.code for reply in [*await asking, *await all_at_once(clients, [proof] * 6)])
        assert codes["VALID"] == 1, codes
        assert codes["VALID"] + codes["REPLAY_ATTACK"] + codes["PAYMENT_PENDING"] == 18, codes


async def test_through_idempotency_keys_too_one_request_is_honoured(vendor_of_processes, pool):
    vendor, clients = vendor_of_processes
    transaction = await vendor.paid()
    proofs = [vendor.proof(transaction, nonce=f"nonce {n}") for n in range(60)]
    calls = [clients[n % 3].verify(proof, headers={"Idempotency-Key": f"order {n}"}) for n, proof in enumerate(proofs)]
    replies = await asyncio.gather(*calls)
    assert Counter(reply.code for reply in replies) == {"VALID": 1, "REPLAY_ATTACK": 59}
    # Each can ask again for what it was answered.
    again = [clients[n % 3].verify(proof, headers={"Idempotency-Key": f"order {n}"}) for n, proof in enumerate(proofs)]
    assert [reply.text for reply in await asyncio.gather(*again)] == [reply.text for reply in replies]


async def test_one_request_sent_many_times_with_its_key_is_answered_alike(vendor_of_processes):
    vendor, clients = vendor_of_processes
    proof = vendor.proof(await vendor.paid())
    replies = await all_at_once(clients, [proof] * 60, headers={"Idempotency-Key": "order 7"})
    codes = Counter(reply.code for reply in replies)
    assert codes["VALID"] >= 1
    assert codes["VALID"] + codes["CONFLICT"] == 60, codes
    assert len({reply.text for reply in replies if reply.code == "VALID"}) == 1
    assert all(reply.headers["Retry-After"] == "1" for reply in replies if reply.code == "CONFLICT")
    # Whoever does not have that key presents a used proof.
    assert (await vendor.client.verify(proof)).code == "REPLAY_ATTACK"
    assert (await vendor.client.verify(proof, headers={"Idempotency-Key": "order 8"})).code == "REPLAY_ATTACK"


async def test_an_answer_lost_with_its_process_is_given_again(database_url, redis_url, pool, tmp_path):
    """Killed after the claim was honoured and before its answer was kept."""
    async with api_processes(2, database_url, redis_url, tmp_path, VERIFY_WAIT_MS="20000") as (processes, clients):
        vendor = await Vendor(clients[0], pool).open()
        proof = vendor.proof(new_signature())
        asking = asyncio.create_task(vendor.client.verify(proof, headers={"Idempotency-Key": "order 7"}))
        await eventually(lambda: pool.fetchval("SELECT count(*) FROM idempotent_answers"))
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("LOCK TABLE idempotent_answers IN EXCLUSIVE MODE")
            await book(pool, vendor.buyer.pubkey(), vendor.wallet, 10_000, signature=proof["transactionId"])
            await eventually(lambda: pool.fetchval("SELECT count(*) FROM transactions WHERE answered_at IS NOT NULL"))
            await processes[0].stop(signal.SIGKILL)
            # A server that still waits for the lock would keep the answer though its client is gone.
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        with pytest.raises(aiohttp.ClientError):
            await asking
        other = clients[1].holding(vendor.client.key)
        assert (await other.verify(proof, headers={"Idempotency-Key": "order 8"})).code == "REPLAY_ATTACK"
        # For a minute it may still be under way.
        assert (await other.verify(proof, headers={"Idempotency-Key": "order 7"})).code == "CONFLICT"
        await pool.execute("UPDATE idempotent_answers SET created_at = created_at - interval '2 minutes'")
        again = await other.verify(proof, headers={"Idempotency-Key": "order 7"})
        assert again.code == "VALID", again.text
        assert again["transaction"]["id"] == str((await vendor.claim(proof["nonce"]))["id"])
        assert (await other.verify(proof, headers={"Idempotency-Key": "order 7"})).text == again.text
        assert (await other.verify(proof)).code == "REPLAY_ATTACK"


async def test_no_claim_is_left_honoured_by_a_transfer_that_a_fork_undid(vendor_of_processes, pool):
    vendor, clients = vendor_of_processes
    outcomes = Counter()
    for n in range(40):
        transaction = await vendor.paid(slot=1_000 + n)
        proofs = [vendor.proof(transaction, nonce=f"{n} {m}") for m in range(6)]

        async def undo(transaction=transaction, slot=1_000 + n):
            await asyncio.sleep(random.random() * 0.01)
            await FINALITY.orphan(pool, signatures=[transaction], slots=[slot])

        replies, _ = await asyncio.gather(all_at_once(clients, proofs), undo())
        outcomes.update(reply.code for reply in replies)
        await claims.follow_transfers(pool)
        assert not await pool.fetch(
            "SELECT c.id, c.status FROM transactions AS c JOIN transfers AS t USING (signature, path)"
            " WHERE t.finality = 'orphaned' AND c.status IN ('confirmed', 'finalized')"
        )
    # Both ends of the race were seen.
    assert outcomes["VALID"] > 0
    assert outcomes["PAYMENT_PENDING"] > 0
