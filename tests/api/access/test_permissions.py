"""Who may do what: every route with every kind of key, and the lives of keys and tokens."""

import datetime as dt
import hashlib
import time
from http import HTTPStatus

import jwt
import pytest
from pydantic import ValidationError
from solders.keypair import Keypair
from structlog.testing import capture_logs

from api.settings import ApiSettings
from tests.support.api_client import key_for, running_api
from tests.support.api_operations import (
    ANY,
    BOOTSTRAP,
    BUYER,
    OPERATIONS,
    PUBLIC,
    SECRET,
    bearing,
    path_of,
    prefix,
)
from tests.support.ledger_checks import eventually
from tests.support.ledger_rows import NO_NODE

NOBODYS = {None, "bad", "revoked", "expired", "demo-key", "demo_key", "token of the revoked"}


def expected(holder, needed, allowed):
    if needed is None or (holder is None and needed in {PUBLIC, BUYER}):
        return allowed
    if holder in NOBODYS:
        return 401
    # A token that was given the right to read may what a key to read may.
    holder = "read" if holder == "token" else holder
    return (
        allowed if holder == "admin" or needed in {PUBLIC, ANY, holder} or (needed, holder) == (BUYER, "write") else 403
    )


async def holders(api, admin, pool):
    """The headers that each kind of caller sends."""
    past = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    keys = {name: await key_for(pool, permissions=[name]) for name in ("read", "write", "admin")}
    keys |= {"bad": "sk_live_" + "0" * 74, "expired": await key_for(pool, expires_at=past)}
    keys |= {"revoked": await key_for(pool), "demo-key": "demo-key", "demo_key": "demo_key"}
    headers = {None: {}} | {name: {"x-api-key": key} for name, key in keys.items()}
    full = api.holding(await key_for(pool))
    headers["token"] = bearing((await full.post("/auth/token", {"permissions": ["read"]}))["token"])
    headers["token of the revoked"] = bearing((await api.holding(keys["revoked"]).post("/auth/token"))["token"])
    assert (await admin.delete(f"/api-keys/{prefix(keys['revoked'])}")).status == 200
    return headers


@pytest.mark.parametrize("environment", ["test", "production"])
async def test_every_route_asks_everybody_for_the_right_key(database_url, redis_url, net, pool, environment):
    async with running_api(
        database_url, redis_url, [net.rpc_url], APP_ENV=environment, JWT_SECRET=SECRET, VERIFY_WAIT_MS=0
    ) as api:
        admin = api.holding(await key_for(pool, "operations", ("read", "write", "admin")))
        paths = (await api.get("/openapi.json"))["paths"]
        assert {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods} == set(OPERATIONS)
        callers = await holders(api, admin, pool)
        wrong = {}
        for operation, (needed, body, allowed) in OPERATIONS.items():
            method, path = operation.split()[0], path_of(operation)
            for holder, headers in callers.items():
                reply = await api.call(method, path, body, headers=headers)
                right = expected(holder, needed, allowed)
                if operation == "POST /auth/token" and holder == "token":
                    right = 403
                if (operation, environment, right) == ("POST /marketplace/seed", "production", 409):
                    right = 403  # not without ?confirm=true
                code = {401: "INVALID_API_KEY", 403: "FORBIDDEN"}.get(right)
                if reply.status != right or (code and reply.code != code):
                    wrong[operation, holder] = (reply.status, right)
        assert not wrong


@pytest.mark.parametrize("name", ["demo-key", "demo_key"])
async def test_the_demo_key_opens_development_and_nothing_else(database_url, redis_url, net, name):
    parts = (database_url, redis_url, [net.rpc_url])
    async with running_api(*parts, APP_ENV="development") as client:
        assert (await client.holding(name).get("/api-keys")).status == 200
        assert (await client.holding(name).post("/marketplace/seed")).status == 403
    for settings in ({"APP_ENV": "test"}, {"APP_ENV": "production", "JWT_SECRET": SECRET}):
        async with running_api(*parts, **settings) as client:
            with capture_logs() as lines:
                assert (await client.holding(name).get("/api-keys")).status == 401
            reported = [line["environment"] for line in lines if line["event"] == "demo_key_refused"]
            assert reported == [settings["APP_ENV"]]


async def test_a_token_is_good_as_long_as_its_key(merchant, api):
    token = (await merchant.post("/auth/token", {"permissions": ["read"]}))["token"]
    assert (await api.get("/api-keys", headers=bearing(token))).status == 200
    assert (await api.post("/api-keys", {"name": "more"}, headers=bearing(token))).status == 403
    assert (await merchant.delete(f"/api-keys/{prefix(merchant.key)}")).status == 200
    refused = await api.get("/api-keys", headers=bearing(token))
    assert (refused.status, refused.code) == (401, "INVALID_API_KEY")
    assert refused.headers["www-authenticate"] == "Bearer"


async def test_only_tokens_that_were_signed_here_for_here_are_believed(database_url, redis_url, net, pool):
    key = await key_for(pool)
    now = int(time.time())
    claims = {"sub": "merchant", "aud": "402pay", "iat": now, "exp": now + 60, "key": prefix(key)}
    claims["permissions"] = ["read", "write", "admin"]
    good = jwt.encode(claims, SECRET, "HS256")
    forged = [
        jwt.encode(claims, None, "none"),
        jwt.encode(claims, SECRET[::-1], "HS256"),
        jwt.encode(claims, SECRET * 2, "HS512"),
        jwt.encode(claims | {"aud": "another"}, SECRET, "HS256"),
        jwt.encode(claims | {"exp": now - 1}, SECRET, "HS256"),
        jwt.encode(claims | {"sub": "operations"}, SECRET, "HS256"),
        jwt.encode({name: claims[name] for name in claims if name != "exp"}, SECRET, "HS256"),
        good.rpartition(".")[0] + ".",
    ]
    async with running_api(database_url, redis_url, [net.rpc_url], JWT_SECRET=SECRET) as client:
        assert (await client.get("/api-keys", headers=bearing(good))).status == 200
        assert (await client.post("/marketplace/seed", headers=bearing(good))).status == 403
        assert [(await client.get("/api-keys", headers=bearing(token))).status for token in forged] == [401] * 8


