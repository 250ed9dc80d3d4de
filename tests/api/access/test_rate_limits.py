"""Limits on requests: over replicas, with and without Redis, for what comes together and for what is malformed."""

import asyncio
import time

import pytest

from tests.support.api_client import key_for, running_api
from tests.support.api_processes import own_redis
from tests.support.ledger_rows import NO_NODE, Vendor


async def test_replicas_share_a_limit_and_keep_it_alone_without_redis(database_url, redis_url, pool, net):
    # A window that ends meanwhile would prove nothing.
    await asyncio.sleep(max(time.time() % 60 - 50, 0) and 60 - time.time() % 60)
    key, limits = await key_for(pool), {"AUTH_RATE_LIMIT": 5}
    async with (
        running_api(database_url, redis_url, [net.rpc_url], **limits) as one,
        running_api(database_url, redis_url, [net.rpc_url], **limits) as two,
        running_api(database_url, "redis://127.0.0.1:9", [net.rpc_url], **limits) as alone,
    ):
        replies = [await client.holding(key).get("/api-keys") for client in (one, two) for _ in range(4)]
        assert [reply.status for reply in replies] == [200] * 5 + [429] * 3
        assert replies[-1].code == "RATE_LIMIT_EXCEEDED"
        reported = {"Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "RateLimit-Policy"}
        assert all(name in replies[-1].headers for name in reported)
        assert [(await alone.holding(key).get("/api-keys")).status for _ in range(7)] == [200] * 5 + [429] * 2
        for path in ("/health", "/ready", "/metrics"):
            assert {(await one.get(path)).status for _ in range(8)} <= {200}


async def window_of_its_own():
    """Wait until a minute has enough left of it: a window that ends meanwhile would prove nothing."""
    await asyncio.sleep(max(time.time() % 60 - 40, 0) and 60 - time.time() % 60)


@pytest.mark.parametrize("has_redis", [True, False], ids=["with Redis", "without Redis"])
@pytest.mark.parametrize("limit", [100, 110])
async def test_a_limit_is_what_is_served_of_those_that_come_together(database_url, redis_url, pool, has_redis, limit):
    url = redis_url if has_redis else "redis://127.0.0.1:9"
    async with running_api(database_url, url, [NO_NODE], AUTH_RATE_LIMIT=limit) as api:
        client = api.holding(await key_for(pool))
        await window_of_its_own()
        replies = await asyncio.gather(*(client.get("/auth/none-such-as-this") for _ in range(3)))
        assert {reply.status for reply in replies} == {404}
        replies = await asyncio.gather(*(client.get("/api-keys") for _ in range(150)))
        statuses = [reply.status for reply in replies]
        assert set(statuses) == {200, 429}
        assert limit - 5 <= statuses.count(200) <= limit + 5
        assert (await client.get("/api-keys")).status == 429


async def test_two_replicas_serve_together_what_the_limit_says(database_url, redis_url, pool):
    async with (
        running_api(database_url, redis_url, [NO_NODE], AUTH_RATE_LIMIT=100) as one,
        running_api(database_url, redis_url, [NO_NODE], AUTH_RATE_LIMIT=100) as two,
    ):
        key = await key_for(pool)
        await window_of_its_own()
        calls = [client.holding(key).get("/api-keys") for _ in range(75) for client in (one, two)]
        statuses = [reply.status for reply in await asyncio.gather(*calls)]
        assert 90 <= statuses.count(200) <= 110


MALFORMED = {
    "no JSON": ("/verify", b"{", "application/json"),
    "no fields": ("/verify", b"{}", "application/json"),
    "another type": ("/verify", b"{}", "text/plain"),
    "too large": ("/verify", b" " * 1_000_001, "application/json"),
    "no JSON for another route": ("/payments/requests", b"[", "application/json"),
    "no fields for another route": ("/payments/requests", b"{}", "application/json"),
}


async def test_what_is_malformed_counts_for_its_key(database_url, redis_url, pool):
    limits = {"AUTH_RATE_LIMIT": 5, "VERIFY_RATE_LIMIT": 5}
    async with running_api(database_url, redis_url, [NO_NODE], **limits) as api:
        await window_of_its_own()
        for name, (path, body, content_type) in MALFORMED.items():
            client, headers = api.holding(await key_for(pool)), {"Content-Type": content_type}
            replies = [await client.call("POST", path, data=body, headers=headers) for _ in range(7)]
            assert all(400 <= reply.status < 429 for reply in replies[:5]), (name, replies)
            assert [reply.code for reply in replies[5:]] == ["RATE_LIMIT_EXCEEDED"] * 2, name


async def test_what_is_malformed_counts_for_an_address(database_url, redis_url):
    async with own_redis() as redis, running_api(database_url, redis.url, [NO_NODE], PUBLIC_RATE_LIMIT=5) as api:
        await window_of_its_own()
        replies = [
            await api.call("POST", path, data=body, headers={"Content-Type": content_type})
            for path, body, content_type in MALFORMED.values()
            # Verifications have a limit of their own.
            if path != "/verify" or content_type == "text/plain" or len(body) > 1_000
        ]
        assert [reply.status for reply in replies] == [415, 413, 400, 401]
        replies = [await api.call("POST", "/payments", data=b"{", headers={"Content-Type": "a/b"}) for _ in range(3)]
        assert [reply.status for reply in replies] == [415, 429, 429]


@pytest.mark.parametrize("has_key", [True, False], ids=["with a key", "without"])
async def test_replays_of_an_idempotency_key_count(database_url, redis_url, pool, has_key):
    limits = {"AUTH_RATE_LIMIT": 5, "VERIFY_RATE_LIMIT": 5, "PUBLIC_RATE_LIMIT": 5, "VERIFY_WAIT_MS": 100}
    async with own_redis() as redis, running_api(database_url, redis.url, [NO_NODE], **limits) as api:
        vendor = await Vendor(api, pool).open()
        asked = await vendor.requested()
        client = vendor.client if has_key else api
        proof = vendor.proof(await vendor.paid(), nonce=asked["nonce"])
        await window_of_its_own()
        replies = [await client.verify(proof, headers={"Idempotency-Key": "one"}) for _ in range(7)]
        assert [reply.status for reply in replies] == [200] * 5 + [429] * 2
        assert [reply.headers.get("Idempotent-Replayed") for reply in replies] == [None] + ["true"] * 4 + [None] * 2
        assert replies[-1]["valid"] is False
        orders = [{"amount": amount, "currency": "USDC"} for amount in (1, 1, 2, 1, 2, 1, 2)]
        replies = [await client.post("/payments/requests", one, headers={"Idempotency-Key": "two"}) for one in orders]
        # A replay, or a conflict with another request: each is one of those that are counted.
        first = [201, 201, 409, 201, 409] if has_key else [401] * 2 + [409, 401, 409]
        assert [reply.status for reply in replies] == [*first, 429, 429]
        # What is one too many is not kept as the answer to a new key either.
        refused = await client.post("/payments/requests", orders[0], headers={"Idempotency-Key": "three"})
        assert refused.code == "RATE_LIMIT_EXCEEDED"
        assert await pool.fetchval("SELECT count(*) FROM idempotent_answers WHERE idempotency_key = 'three'") == 0
