"""What is ours and down: said as what it is, for as long as it is down, and never as somebody's bad payment."""

import asyncio
import signal
import time

import aiohttp
import pytest

from migrations import upgrade
from runtime.database import open_pool
from tests.support.api_client import key_for, running_api
from tests.support.api_operations import OPERATIONS, path_of
from tests.support.api_processes import api_processes
from tests.support.crashing_postgres import Postgres
from tests.support.failed_over import cut_off, read_only
from tests.support.ledger_checks import eventually
from tests.support.ledger_rows import NO_NODE, Vendor, book, new_signature

NO_REDIS = "redis://127.0.0.1:9"


@pytest.fixture
async def own_postgres(home):
    """A server of this test alone, to be stopped."""
    server = Postgres(home)
    await upgrade(await server.start())
    yield server
    await server.stop()


async def test_without_postgres_every_route_says_so_and_recovers_by_itself(own_postgres, redis_url):
    dsn = own_postgres.server.dsn("postgres")
    async with running_api(dsn, redis_url, [NO_NODE], VERIFY_WAIT_MS=0) as api:
        async with open_pool(dsn, application="test", max_size=1) as pool:
            vendor = await Vendor(api, pool).open()
            admin = api.holding(await key_for(pool, "operations", ("read", "write", "admin")))
            proof = vendor.proof(await vendor.paid())
        await own_postgres.stop()
        for operation, (needed, body, _) in OPERATIONS.items():
            reply = await admin.call(operation.split()[0], path_of(operation), body)
            if operation in {"GET /health", "GET /metrics"}:
                assert reply.status == 200
                continue
            assert reply.status == 503, (operation, reply.text)
            assert int(reply.headers["Retry-After"]) >= 1
            if needed is not None:
                assert reply.code == "UNAVAILABLE", operation
                assert ("valid" in reply.body) == (operation == "POST /verify")
        for verified in (await vendor.client.verify(proof), await api.verify({**proof, "recipient": vendor.wallet})):
            assert (verified.status, verified.code) == (503, "UNAVAILABLE")
            assert (verified["valid"], verified["verified"]) == (False, False)
        await own_postgres.start()

        async def is_honoured():
            reply = await vendor.client.verify(proof)
            assert reply.status in {200, 503}, reply.text
            return reply.code == "VALID"

        await eventually(is_honoured)

        async def is_ready():
            return (await api.get("/ready")).status == 200

        await eventually(is_ready)


async def test_after_a_failover_it_writes_again_without_a_restart(database_url, pool, redis_url, monkeypatch):
    """Sessions that were opened on the read-only server stay read-only; they are left for others."""
    monkeypatch.setattr("runtime.database._READ_ONLY_SECONDS", 0.05)
    async with running_api(database_url, redis_url, [NO_NODE], VERIFY_WAIT_MS=0) as api:
        vendor = await Vendor(api, pool).open()
        proof = vendor.proof(await vendor.paid())
        request = {"amount": "1", "currency": "USDC", "recipient": vendor.wallet, "resource": "/x"}
        async with read_only(pool):
            await cut_off(pool, "api")

            async def refuses():
                replies = [await vendor.client.verify(proof), await vendor.client.post("/payments/requests", request)]
                assert {reply.status for reply in replies} <= {200, 201, 503}
                return {reply.code for reply in replies} == {"UNAVAILABLE"}

            await eventually(refuses)

        async def works():
            replies = [await vendor.client.verify(proof), await vendor.client.post("/payments/requests", request)]
            return [reply.status for reply in replies] == [200, 201]

        await eventually(works)


async def test_a_crash_of_postgres_costs_nobody_their_payment(own_postgres, redis_url):
    """Every payment is honoured once, through the crash; those that heard nothing certain just ask again."""
    dsn = own_postgres.server.dsn("postgres")
    async with running_api(dsn, redis_url, [NO_NODE], VERIFY_WAIT_MS=0) as api:
        async with open_pool(dsn, application="test", max_size=1) as pool:
            vendor = await Vendor(api, pool).open()
            proofs = [vendor.proof(await vendor.paid(), nonce=f"nonce {n}") for n in range(120)]

        async def until_it_is_certain(n, proof):
            for _ in range(400):
                reply = await vendor.client.verify(proof, headers={"Idempotency-Key": f"order {n}"})
                if reply.status not in {503, 409}:
                    return reply.code
                await asyncio.sleep(0.05)
            return "NEVER"

        crash = asyncio.create_task(own_postgres.crash())
        asking = []
        for n, proof in enumerate(proofs):
            asking.append(asyncio.create_task(until_it_is_certain(n, proof)))
            await asyncio.sleep(0.002)
        await crash
        async with open_pool(dsn, application="test", max_size=1) as pool:
            # Whoever was cut off between claim and answer would else have to wait for a minute.
            for _ in range(10):
                await pool.execute("UPDATE idempotent_answers SET created_at = created_at - interval '2 minutes'")
                if all(task.done() for task in asking):
                    break
                await asyncio.sleep(0.5)
            assert set(await asyncio.gather(*asking)) == {"VALID"}
            assert await pool.fetchval("SELECT count(*) FROM transactions") == len(proofs)


