"""What a request leaves behind: lines in the log, figures in the metrics, and none of anybody's secrets."""

import asyncio
import re
from urllib.parse import urlsplit

import pytest
from fastapi import Request

from api.routing.route import new_router
from runtime.database_errors import DatabaseAwayError
from runtime.errors import OperatorError
from tests.support.api_client import key_for, running_api
from tests.support.api_operations import BOOTSTRAP, SECRET, bearing
from tests.support.api_processes import api_processes
from tests.support.ledger_checks import eventually
from tests.support.ledger_rows import NO_NODE, Vendor, new_signature


async def test_every_line_of_a_request_carries_its_id_and_none_a_secret(database_url, redis_url, pool, tmp_path):
    settings = {"JWT_SECRET": SECRET, "BOOTSTRAP_TOKEN": BOOTSTRAP, "LOG_LEVEL": "debug", "VERIFY_WAIT_MS": "1500"}
    async with api_processes(1, database_url, redis_url, tmp_path, **settings) as ([process], [client]):
        vendor = await Vendor(client, pool).open()
        token = (await vendor.client.post("/auth/token", {}))["token"]
        made = await client.post("/api-keys", {"name": "first"}, headers=bearing(BOOTSTRAP))
        proof = vendor.proof(new_signature())
        # The node is away: that is logged in the middle of the request.
        await vendor.client.verify(proof, headers={"X-Request-Id": "order-7"})
        await client.get("/recipients", headers=bearing(token))
        await client.holding("demo-key").get("/recipients")
        await client.get("/recipients?api_key=" + vendor.client.key)
        await client.get("/health", headers={"Origin": "https://evil.example", "X-Request-Id": "probe-1"})

        async def is_logged():
            return any(line.get("request_id") == "probe-1" for line in process.lines())

        await eventually(is_logged)
        lines = process.lines()
        own = [line for line in lines if line.get("request_id") == "order-7"]
        assert {line["event"] for line in own} >= {"chain_not_asked", "request"}
        (request,) = [line for line in own if line["event"] == "request"]
        assert (request["method"], request["route"], request["status"]) == ("POST", "/verify", 402)
        assert all("request_id" in line for line in lines if line["logger"] == "api.access")
        log = process.log.read_text()
        secrets = (vendor.client.key, made["apiKey"], token, SECRET, BOOTSTRAP, proof["signature"], proof["nonce"])
        assert [secret for secret in secrets if secret in log] == []
        # Not even the secret part of a key on its own.
        assert vendor.client.key[len("sk_live_") + 10 :] not in log


async def test_labels_grow_with_nothing_that_callers_send(vendor):
    for n in range(5):
        await vendor.api.get(f"/nowhere/{n}")
        await vendor.api.get(f"/payments/{new_signature()}")
        await vendor.api.call("PROPFIND", f"/verify/{n}")
        await vendor.client.get(f"/payments/requests/{n}")
        await vendor.client.verify(vendor.proof(new_signature()))
    text = (await vendor.api.get("/metrics")).text
    labels = dict.fromkeys(re.findall(r'(\w+)="([^"]*)"', text))
    routes = {value for name, value in labels if name == "route"}
    assert {"unmatched", "/payments/{signature}", "/payments/requests/{nonce}", "/verify"} <= routes
    assert all(value == "unmatched" or value.startswith("/") for value in routes)
    assert not [value for _, value in labels if len(value) > 40 or vendor.client.key[:18] in value]
    # Of HTTP; what we ask of nodes has methods and outcomes of its own, which no caller names.
    ours = "\n".join(line for line in text.splitlines() if not line.startswith("pay402_rpc_"))
    labels = dict.fromkeys(re.findall(r'(\w+)="([^"]*)"', ours))
    assert {value for name, value in labels if name == "method"} <= {"GET", "POST", "OTHER", "DELETE", "PATCH"}
    assert {value for name, value in labels if name == "outcome"} <= {"ok", "error", "hit", "miss", "payment_pending"}


