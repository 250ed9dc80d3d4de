"""What happens to requests before their route: bounds, forms of errors, ids, origins, limits, repeated requests."""

import asyncio
from urllib.parse import urlsplit

import pytest
from fastapi import APIRouter
from pydantic import ValidationError
from structlog.testing import capture_logs

from api.settings import ApiSettings
from tests.support.api_client import Reply, key_for, proof_of, running_api
from tests.support.ledger_rows import NO_NODE

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


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/verify", {"valid": False, "verified": False}),
        ("/x402/verify", {"isValid": False, "invalidReason": "unexpected_verify_error"}),
        (
            "/x402/settle",
            {"success": False, "errorReason": "unexpected_settle_error", "transaction": "", "network": ""},
        ),
        ("/webhooks", {}),
    ],
)
async def test_every_refusal_of_a_path_carries_what_its_clients_read_first(merchant, path, fields):
    replies = [
        await merchant.call("POST", path, data=b"a=b", headers={"Content-Type": "text/plain"}),
        await merchant.call("POST", path, data=b"{", headers=JSON),
        await merchant.call("POST", path, data=b"[]", headers=JSON),
        await merchant.call("POST", path, data=b"{}", headers={**JSON, "Authorization": "Bearer none"}),
        # Refused, kept under the key, and answered from what was kept.
        await merchant.call("POST", path, data=b"[]", headers={**JSON, "Idempotency-Key": path}),
        await merchant.call("POST", path, data=b"[]", headers={**JSON, "Idempotency-Key": path}),
    ]
    of_errors = {"error", "message", "code", "details", "requestId"}
    for reply in replies:
        assert {name: value for name, value in reply.body.items() if name not in of_errors} == fields, reply.body
        assert reply["error"] == reply["message"]


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


async def test_what_is_not_there_is_answered_in_the_same_form(api):
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


@pytest.mark.parametrize("origin", [None, "https://shop.example", "https://evil.example"])
async def test_every_answer_carries_what_browsers_and_caches_have_to_know(api, origin):
    headers = {} if origin is None else {"Origin": origin}
    preflight = {"Access-Control-Request-Method": "POST"}
    for reply in (
        await api.get("/health", headers=headers),
        await api.get("/nowhere", headers=headers),
        await api.get("/api-keys", headers=headers),
        await api.post("/verify", {}, headers=headers),
        await api.call("POST", "/verify", data=b" " * 1_000_001, headers=headers),
        await api.call("OPTIONS", "/verify", headers={**headers, **preflight}),
    ):
        assert "Origin" in [name.strip() for name in reply.headers["Vary"].split(",")]
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["X-Frame-Options"] == "DENY"
        assert reply.headers["Referrer-Policy"] == "no-referrer"
        assert ("Access-Control-Allow-Origin" in reply.headers) == (origin == "https://shop.example")


async def test_in_development_dashboards_of_the_same_machine_are_let_in(database_url, redis_url):
    async with running_api(database_url, redis_url, [NO_NODE], APP_ENV="development", ALLOWED_ORIGINS="") as client:
        for origin in ("http://localhost:3000", "http://localhost:5173"):
            reply = await client.get("/health", headers={"Origin": origin})
            assert reply.headers["Access-Control-Allow-Origin"] == origin
        assert (
            "Access-Control-Allow-Origin"
            not in (await client.get("/health", headers={"Origin": "http://localhost:8080"})).headers
        )
    for environment in ("test", "production"):
        chosen = ApiSettings(APP_ENV=environment, ALLOWED_ORIGINS="")
        assert chosen.origins_allowed == ""


async def test_every_refusal_of_verify_says_first_that_nothing_is_verified(vendor):
    proof = vendor.proof(await vendor.paid())
    stranger = vendor.api.holding("sk_live_" + "0" * 74)
    with_key = {"Idempotency-Key": "one"}
    assert (await vendor.client.verify(proof, headers=with_key)).status == 200
    refusals = [
        await vendor.client.verify({}),
        await vendor.client.verify({**proof, "currency": "XYZ"}),
        await vendor.client.call("POST", "/verify", data=b"{", headers={"Content-Type": "application/json"}),
        await stranger.verify(proof),
        await vendor.client.verify({**proof, "timestamp": 1}, headers=with_key),
        await vendor.client.call("POST", "/verify", data=b"{}", headers={"Content-Type": "text/plain"}),
        await vendor.client.call("POST", "/verify", data=b" " * 1_000_001),
        await vendor.client.verify(proof),
    ]
    assert [reply.status for reply in refusals] == [400, 400, 400, 401, 409, 415, 413, 402]
    for reply in refusals:
        assert (reply["valid"], reply["verified"]) == (False, False)
    # Elsewhere nothing was to be verified.
    assert "valid" not in (await vendor.client.post("/payments/requests", {})).body