async def test_without_redis_everything_but_the_sharing_of_limits_goes_on(database_url, pool):
    limits = {"VERIFY_RATE_LIMIT": 1_000, "AUTH_RATE_LIMIT": 1_000, "PUBLIC_RATE_LIMIT": 1_000}
    async with running_api(database_url, NO_REDIS, [NO_NODE], VERIFY_WAIT_MS=0, **limits) as api:
        vendor = await Vendor(api, pool).open()
        admin = api.holding(await key_for(pool, "operations", ("read", "write", "admin")))
        for operation, (_, body, allowed) in OPERATIONS.items():
            reply = await admin.call(operation.split()[0], path_of(operation), body)
            assert reply.status == allowed, operation
        proof = vendor.proof(await vendor.paid())
        assert (await vendor.client.verify(proof)).code == "VALID"
        assert (await vendor.client.verify(proof)).code == "REPLAY_ATTACK"
        ready = await api.get("/ready")
        assert (ready.status, ready["parts"]["redis"]["status"]) == (200, "down")
        assert "pay402_redis_up 0.0" in (await api.get("/metrics")).text


async def test_with_a_node_that_is_down_a_claim_is_pending_and_is_settled_later(vendor):
    proof = vendor.proof(new_signature())
    assert (await vendor.client.verify(proof)).code == "PAYMENT_PENDING"
    await vendor.paid(10_000, signature=proof["transactionId"])
    assert (await vendor.client.verify(proof)).code == "VALID"


async def test_what_a_slow_database_cannot_decide_is_sent_away_at_once(database_url, redis_url, pool):
    async with running_api(database_url, redis_url, [NO_NODE], VERIFY_WAIT_MS=0, API_UNDECIDED_MAX=20) as api:
        vendor = await Vendor(api, pool).open()
        proofs = [vendor.proof(await vendor.paid(), nonce=f"nonce {n}") for n in range(250)]
        await vendor.client.verify(proofs[0])
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("LOCK TABLE transactions IN ACCESS EXCLUSIVE MODE")
            asking = [asyncio.create_task(vendor.client.verify(proof)) for proof in proofs]
            await eventually(lambda: sum(task.done() for task in asking) > 50)
            assert {task.result().status for task in asking if task.done()} == {503}
            assert (await api.get("/health")).status == 200
        replies = await asyncio.gather(*asking)
        codes = [reply.code for reply in replies]
        assert set(codes) <= {"VALID", "REPLAY_ATTACK", "UNAVAILABLE"}
        assert codes.count("VALID") >= 20
        assert all(reply.headers["Retry-After"] for reply in replies if reply.status == 503)
        # Nobody who was sent away has lost anything.
        again = [await vendor.client.verify(proof) for proof, code in zip(proofs, codes, strict=True) if code[0] == "U"]
        assert {reply.code for reply in again} == {"VALID"}


async def test_more_requests_than_there_is_room_for_are_asked_to_come_again(database_url, redis_url, pool):
    async with running_api(database_url, redis_url, [NO_NODE], VERIFY_WAIT_MS=2_000, API_REQUESTS_MAX=5) as api:
        vendor = await Vendor(api, pool).open()
        waiting = [
            asyncio.create_task(vendor.client.verify(vendor.proof(new_signature(), nonce=f"{n}"))) for n in range(5)
        ]
        await asyncio.sleep(0.3)
        refused = await vendor.client.verify(vendor.proof(await vendor.paid()))
        assert (refused.status, refused.code) == (503, "UNAVAILABLE")
        assert refused.headers["Retry-After"]
        assert refused["requestId"] == refused.headers["X-Request-Id"]
        assert (await api.get("/health")).status == 200
        assert {reply.code for reply in await asyncio.gather(*waiting)} == {"PAYMENT_PENDING"}
        assert (await vendor.client.verify(vendor.proof(await vendor.paid()))).code == "VALID"


async def test_nothing_is_honoured_for_somebody_who_has_hung_up(database_url, redis_url, pool):
    async with running_api(database_url, redis_url, [NO_NODE], VERIFY_WAIT_MS=20_000) as api:
        vendor = await Vendor(api, pool).open()
        proof = vendor.proof(new_signature())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await vendor.client.verify(proof)
        await vendor.paid(10_000, signature=proof["transactionId"])
        await asyncio.sleep(1)
        assert await pool.fetchval("SELECT count(*) FROM transactions WHERE status <> 'pending'") == 0
        assert (await vendor.client.verify(proof)).code == "VALID"


async def test_what_is_under_way_at_the_end_is_answered(database_url, redis_url, pool, tmp_path):
    async with api_processes(1, database_url, redis_url, tmp_path, VERIFY_WAIT_MS="20000") as ([process], [client]):
        vendor = await Vendor(client, pool).open()
        proof = vendor.proof(new_signature())
        asking = asyncio.create_task(vendor.client.verify(proof))
        await asyncio.sleep(0.5)
        process.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.get("/health")
        started = time.monotonic()
        await book(pool, vendor.buyer.pubkey(), vendor.wallet, 10_000, signature=proof["transactionId"])
        assert (await asking).code == "VALID"
        assert await asyncio.wait_for(process.process.wait(), 20) == 0
        assert time.monotonic() - started < 10
        events = [line["event"] for line in process.lines()]
        assert events.index("draining") < events.index("request")