async def test_a_defect_of_ours_is_answered_in_the_form_of_every_error(database_url, redis_url):
    router = new_router()

    @router.get("/defect", include_in_schema=False)
    async def fail(_: Request):
        raise RuntimeError("the password is hunter2")

    async with running_api(database_url, redis_url, [NO_NODE], more=[router]) as api:
        reply = await api.get("/defect", headers={"Origin": "https://shop.example"})
        assert (reply.status, reply.code) == (500, "INTERNAL_ERROR")
        assert reply["requestId"] == reply.headers["X-Request-Id"]
        assert "hunter2" not in reply.text
        assert (await api.get("/health")).status == 200


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (FileNotFoundError("a template of ours"), 500, None),
        (PermissionError("a file of ours"), 500, None),
        (TimeoutError("another service"), 500, None),
        (ConnectionRefusedError("another service"), 500, None),
        (DatabaseAwayError("connection refused"), 503, "away"),
        (OperatorError("The database is Postgres 9, which is too old."), 503, "refused"),
    ],
    ids=repr,
)
async def test_only_what_happens_at_the_database_is_answered_as_its_outage(
    database_url, redis_url, error, status, kind
):
    router = new_router()

    @router.get("/failing", include_in_schema=False)
    async def fail(_: Request):
        raise error

    async with running_api(database_url, redis_url, [NO_NODE], more=[router]) as api:
        assert (await api.get("/failing")).status == status
        text = (await api.get("/metrics")).text
        for each in ("away", "refused", "defect"):
            assert f'pay402_database_errors_total{{kind="{each}"}} {1.0 if each == kind else 0.0}' in text


@pytest.mark.parametrize("trusted", [False, True])
async def test_an_address_is_believed_from_our_own_proxies_only(database_url, redis_url, trusted):
    proxies = {"TRUSTED_PROXIES": "127.0.0.1"} if trusted else {}
    first = "2001:db8:5:6" if trusted else "2001:db8:7:8"
    async with running_api(database_url, redis_url, [NO_NODE], PUBLIC_RATE_LIMIT=4, **proxies) as api:

        async def asked(address):
            headers = {"X-Forwarded-For": address}
            return [(await api.get("/marketplace/stats", headers=headers)).status for _ in range(3)]

        # Of IPv6, one client has a whole network of addresses.
        statuses = await asked(f"{first}::1") + await asked(f"{first}:9::2") + await asked("203.0.113.9")
        if trusted:
            assert statuses.count(429) in {0, 2}
            assert statuses[6:] == [200] * 3
        else:
            assert statuses.count(429) >= 1


async def test_a_limit_that_is_reached_says_when_to_come_again(database_url, redis_url, pool):
    async with running_api(database_url, redis_url, [NO_NODE], VERIFY_RATE_LIMIT=3, VERIFY_WAIT_MS=0) as api:
        vendor = await Vendor(api, pool).open()
        replies = [await vendor.client.verify(vendor.proof(new_signature())) for _ in range(8)]
        limited = [reply for reply in replies if reply.status == 429]
        assert limited
        for reply in limited:
            assert reply.code == "RATE_LIMIT_EXCEEDED"
            assert 1 <= int(reply.headers["Retry-After"]) <= 60
            assert reply.headers["RateLimit-Policy"] == '"verify";q=3;w=60'
            assert (reply.headers["RateLimit-Limit"], reply.headers["RateLimit-Remaining"]) == ("3", "0")
            assert reply.headers["RateLimit-Reset"] == reply.headers["Retry-After"]
        # Another key has a limit of its own.
        other = api.holding(await key_for(pool))
        assert (await other.verify(vendor.proof(await vendor.paid()))).code == "VALID"


async def test_a_body_that_does_not_come_is_not_waited_for(database_url, redis_url):
    async with running_api(database_url, redis_url, [NO_NODE], API_BODY_SECONDS=0.3) as api:
        where = urlsplit(api.url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        head = b"POST /verify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        writer.write(head)
        assert b" 408 " in await asyncio.wait_for(reader.readline(), 10)
        writer.close()


async def test_absurd_numbers_cost_nothing(vendor):
    """Each of these once held the process up for minutes, or would have."""
    body = vendor.proof(await vendor.paid())
    for name in ("timestamp", "amount"):
        for number in ("1e9999999", "-1e9999999", "1e-9999999", "1" * 5000, "1." + "0" * 5000, "1e400"):
            text = str({**body, name: "@"}).replace("'@'", number).replace("'", '"')
            reply = await vendor.client.call(
                "POST", "/verify", data=text.encode(), headers={"Content-Type": "application/json"}
            )
            assert (reply.status, reply.code) == (400, "VALIDATION_ERROR"), (name, number[:20])
    order = '{"amount": 1, "currency": "USDC", "metadata": {"n": 1e999}}'
    reply = await vendor.client.call(
        "POST", "/payments/requests", data=order.encode(), headers={"Content-Type": "application/json"}
    )
    assert reply.status == 400
