"""What happens to requests before their route: bounds, forms of errors, ids, origins, limits, repeated requests."""

import asyncio
import time
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from tests.api.shop import key_for, proof_of, running_api

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "VALIDATION_ERROR"),
        (b"[" * 100_000, "application/json", 400, "VALIDATION_ERROR"),
        (b'{"nonce": "\xff"}', "application/json", 400, "VALIDATION_ERROR"),
        (b'{"nonce": "\\ud800"}', "application/json", 400, "VALIDATION_ERROR"),
        (b'{"amount": NaN}', "application/json", 400, "VALIDATION_ERROR"),
        (b'{"amount": ' + b"9" * 5000 + b"}", "application/json", 400, "VALIDATION_ERROR"),
        (b"null", "application/json", 400, "VALIDATION_ERROR"),
        (b"a=b", "application/x-www-form-urlencoded", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b" " * 1_000_001, "application/json", 413, "PAYLOAD_TOO_LARGE"),
    ],
)
async def test_a_body_that_is_none_is_refused_in_one_form(merchant, body, content_type, status, code):
    reply = await merchant.call("POST", "/verify", data=body, headers={"Content-Type": content_type})
    assert (reply.status, reply.code) == (status, code)
    assert reply["error"] == reply["message"]
    assert reply["requestId"] == reply.headers["X-Request-Id"]


async def test_a_body_without_a_declared_size_is_bounded_too(api):
    where = urlsplit(api.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(b"POST /verify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
    writer.write(b"Transfer-Encoding: chunked\r\n\r\n" + b"".join([b"10000\r\n" + b" " * 65_536 + b"\r\n"] * 20))
    assert b" 413 " in await reader.readline()
    writer.close()


@pytest.mark.parametrize("text", ["\0", "a\0b", "line\nbreak", "\x1b[31m", "", "n" * 257])
async def test_no_text_field_takes_control_characters(merchant, market, text):
    payer = market.payers[0]
    good = proof_of(payer, str(payer.sign_message(b"x")), 0.01)
    for field in ("nonce", "resource", "agentId", "currency"):
        assert (await merchant.verify({**good, field: text})).code == "VALIDATION_ERROR", field
    order = {"amount": 1, "currency": "USDC", "resource": text}
    assert (await merchant.post("/payments/requests", order)).code == "VALIDATION_ERROR"
    if "\0" in text:
        order = {"amount": 1, "currency": "USDC", "recipient": market.wallets[0], "metadata": {"note": text}}
        assert (await merchant.post("/payments/requests", order)).code == "VALIDATION_ERROR"


async def test_what_is_not_there_is_told_in_the_same_form(api):
    missing, wrong = await api.get("/nowhere"), await api.call("PUT", "/verify")
    assert (missing.status, missing.code) == (404, "NOT_FOUND")
    assert (wrong.status, wrong.code) == (405, "METHOD_NOT_ALLOWED")
    metrics = (await api.get("/metrics")).text
    assert "nowhere" not in metrics
    assert 'route="unmatched"' in metrics


async def test_a_request_keeps_its_id_or_is_given_one(api):
    given = await api.get("/health", headers={"X-Request-Id": "order-7"})
    assert given.headers["X-Request-Id"] == "order-7"
    odd = await api.get("/health", headers={"X-Request-Id": "a b<script>"})
    assert odd.headers["X-Request-Id"] not in {"", "a b<script>"}


async def test_only_exact_origins_get_cors_headers(api):
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    allowed = await api.call("OPTIONS", "/verify", headers={"Origin": "https://shop.example", **asked})
    assert allowed.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    with capture_logs() as lines:
        for origin in ("https://evil.example", "https://shop.example.evil", "null"):
            refused = await api.call("OPTIONS", "/verify", headers={"Origin": origin, **asked})
            served = await api.get("/health", headers={"Origin": origin})
            assert served.status == 200
            for reply in (refused, served):
                assert not [name for name in reply.headers if name.lower().startswith("access-control")]
    assert [line["event"] for line in lines if "CORS" in line["event"]] == ["CORS request blocked"] * 6
    assert (await api.get("/health")).status == 200


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
        told = {"Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "RateLimit-Policy"}
        assert all(name in replies[-1].headers for name in told)
        assert [(await alone.holding(key).get("/api-keys")).status for _ in range(7)] == [200] * 5 + [429] * 2
        for path in ("/health", "/ready", "/metrics"):
            assert {(await one.get(path)).status for _ in range(8)} <= {200}


async def test_metrics_can_be_switched_off(database_url, redis_url, net):
    async with running_api(database_url, redis_url, [net.rpc_url], ENABLE_METRICS=False) as api:
        assert (await api.get("/metrics")).status == 404


async def test_a_repeated_request_is_answered_as_the_first_was(merchant):
    headers, order = {"Idempotency-Key": "order-1"}, {"name": "worker"}
    first = await merchant.post("/api-keys", order, headers=headers)
    again = await merchant.post("/api-keys", order, headers=headers)
    assert (first.status, first.text) == (again.status, again.text) == (201, first.text)
    other = await merchant.post("/api-keys", {"name": "another"}, headers=headers)
    assert (other.status, other.code) == (409, "CONFLICT")


async def test_without_its_database_the_api_says_nothing_about_payments(home, redis_url, net, market):
    """503 with Retry-After while it is away; as before when it is back."""
    from pay402.migrations import upgrade
    from pay402.runtime.database import open_pool
    from pay402.runtime.embedded_postgres import EmbeddedPostgres

    server = EmbeddedPostgres(home, options={"fsync": "off"})
    await asyncio.to_thread(server.enter)
    dsn = server.dsn("postgres")
    await upgrade(dsn)
    async with open_pool(dsn, application="test", max_size=1) as pool:
        key = await key_for(pool)
    payer = market.payers[0]
    proof = proof_of(payer, str(payer.sign_message(b"x")), 0.01)
    async with running_api(dsn, redis_url, [net.rpc_url], VERIFY_WAIT_MS=0) as api:
        merchant = api.holding(key)
        assert (await merchant.verify(proof)).code == "RECIPIENT_NOT_FOLLOWED"
        await asyncio.to_thread(server.leave)
        for reply in (await merchant.verify(proof), await merchant.get("/payments"), await api.get("/ready")):
            assert reply.status == 503
            assert reply.headers["Retry-After"]
            assert "valid" not in reply.body
        assert (await api.get("/health")).status == 200
        await asyncio.to_thread(server.enter)
        replies = [await merchant.verify(proof)]
        while replies[-1].status == 503 and len(replies) < 100:
            await asyncio.sleep(0.1)
            replies.append(await merchant.verify(proof))
        assert replies[-1].code == "RECIPIENT_NOT_FOLLOWED"
    await asyncio.to_thread(server.leave)