def cors_of(reply):
    return {name.lower(): value for name, value in reply.headers.items() if name.lower().startswith("access-control")}


async def test_a_dashboard_can_read_what_is_refused_before_any_route(database_url, redis_url):
    """A browser shows an answer without CORS headers as no answer at all."""
    faults = APIRouter()

    @faults.post("/defect")
    async def defect():
        raise RuntimeError

    settings = {"API_BODY_SECONDS": 0.2, "API_REQUESTS_MAX": 1}
    async with running_api(database_url, redis_url, [NO_NODE], more=[faults], **settings) as api:
        where = urlsplit(api.url)

        async def refused(origin, status):
            sent = {"Origin": origin, **JSON}
            if status == 503:
                # Somebody else is in the way.
                _, other = await asyncio.open_connection(where.hostname, where.port)
                other.write(b"POST /verify HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
                await asyncio.sleep(0.05)
                reply = await api.post("/verify", {}, headers=sent)
                other.close()
                await asyncio.sleep(0.3)
                return reply
            if status == 408:
                reader, writer = await asyncio.open_connection(where.hostname, where.port)
                writer.write(b"POST /verify HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n")
                writer.write(b"Origin: " + origin.encode() + b"\r\n\r\n")
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                writer.close()
                headers = dict(line.split(": ", 1) for line in head[1:] if line)
                return Reply(int(head[0].split()[1]), None, headers, "")
            path, data, sort = {
                413: ("/verify", b" " * 1_000_001, "application/json"),
                415: ("/verify", b"a=b", "text/plain"),
                500: ("/defect", b"{}", "application/json"),
            }[status]
            return await api.call("POST", path, data=data, headers={**sent, "Content-Type": sort})

        for status in (408, 413, 415, 500, 503):
            with capture_logs() as lines:
                reply = await refused("https://shop.example", status)
                assert reply.status == status
                assert cors_of(reply)["access-control-allow-origin"] == "https://shop.example", status
                assert "x-request-id" in cors_of(reply)["access-control-expose-headers"]
                assert {name.lower() for name in reply.headers} >= {"x-request-id"}
                reply = await refused("https://evil.example", status)
                assert (reply.status, cors_of(reply)) == (status, {})
            blocked = [line for line in lines if line["event"] == "CORS request blocked"]
            assert [line["origin"] for line in blocked] == ["https://evil.example"]


async def test_a_browser_may_send_the_bootstrap_token(api):
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-bootstrap-token"}
    allowed = await api.call("OPTIONS", "/api-keys", headers={"Origin": "https://shop.example", **asked})
    assert (allowed.status, cors_of(allowed)["access-control-allow-origin"]) == (200, "https://shop.example")


async def test_an_origin_with_a_slash_at_its_end_is_the_same_origin(database_url, redis_url):
    allowed = "https://one.example/, https://two.example"
    async with running_api(database_url, redis_url, [NO_NODE], ALLOWED_ORIGINS=allowed) as api:
        for origin in ("https://one.example", "https://two.example"):
            reply = await api.get("/health", headers={"Origin": origin})
            assert cors_of(reply)["access-control-allow-origin"] == origin
    for wrong in ("https://one.example/path", "https://one.example//", "https://*.example", "one.example"):
        with pytest.raises(ValidationError):
            ApiSettings(ALLOWED_ORIGINS=wrong)


async def test_probes_may_ask_for_the_head_alone(api):
    for path in ("/health", "/ready"):
        reply = await api.call("HEAD", path)
        assert (reply.status, reply.text) == (200, "")
        assert int(reply.headers["Content-Length"]) > 2


async def test_metrics_can_be_switched_off(database_url, redis_url, net):
    async with running_api(database_url, redis_url, [net.rpc_url], ENABLE_METRICS=False) as api:
        assert (await api.get("/metrics")).status == 404


async def test_without_its_database_the_api_says_nothing_about_payments(home, redis_url, net, market):
    """503 with Retry-After while it is away; as before when it is back."""
    from migrations import upgrade
    from runtime.database import open_pool
    from runtime.embedded.postgres import EmbeddedPostgres

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
            assert reply.body.get("code") in {"UNAVAILABLE", None}
            # Nothing is verified, and nothing said about the payment.
            assert "transaction" not in reply.body
            assert reply.body.get("valid") in {False, None}
        assert (await api.get("/health")).status == 200
        await asyncio.to_thread(server.enter)
        replies = [await merchant.verify(proof)]
        while replies[-1].status == 503 and len(replies) < 100:
            await asyncio.sleep(0.1)
            replies.append(await merchant.verify(proof))
        assert replies[-1].code == "RECIPIENT_NOT_FOLLOWED"
    await asyncio.to_thread(server.leave)
