"""What a verification costs: no call of a node, two statements, one commit."""

import asyncio
import contextlib
import os
import time

from fastapi import Request

from api.access.caller import Caller
from api.routing.route import new_router
from api.verify.proof import SubmittedProof, Verification
from ledger.judge import Outcome
from tests.support.api_client import running_api
from tests.support.ledger_checks import eventually
from tests.support.ledger_rows import NO_NODE, Vendor, counting_node, new_signature


@contextlib.asynccontextmanager
async def open_till(database_url, redis_url, pool, node, **settings):
    """A vendor whose API shows what its rooms work with; yields both."""
    found, router = [], new_router()

    @router.get("/rooms", include_in_schema=False)
    async def show(request: Request):
        found.append(request.app.state)

    async with running_api(database_url, redis_url, [node], more=[router], **settings) as api:
        await api.get("/rooms", is_documented=False)
        yield await Vendor(api, pool).open(), found[0]


async def test_an_indexed_payment_is_verified_without_any_call_of_a_node(database_url, redis_url, pool):
    async with (
        counting_node() as (node, asked),
        open_till(database_url, redis_url, pool, node, VERIFY_WAIT_MS=1_000) as (vendor, _),
    ):
        # When the API starts, it asks which cluster the node is of.
        assert set(asked) <= {"getGenesisHash"}
        asked.clear()
        for _ in range(20):
            proof = vendor.proof(await vendor.paid())
            assert (await vendor.client.verify(proof)).code == "VALID"
            assert (await vendor.client.verify(proof)).code == "REPLAY_ATTACK"
        assert (await vendor.client.verify(vendor.proof(await vendor.paid(), "1"))).code == "INSUFFICIENT_AMOUNT"
        assert asked == []
        # The counter counts: a payment that nobody has seen is asked for once.
        assert (await vendor.client.verify(vendor.proof(new_signature()))).code == "PAYMENT_PENDING"
        assert asked == ["getTransaction"]


async def test_a_verification_is_two_statements_and_one_commit(database_url, redis_url, pool):
    statements = []
    async with open_till(database_url, redis_url, pool, NO_NODE) as (vendor, rooms):
        # A key is looked up once in three seconds, and a connection learns our types once: neither is counted here.
        for _ in range(5):
            await asyncio.gather(*[vendor.client.verify(vendor.proof(await vendor.paid())) for _ in range(10)])
        for connections in (rooms.verify.verifier._batches._pool, rooms.routing.database):
            async with connections.acquire() as one, connections.acquire() as other:
                for connection in (one, other):
                    connection.add_query_logger(lambda record: statements.append(record.query))
        proof = vendor.proof(await vendor.paid())
        statements.clear()
        before = await pool.fetchval("SELECT pg_current_xact_id()::text::bigint")
        reply = await vendor.client.verify(proof)
        after = await pool.fetchval("SELECT pg_current_xact_id()::text::bigint")
        assert reply.code == "VALID"
        assert [statement.split()[0] for statement in statements] == ["SELECT", "WITH"], statements
        # Reading takes no number; what was written between our two looks is one transaction.
        assert after - before == 2


async def test_verifications_at_the_same_time_share_their_statements(database_url, redis_url, pool):
    async with open_till(database_url, redis_url, pool, NO_NODE) as (vendor, _):
        proofs = [vendor.proof(await vendor.paid()) for _ in range(100)]
        before = await pool.fetchval("SELECT pg_current_xact_id()::text::bigint")
        replies = await asyncio.gather(*(vendor.client.verify(proof) for proof in proofs))
        after = await pool.fetchval("SELECT pg_current_xact_id()::text::bigint")
        assert {reply.code for reply in replies} == {"VALID"}
        assert after - before < 60


async def test_of_those_who_come_together_one_half_is_answered_while_the_other_waits(database_url, redis_url, pool):
    reads = []
    async with open_till(database_url, redis_url, pool, NO_NODE) as (vendor, rooms):
        await asyncio.gather(*[vendor.client.verify(vendor.proof(await vendor.paid())) for _ in range(10)])
        batches = rooms.verify.verifier._batches
        assert batches._deciding == 0
        async with (
            batches._pool.acquire() as one,
            batches._pool.acquire() as another,
        ):
            for connection in (one, another):
                connection.add_query_logger(lambda record: reads.append(record.query.startswith("SELECT")))
        paid = [await vendor.paid() for _ in range(8)]
        token = await rooms.verify.tokens.find("USDC", None)

        caller = Caller(vendor.user, frozenset({"write"}), "live", "a key")

        def verification(transaction):
            now_ms = time.time_ns() // 1_000_000
            buyer, nonce = str(vendor.buyer.pubkey()), os.urandom(8).hex()
            proof = SubmittedProof(
                buyer, 1, True, nonce, transaction, token, 10_000, False, now_ms, vendor.wallet, None, None
            )  # fmt: skip
            return Verification(proof, caller, {})

        async with pool.acquire() as other, asyncio.TaskGroup() as group, other.transaction():
            await other.execute("SELECT FROM transfers WHERE signature = $1 FOR UPDATE", paid[0])
            deciding = [group.create_task(batches.decide(verification(transaction))) for transaction in paid]
            await asyncio.wait(deciding[4:], timeout=20)
            assert [one.done() for one in deciding] == [False] * 4 + [True] * 4
            # A statement is logged when its answer is there; the half that waits may get its own last.
            await eventually(lambda: len(reads) == 3)
            assert sum(reads) == 2, "each half is read by one statement"
        assert [one.result().outcome for one in deciding] == [Outcome.HONOURED] * 8
