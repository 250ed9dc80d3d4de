"""Whoever sends a body that is no JSON is shown where it breaks, and never what it holds."""

import json

import pytest

from api.routing.route import ExactRequest
from tests.support.api_client import key_for, running_api
from tests.support.ledger_rows import NO_NODE

JSON = {"Content-Type": "application/json"}
SECRET = "sk_live_0123456789" + "ab" * 32
BROKEN = [
    # what is sent, line, column, field, what is expected
    (b"", 1, 1, None, "more"),
    (b'{"amount": 1', 1, 13, "amount", "more"),
    (b'{"amount": 1,\n "currency": "USDC",\n}', 3, 1, None, "another field after the comma"),
    (b'{"amount" 1}', 1, 11, None, "':'"),
    (b'{"amount": 1 "currency": "USDC"}', 1, 14, "amount", "',' or '}'"),
    (b'{\n  "metadata": {\n    "items": [1, 2,, 3]}}', 3, 20, "metadata.items.2", "a value"),
    (b'{"metadata": {"a": {"b": NaN}}}', 1, 26, "metadata.a.b", "a value"),
    (b"{'amount': 1}", 1, 2, None, "a name in double quotes"),
    (b'{"amount": 01}', 1, 13, "amount", "a number as JSON writes it"),
    (b"{} {}", 1, 4, None, "the end of the body"),
    (b'{"resource": "a\\q"}', 1, 17, "resource", "an escape"),
    (b'{"resource": "a\nb"}', 1, 16, "resource", "line break"),
    ('{"resource": "é", "metadata": {x}}'.encode(), 1, 32, "metadata", "a name in double quotes"),
    (b'{"metadata": {"a": "\xff"}}', 1, 21, "metadata.a", "UTF-8"),
    (b'{"metadata": ' + b"[" * 50_000, None, None, None, "fewer lists"),
    (b'{"amount": 1e999999}', None, None, None, "no number"),
]  # fmt: skip


@pytest.fixture
async def shop(database_url, redis_url, pool):
    async with running_api(database_url, redis_url, [NO_NODE], VERIFY_WAIT_MS=0) as client:
        yield client.holding(await key_for(pool))


async def test_a_body_that_is_no_json_is_refused_with_the_place_where_it_breaks(shop):
    for body, line, column, field, expected in BROKEN:
        if not body:
            continue  # FastAPI takes no body for a body that lacks every field
        reply = await shop.call("POST", "/payments/requests", data=body, headers=JSON)
        assert (reply.status, reply.code) == (400, "VALIDATION_ERROR"), body[:40]
        found = reply["details"]
        assert (found["line"], found["column"], found["field"]) == (line, column, field), body[:40]
        assert expected in found["expected"], body[:40]
        assert line is None or f"line {line}, column {column}" in reply["error"]
        assert found["expected"] in reply["error"]
    # The same with an Idempotency-Key, and on a route with fields of its own in refusals.
    reply = await shop.call("POST", "/verify", data=b"{", headers={**JSON, "Idempotency-Key": "one"})
    assert (reply.status, reply["valid"], reply["details"]["column"]) == (400, False, 2)


@pytest.mark.parametrize(
    "body",
    [
        f'{{"{SECRET}": }}',
        f'{{"{SECRET}": {{"secretKey": [1, 2,, 3]}}}}',
        f'{{"apiKey": "{SECRET}',
        f'{{"apiKey": "{SECRET}",, }}',
        f'{{"apiKey": {SECRET}}}',
        f"{SECRET}",
        f'{{"metadata": {{"{SECRET}": {{"{SECRET}": nul }} }} }}',
        f'{{"a\\"{SECRET}": 1 2}}',
    ],
)
async def test_nothing_that_was_sent_is_repeated_but_names_of_fields(shop, body):
    reply = await shop.call("POST", "/payments/requests", data=body.encode(), headers=JSON)
    assert (reply.status, reply.code) == (400, "VALIDATION_ERROR")
    assert SECRET[-20:] not in reply.text


async def test_a_field_that_is_not_known_is_named_only_if_it_looks_like_a_name(shop):
    for path, name in (("/webhooks", "urll"), ("/webhooks", SECRET)):
        reply = await shop.post(path, {"url": "https://shop.example", name: 1})
        assert reply.status == 400
        assert (name in reply.text) == (name == "urll")
    reply = await shop.post("/webhooks", {"url": "https://shop.example", "types": [SECRET]})
    assert reply.status == 400
    assert SECRET[-20:] not in reply.text


async def test_a_wrong_value_in_a_nested_field_is_named_by_its_path(shop):
    reply = await shop.post("/api-keys", {"name": "n", "permissions": ["read", "fly"]})
    assert (reply.status, reply["details"][0]["field"]) == (400, "permissions.1")
    assert reply["error"].startswith("permissions.1: ")


def test_a_place_costs_no_more_than_reading_the_body():
    """A megabyte of brackets and names is not walked through for the sake of a path."""

    class Body(ExactRequest):
        def __init__(self, body):
            super().__init__({"type": "http", "method": "POST", "headers": []})
            self._body = body

    body = b'{"metadata": {' + b'"a": 1,' * 100_000 + b"}}"
    with pytest.raises(json.JSONDecodeError) as caught:
        Body(body).json().send(None)
    assert caught.value.fault.column == len(body) - 1
    assert caught.value.fault.field is None
