"""Keys between processes, at their ends, and in the hands of somebody who wants more than they were given."""

import asyncio
import datetime as dt
import time

import pytest

from tests.support.api_client import key_for, running_api
from tests.support.api_operations import BOOTSTRAP, bearing, prefix
from tests.support.api_processes import api_processes
from tests.support.ledger_checks import eventually
from tests.support.ledger_rows import NO_NODE

SOON = dt.timedelta(minutes=5)


async def test_a_revoked_key_is_refused_by_every_process_within_five_seconds(database_url, redis_url, pool, tmp_path):
    async with api_processes(2, database_url, redis_url, tmp_path) as (_, clients):
        key, other, soon = [await key_for(pool) for _ in range(3)]
        for client in clients:
            assert (await client.holding(key).get("/recipients")).status == 200
            assert (await client.holding(soon).get("/recipients")).status == 200
        revoker = clients[0].holding(other)
        assert (await revoker.delete(f"/api-keys/{prefix(key)}")).status == 200
        started = time.monotonic()

        async def is_refused_everywhere():
            replies = [await client.holding(key).get("/recipients") for client in clients]
            return {reply.status for reply in replies} == {401}

        await eventually(is_refused_everywhere)
        assert time.monotonic() - started < 5
        # No notification tells of this one: an operator wrote it, or the notification was lost.
        ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
        await pool.execute("UPDATE api_keys SET expires_at = $1 WHERE key_prefix = $2", ends, prefix(soon))
        started = time.monotonic()

        async def has_expired_everywhere():
            replies = [await client.holding(soon).get("/recipients") for client in clients]
            return {reply.status for reply in replies} == {401}

        await eventually(has_expired_everywhere)
        assert time.monotonic() - started < 1 + 5


async def test_last_use_is_written_now_and_then_and_at_the_end(database_url, redis_url, pool):
    key = await key_for(pool)
    async with running_api(database_url, redis_url, [NO_NODE]) as api:
        before = await pool.fetchval("SELECT pg_current_xact_id()::text::bigint")
        for _ in range(50):
            assert (await api.holding(key).get("/recipients")).status == 200
        after = await pool.fetchval("SELECT pg_current_xact_id()::text::bigint")
        # Our own looks take a number each; fifty requests wrote next to nothing.
        assert after - before <= 3
    assert await pool.fetchval("SELECT last_used FROM api_keys") is not None


async def test_a_first_key_is_made_once_however_many_ask(database_url, redis_url, pool, tmp_path):
    async with api_processes(2, database_url, redis_url, tmp_path, BOOTSTRAP_TOKEN=BOOTSTRAP) as (_, clients):
        calls = [
            clients[n % 2].post("/api-keys", {"name": f"first {n}"}, headers=bearing(BOOTSTRAP)) for n in range(20)
        ]
        statuses = sorted(reply.status for reply in await asyncio.gather(*calls))
        assert statuses == [201] + [409] * 19
        assert await pool.fetchval("SELECT count(*) FROM api_keys WHERE 'admin' = ANY(permissions)") == 1


async def test_in_development_an_empty_table_lets_one_first_call_through(database_url, redis_url, pool):
    async with running_api(database_url, redis_url, [NO_NODE], APP_ENV="development") as api:
        replies = await asyncio.gather(*(api.post("/api-keys", {"name": f"first {n}"}) for n in range(10)))
        assert sorted(reply.status for reply in replies) == [201] + [401] * 9
    async with running_api(database_url, redis_url, [NO_NODE], APP_ENV="production") as api:
        await pool.execute("DELETE FROM api_keys")
        assert (await api.post("/api-keys", {"name": "first"})).status == 401


