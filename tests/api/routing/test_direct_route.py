"""Routes that read their bodies themselves answer what FastAPI's own do, and every path leads where it did."""

import asyncio
import json

import pytest
from fastapi import Query, Request
from structlog.testing import capture_logs

from api.app import _ROUTERS
from api.http.json import answer
from api.http.known_paths import KnownPaths
from api.routing.direct_route import DirectRoute
from api.routing.route import new_router
from api.verify.bodies import ProofBody
from tests.support.api_client import running_api
from tests.support.ledger_rows import NO_NODE

GOOD = {
    "signature": "1" * 88, "payer": "1" * 32, "amount": 1.5, "currency": "USDC", "nonce": "n", "timestamp": 1,
    "transactionId": "1" * 88,
}  # fmt: skip
BODIES = {
    "good": json.dumps(GOOD),
    "more fields": json.dumps({**GOOD, "unknown": [1]}),
    "none": "",
    "space": " ",
    "null": "null",
    "list": "[]",
    "text": '"text"',
    "number": "1",
    "object": "{}",
    "no JSON": "{",
    "two values": "{} {}",
    "no UTF-8": b'{"nonce": "\xff"}',
    "NaN": '{"amount": NaN}',
    "deep": "[" * 100_000,
    "huge number": json.dumps(GOOD).replace("1.5", "1e9999999"),
    "wrong types": json.dumps({name: [] for name in GOOD}),
    "negative": json.dumps({**GOOD, "timestamp": -1}),
    "twice": json.dumps(GOOD)[:-1] + ', "nonce": "m"}',
}


@pytest.fixture
async def both(database_url, redis_url):
    """An API that has the same handler at /direct and at /usual."""
    direct, usual = new_router(kind=DirectRoute), new_router()

    async def show(_: Request, body: ProofBody):
        return answer(body)

    direct.post("/direct", include_in_schema=False)(show)
    usual.post("/usual", include_in_schema=False)(show)
    async with running_api(database_url, redis_url, [NO_NODE], more=[direct, usual]) as api:
        yield api


async def answers_of(api, method="POST", **sent):
    """What both answer, without what differs with each request."""
    replies = [await api.call(method, path, is_documented=False, **sent) for path in ("/direct", "/usual")]
    for reply in replies:
        if reply.body:
            reply.body.pop("requestId", None)
    return [
        (reply.status, json.dumps(reply.body).replace("/usual", "/direct"), reply.headers.get("Allow"))
        for reply in replies
    ]


@pytest.mark.parametrize("name", BODIES)
async def test_a_direct_route_answers_any_body_as_a_usual_one(both, name):
    body = BODIES[name]
    data = body if isinstance(body, bytes) else body.encode()
    direct, usual = await answers_of(both, data=data, headers={"Content-Type": "application/json"})
    assert direct == usual
    assert direct[0] == (200 if name in {"good", "more fields", "twice"} else 400)


async def test_a_direct_route_refuses_other_methods_and_repeats_answers_as_a_usual_one(both):
    for method in ("GET", "PUT", "DELETE"):
        direct, usual = await answers_of(both, method)
        assert direct == usual
        assert direct[0] == 405
    for path in ("/direct", "/usual"):
        headers = {"Idempotency-Key": path}
        first = await both.post(path, GOOD, headers=headers, is_documented=False)
        again = await both.post(path, GOOD, headers=headers, is_documented=False)
        other = await both.post(path, {**GOOD, "nonce": "m"}, headers=headers, is_documented=False)
        assert (first.status, again.body, other.status) == (200, first.body, 409)
        assert again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("path", ["/direct", "/usual"])
async def test_whoever_hangs_up_amid_a_body_is_no_defect_of_ours(both, path):
    host, port = both.url.removeprefix("http://").split(":")
    with capture_logs() as logs:
        _, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
        writer.write(head.encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        for _ in range(200):
            if any(one["event"] == "request" for one in logs):
                break
            await asyncio.sleep(0.02)
    assert [one["status"] for one in logs if one["event"] == "request"] == [400]
    assert not [one for one in logs if one["event"] == "defect"]


def test_a_direct_route_takes_no_parameters_that_it_would_not_read():
    async def handler(_: Request, body: ProofBody, page: int = Query(1)):
        return answer([body, page])

    async def without_body(_: Request):
        return answer([])

    for one in (handler, without_body):
        with pytest.raises(TypeError, match="a direct route takes"):
            new_router(kind=DirectRoute).post("/direct")(one)


def scope_of(method, path, **more):
    return {"type": "http", "method": method, "path": path, "root_path": "", "headers": [], **more}


def served_by(routes, scope):
    """The route that serves a request when each is asked in turn."""
    return next((route for route in routes if route.matches(dict(scope))[0].name == "FULL"), None)


def test_every_known_path_leads_to_the_route_that_asking_in_turn_finds():
    routes = [route for router in _ROUTERS for route in router.routes]
    known = KnownPaths(routes)
    found = 0
    for route in routes:
        for method in route.methods:
            scope = scope_of(method, route.path)
            match, child = known.matches(scope)
            if "{" in route.path:
                assert match.name == "NONE"
            else:
                found += 1
                assert child["route"] is served_by(routes, scope)
    assert found > 50


@pytest.mark.parametrize(
    "scope",
    [
        scope_of("GET", "/verify"),
        scope_of("POST", "/verify/"),
        scope_of("POST", "/Verify"),
        scope_of("POST", "/outer/verify", root_path="/outer"),
        scope_of("OPTIONS", "/verify"),
        {"type": "websocket", "path": "/verify"},
    ],
)
def test_what_is_not_known_is_left_to_the_routes_behind(scope):
    known = KnownPaths(route for router in _ROUTERS for route in router.routes)
    assert known.matches(scope_of("POST", "/verify"))[0].name == "FULL"
    assert known.matches(scope)[0].name == "NONE"