async def test_what_is_anothers_does_not_exist(api, admin, merchant, pool):
    stranger = api.holding(await key_for(pool, "stranger"))
    wallet = str(Keypair().pubkey())
    assert (await admin.post("/recipients", {"address": wallet, "userId": "merchant"})).status == 201
    nonce = (await merchant.post("/payments/requests", {"amount": 1, "currency": "USDC"}))["nonce"]
    key = f"/api-keys/{prefix(merchant.key)}"
    tries = [("DELETE", key), ("POST", f"{key}/rotate"), ("DELETE", f"/recipients/{wallet}")]
    for method, path in [*tries, ("GET", f"/payments/requests/{nonce}")]:
        refused = await stranger.call(method, path)
        assert (refused.status, refused.code) == (404, "NOT_FOUND"), path
    assert [listed["userId"] for listed in (await stranger.get("/api-keys"))["apiKeys"]] == ["stranger"]
    assert (await stranger.get("/recipients"))["total"] == 0
    assert (await merchant.get(f"/payments/requests/{nonce}")).status == 200
    assert (await merchant.delete(f"/recipients/{wallet}")).status == 200


async def test_a_key_is_shown_once_and_kept_as_a_hash(merchant, pool):
    made = await merchant.post("/api-keys", {"name": "shop"})
    key = made["apiKey"]
    row = await pool.fetchrow("SELECT * FROM api_keys WHERE key_prefix = $1", made["keyPrefix"])
    assert row["key"] == hashlib.sha256(key.encode()).hexdigest()
    assert key not in str(dict(row))
    assert len(key) - len(made["keyPrefix"]) == 64
    assert key not in (await merchant.get("/api-keys")).text


async def test_a_rotated_key_is_good_until_its_grace_ends(api, merchant, pool):
    new = await merchant.post(f"/api-keys/{prefix(merchant.key)}/rotate", {"graceMs": 600_000})
    assert new.status == 201
    assert (await merchant.get("/recipients")).status == HTTPStatus.OK
    # Ten minutes later.
    await pool.execute("UPDATE api_keys SET revoked_at = revoked_at - interval '10 min' WHERE replaced_by IS NOT NULL")

    async def is_refused():
        return (await merchant.get("/recipients")).status == HTTPStatus.UNAUTHORIZED

    await eventually(is_refused)
    listed = (await api.holding(new["apiKey"]).get("/api-keys?includeRevoked=true"))["apiKeys"]
    assert {row["keyPrefix"]: row["revoked"] for row in listed} == {
        new["keyPrefix"]: False,
        prefix(merchant.key): True,
    }


@pytest.mark.parametrize("variable", ["JWT_SECRET", "BOOTSTRAP_TOKEN"])
async def test_a_short_secret_is_refused_in_production_and_warned_of_elsewhere(database_url, redis_url, pool, variable):
    with pytest.raises(ValidationError, match="32 characters"):
        ApiSettings(**{"APP_ENV": "production", variable: "x" * 31})
    with capture_logs() as lines:
        async with running_api(database_url, redis_url, [NO_NODE], **{variable: "hunter2"}) as client:
            made = await client.holding(await key_for(pool)).post("/auth/token")
            assert made.status == 200
            assert (await client.get("/api-keys", headers=bearing(made["token"]))).status == 200
    reported = [line for line in lines if line["event"] == "short_secret"]
    assert [(line["variable"], line["log_level"]) for line in reported] == [(variable, "warning")]
    assert "hunter2" not in str(lines)
    if variable == "JWT_SECRET":
        assert jwt.decode(made["token"], "hunter2".ljust(32, "\0"), ["HS256"], audience="402pay")["sub"] == "merchant"


async def test_a_key_that_may_only_write_has_a_token_that_may_only_write(api, pool):
    token = await api.holding(await key_for(pool, permissions=["write"])).post("/auth/token")
    assert (token.status, token["permissions"]) == (200, ["write"])


async def test_nobody_hands_out_more_than_they_have(api, merchant, pool):
    for more in ({"permissions": ["read", "admin"]}, {"userId": "operations"}, {"environment": "test"}):
        assert (await merchant.post("/api-keys", {"name": "more", **more})).status == 403
    assert (await merchant.post("/auth/token", {"permissions": ["admin"]})).status == 403
    writer = api.holding(await key_for(pool, permissions=["write"]))
    assert (await writer.post(f"/api-keys/{prefix(merchant.key)}/rotate")).status == 403
    assert (await writer.post("/api-keys", {"name": "more"})).status == 403


async def test_the_bootstrap_token_makes_one_admin_key(database_url, redis_url, net):
    async with running_api(database_url, redis_url, [net.rpc_url], BOOTSTRAP_TOKEN=BOOTSTRAP) as client:

        async def make(token=BOOTSTRAP):
            return await client.post("/api-keys", {"name": "first"}, headers=bearing(token))

        assert (await make(BOOTSTRAP + "x")).status == 401
        made = await make()
        assert made.status == 201
        assert (await make()).code == "CONFLICT"
        first = client.holding(made["apiKey"])
        assert (await first.get("/api-keys"))["total"] == 1
        assert (await first.get("/api-keys", headers=bearing(BOOTSTRAP))).status == 200