async def test_a_key_lends_no_more_than_its_own_time_and_care(vendor, pool):
    ends = dt.datetime.now(dt.UTC) + SOON
    brief = vendor.api.holding(await key_for(pool, expires_at=ends, final_only=True))
    made = await brief.post("/api-keys", {"name": "for ever"})
    assert made.status == 201
    assert abs(made["expiresAt"] - ends.timestamp() * 1000) < 2
    assert await pool.fetchval("SELECT final_only FROM api_keys WHERE key_prefix = $1", made["keyPrefix"])
    later = int((ends + SOON).timestamp() * 1000)
    longer = await brief.post("/api-keys", {"name": "longer", "expiresAt": later})
    assert abs(longer["expiresAt"] - ends.timestamp() * 1000) < 2
    past = await brief.post("/api-keys", {"name": "late", "expiresAt": 1})
    assert (past.status, past.code) == (400, "VALIDATION_ERROR")


async def test_a_replaced_key_can_neither_be_replaced_again_nor_outlive_its_grace(vendor):
    old = vendor.client
    replaced = await old.post(f"/api-keys/{prefix(old.key)}/rotate", {"graceMs": 60_000})
    assert replaced.status == 201
    assert replaced["replacedKeyPrefix"] == prefix(old.key)
    assert (await old.post(f"/api-keys/{prefix(old.key)}/rotate")).code == "CONFLICT"
    made = await old.post("/api-keys", {"name": "late"})
    assert made["expiresAt"] <= (time.time() + 61) * 1000
    rotations = await asyncio.gather(
        *(vendor.api.holding(replaced["apiKey"]).post(f"/api-keys/{replaced['keyPrefix']}/rotate") for _ in range(6))
    )
    assert sorted(reply.status for reply in rotations) == [201] + [409] * 5


async def test_a_token_makes_neither_keys_nor_newer_tokens(vendor):
    token = (await vendor.client.post("/auth/token", {}))["token"]
    for path, body in (
        ("/auth/token", {}),
        ("/api-keys", {"name": "mine"}),
        (f"/api-keys/{prefix(vendor.client.key)}/rotate", None),
    ):
        refused = await vendor.api.post(path, body, headers=bearing(token))
        assert (refused.status, refused.code) == (403, "FORBIDDEN"), path
    assert (await vendor.api.get("/recipients", headers=bearing(token))).status == 200


async def test_a_token_of_an_admin_may_what_it_was_given(vendor, pool):
    admin = vendor.api.holding(await key_for(pool, "operations", ("admin",)))
    token = (await admin.post("/auth/token", {"permissions": ["read"]}))["token"]
    assert (await vendor.api.get("/recipients", headers=bearing(token))).status == 200
    assert (await vendor.api.post("/ops/reconcile", headers=bearing(token))).status == 403


async def test_a_key_with_more_rights_is_not_revoked_by_one_with_fewer(vendor, pool):
    admin_key = await key_for(pool, vendor.user, ("read", "write", "admin"))
    refused = await vendor.client.delete(f"/api-keys/{prefix(admin_key)}")
    assert (refused.status, refused.code) == (403, "FORBIDDEN")
    assert (await vendor.api.holding(admin_key).delete(f"/api-keys/{prefix(vendor.client.key)}")).status == 200


async def test_who_guesses_keys_is_limited_like_everybody_without_one(database_url, redis_url, pool):
    async with running_api(database_url, redis_url, [NO_NODE], PUBLIC_RATE_LIMIT=20) as api:
        good = api.holding(await key_for(pool))
        statuses = [(await api.holding(f"sk_live_{n:074}").get("/recipients")).status for n in range(45)]
        assert set(statuses) == {401, 429}
        assert statuses.count(401) <= 40
        assert (await good.get("/recipients")).status == 200


async def test_odd_credentials_are_nobodys(vendor):
    for headers in (
        {"x-api-key": "sk_live_" + "\xff" * 10},
        {"x-api-key": "x" * 8_000},
        {"authorization": "Bearer a.b.c"},
        {"authorization": "Bearer \xe9\xff"},
        {"authorization": "Bearer sk_live_"},
        {"x-api-key": "' OR 1=1 --"},
    ):
        refused = await vendor.api.get("/recipients", headers=headers)
        assert (refused.status, refused.code) == (401, "INVALID_API_KEY"), headers
    assert (await vendor.api.get("/recipients", headers={"authorization": "Basic abc"})).status == 401
    # The hash of a key, which a thief of the table has, is no key.
    hashed = await vendor.pool.fetchval("SELECT key FROM api_keys LIMIT 1")
    for credential in (hashed, prefix(vendor.client.key)):
        assert (await vendor.api.holding(credential).get("/recipients")).status == 401


async def test_a_list_shows_what_is_good_and_when_it_ends(vendor, pool):
    past = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    expired = prefix(await key_for(pool, vendor.user, expires_at=past))
    revoked = (await vendor.client.post("/api-keys", {"name": "revoked"}))["keyPrefix"]
    assert (await vendor.client.delete(f"/api-keys/{revoked}")).status == 200
    replaced = (await vendor.client.post("/api-keys", {"name": "replaced"}))["keyPrefix"]
    rotated = await vendor.client.post(f"/api-keys/{replaced}/rotate", {"graceMs": 60_000})
    ends = rotated["replacedKeyGoodUntil"]
    assert replaced in rotated["warning"]
    assert rotated["expiresAt"] is None

    async def listed(query=""):
        reply = await vendor.client.get(f"/api-keys{query}")
        assert reply["total"] == len(reply["apiKeys"])
        return {key["keyPrefix"]: key for key in reply["apiKeys"]}

    good, every = await listed(), await listed("?includeRevoked=true")
    assert set(good) == {prefix(vendor.client.key), replaced, rotated["keyPrefix"]}
    assert set(every) == set(good) | {expired, revoked}
    # One that knows no graceEndsAt reads expiresAt.
    assert (good[replaced]["graceEndsAt"], good[replaced]["expiresAt"], good[replaced]["revoked"]) == (
        ends,
        ends,
        False,
    )
    assert good[rotated["keyPrefix"]]["graceEndsAt"] is good[rotated["keyPrefix"]]["expiresAt"] is None
    assert (every[revoked]["revoked"], every[expired]["revoked"]) == (True, False)


@pytest.mark.parametrize("end", ["expired", "revoked"])
async def test_a_key_that_has_ended_is_not_replaced_by_a_dead_one(vendor, pool, end):
    past = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    old = prefix(await key_for(pool, vendor.user, expires_at=past if end == "expired" else None))
    if end == "revoked":
        assert (await vendor.client.delete(f"/api-keys/{old}")).status == 200
    before = await pool.fetchval("SELECT count(*) FROM api_keys")
    refused = await vendor.client.post(f"/api-keys/{old}/rotate")
    assert (refused.status, refused.code) == (409, "CONFLICT")
    assert await pool.fetchval("SELECT count(*) FROM api_keys") == before


@pytest.mark.parametrize("permissions", [("read", "write"), ("read", "write", "admin")])
@pytest.mark.parametrize("credential", ["key", "token"])
async def test_a_test_key_touches_nothing_that_is_live(vendor, pool, permissions, credential):
    tester = vendor.api.holding(await key_for(pool, vendor.user, permissions, environment="test"))
    headers = bearing((await tester.post("/auth/token"))["token"]) if credential == "token" else {}
    caller = vendor.api if credential == "token" else tester
    live = prefix(vendor.client.key)
    for method, path, body in (
        ("DELETE", f"/api-keys/{live}", None),
        ("POST", f"/api-keys/{live}/rotate", None),
        ("POST", "/api-keys", {"name": "live", "environment": "live"}),
    ):
        refused = await caller.call(method, path, body, headers=headers)
        assert (refused.status, refused.code) == (403, "FORBIDDEN"), path
    assert await pool.fetchval("SELECT revoked_at IS NULL FROM api_keys WHERE key_prefix = $1", live)
    other = prefix(await key_for(pool, vendor.user, environment="test"))
    assert (await caller.call("DELETE", f"/api-keys/{other}", headers=headers)).status == 200
