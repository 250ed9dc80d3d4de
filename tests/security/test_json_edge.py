"""Whatever callers write into bodies, paths and queries: refused in the form of every error, never a defect of ours."""

import itertools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.routing.route import ExactRequest
from tests.support.api_client import key_for, running_api
from tests.support.api_operations import NOBODY, OPERATIONS, SECRET
from tests.support.ledger_rows import NO_NODE, Vendor

JSON = {"Content-Type": "application/json"}
DEEP = b"[" * 100_000 + b"]" * 100_000
BODIES = {
    "nothing": b"",
    "a NUL": b"\0",
    "half a string": b'{"a": "',
    "no JSON": b"{'a': 1}",
    "two values": b"{} {}",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "no UTF-8": b'{"a": "\xff\xfe"}',
    "overlong UTF-8": b'{"a": "\xc0\xaf"}',
    "a lone surrogate": b'{"a": "\\ud800"}',
    "a surrogate in UTF-8": b'{"a": "\xed\xa0\x80"}',
    "NaN": b'{"a": NaN}',
    "infinity": b'{"a": -Infinity}',
    "depth": DEEP,
    "depth in objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "a number of megabytes": b'{"a": ' + b"9" * 900_000 + b"}",
    "an absurd exponent": b'{"a": 1e999999999}',
    "a leading zero": b'{"a": 01}',
    "a list": b"[]",
    "a text": b'"x"',
    "null": b"null",
    "a number": b"1",
}
# What is put into every field of a body that would be good without it.
VALUES = (
    None, True, [], {}, 0, -1, 1.5, 10**30, -(10**30), 2**63, 2**64, "", "\0", "a\0b", "\ud800", "é\u0301", "USDС",
    "uſdc", "٣", "１", "1_000", "0x10", "NaN", "Infinity", "-0", "1e400", "\u202e", "\ufeff", "' OR 1=1 --", "$1", "%s",
    "../../etc/passwd", "x" * 100_000, "😀" * 300, ["a"] * 1000, {"a": {"b": {"c": [None]}}},
)  # fmt: skip
IN_PATHS = (
    "%00", "%ff", "%ed%a0%80", "%0d%0aX-Evil:1", "..%2f..", "9" * 400, "-1", "1e9", "NaN", "%F0%9F%98%80", "'", "a%20b",
    "x" * 5000, "%25s", "٣", "null", "00000000-0000-0000-0000-00000000000g", "%E2%80%AE",
)  # fmt: skip


@pytest.fixture
async def shop(database_url, redis_url, pool):
    """An API that asks no chain and never waits, and its most powerful caller."""
    settings = {"JWT_SECRET": SECRET, "VERIFY_WAIT_MS": 0}
    async with running_api(database_url, redis_url, [NO_NODE], **settings) as client:
        yield client.holding(await key_for(pool, "operations", ("read", "write", "admin")))


def refusal(reply, *, allowed=()):
    """What is wrong with an answer that should be a refusal in our form; `None` if nothing is."""
    if reply.status in allowed:
        return None
    if not 400 <= reply.status < 500 or reply.body is None:
        return reply.status, reply.text[:100]
    if not {"error", "message", "code", "requestId"} <= reply.body.keys():
        return reply.status, reply.text[:100]
    return None


def filled(path):
    names = ("{job_id}", "{service_id}", "{nonce}", "{signature}", "{id}", "{address}", "{key_prefix}", "{payout_id}")
    names += ("{webhook_id}", "{event_id}")
    for name in names:
        path = path.replace(name, NOBODY)
    return path


async def test_no_body_makes_a_route_fail(shop):
    wrong, asked = {}, 0
    # A body that a route has no use for is not read; what it then does is its own affair.
    without = {"/accept", "/approve", "/cancel", "/rotate", "/seed", "/reconcile", "/backfill", "/token"}
    for operation, (name, body) in itertools.product(OPERATIONS, BODIES.items()):
        method, path = operation.split()
        if method not in {"POST", "PATCH"}:
            continue
        allowed = {200, 201, 202} if any(path.endswith(end) for end in without) else ()
        for headers in (JSON, {**JSON, "Idempotency-Key": f"{name}-{asked}"}):
            asked += 1
            reply = await shop.call(method, filled(path), data=body, headers=headers)
            if (found := refusal(reply, allowed=allowed)) is not None:
                wrong[operation, name] = found
    assert not wrong
    assert asked > 600


def good_bodies(vendor, transaction):
    """A request of each kind that is good, or would be if what it names existed."""
    service = {
        "agentId": "a", "name": "n", "description": "d", "category": "ai", "pricingModel": "per-request",
        "priceAmount": "1", "priceCurrency": "USDC", "capabilities": ["c"], "tags": ["t"],
    }  # fmt: skip
    order = {"amount": "0.01", "currency": "USDC", "recipient": vendor.wallet, "resource": "/a", "metadata": {"a": 1}}
    return {
        "/verify": vendor.proof(transaction, recipient=vendor.wallet, resource="/a", agentId="a", scheme="minimum"),
        "/payments/requests": {**order, "expiresIn": 60_000, "scheme": "exact"},
        "/recipients": {"address": vendor.wallet, "label": "l", "signature": "1" * 88},
        "/api-keys": {"name": "n", "userId": "u", "environment": "test", "permissions": ["read"], "expiresAt": 2**42},
        "/auth/token": {"permissions": ["read"], "expiresIn": 60},
        "/marketplace/services": service,
        "/marketplace/jobs": {"serviceId": NOBODY, "input": {"a": 1}, "deadline": 2**42},
        f"/marketplace/jobs/{NOBODY}/rate": {"score": 5, "feedback": "f"},
        f"/marketplace/jobs/{NOBODY}/dispute": {"reason": "r"},
        f"/marketplace/jobs/{NOBODY}/submit": {"output": {"a": 1}},
        f"/marketplace/jobs/{NOBODY}/resolve": {"resolution": "refund"},
        "/ops/backfill": {"recipient": vendor.wallet, "fromSlot": 1, "toSlot": 2},
    }


async def test_no_value_of_a_field_makes_a_route_fail(shop, pool):
    vendor = await Vendor(shop, pool, user="operations").open(permissions=["read", "write", "admin"])
    wrong, asked = {}, 0
    for path, body in good_bodies(vendor, await vendor.paid()).items():
        # Without its signature a wallet is looked up on chain, and there is no node here.
        away = {503} if path == "/recipients" else set()
        for field, value in itertools.product(body, VALUES):
            asked += 1
            sent = json.dumps({**body, field: value}).encode()
            reply = await vendor.client.call("POST", path, data=sent, headers=JSON)
            if (found := refusal(reply, allowed={200, 201, 202} | away)) is not None:
                wrong[path, field, repr(value)[:20]] = found
    assert not wrong
    assert asked > 1000


async def test_no_path_and_no_query_makes_a_route_fail(shop):
    document = (await shop.get("/openapi.json")).body
    wrong, asked = {}, 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method not in {"get", "delete"}:
                continue
            named = [(one["name"], one["in"]) for one in operation.get("parameters", ()) if one["in"] != "header"]
            for (name, where), value in itertools.product(named, IN_PATHS):
                asked += 1
                target = path.replace("{" + name + "}", value) if where == "path" else f"{path}?{name}={value}"
                reply = await shop.call(method.upper(), filled(target))
                if (found := refusal(reply, allowed={200})) is not None:
                    wrong[method, path, name, value[:30]] = found
                assert "X-Evil" not in reply.headers
    assert not wrong
    assert asked > 500


async def test_a_letter_that_looks_like_another_is_another(shop, pool):
    vendor = await Vendor(shop, pool).open()
    proof = vendor.proof(await vendor.paid())
    for currency in ("USDС", "uſdc", "ＵＳＤＣ", "USDC\u200b", " USDC", "USDC\u0301"):
        reply = await vendor.client.verify({**proof, "currency": currency})
        assert (reply.status, reply.code) == (400, "VALIDATION_ERROR"), currency
    for amount in ("٠.٠١", "０.０１", "0.0１", "0,01", "0.01 ", "+0.01\u200b", True, "1e-2_"):
        reply = await vendor.client.verify({**proof, "amount": amount})
        assert (reply.status, reply.code) == (400, "VALIDATION_ERROR"), amount
    # Two ways to write one accent are two nonces: neither stands for the other's signature.
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    signed = vendor.proof(await vendor.paid(), nonce=composed)
    assert (await vendor.client.verify({**signed, "nonce": decomposed})).code == "INVALID_SIGNATURE"
    assert (await vendor.client.verify(signed)).code == "VALID"


async def test_of_a_name_that_comes_twice_the_last_counts_and_the_answer_says_so(shop, pool):
    """As every common reader of JSON has it: a merchant's and ours judge the same figures."""
    vendor = await Vendor(shop, pool).open()
    for first, last, code in (("0.01", "1000", "INSUFFICIENT_AMOUNT"), ("1000", "0.01", "VALID")):
        text = json.dumps(vendor.proof(await vendor.paid(), amount=last))
        assert json.loads('{"amount": "1", "amount": "2"}') == {"amount": "2"}
        twice = text.replace("{", f'{{"amount": "{first}", ', 1).encode()
        reply = await vendor.client.call("POST", "/verify", data=twice, headers=JSON)
        assert reply.code == code
        if code == "VALID":
            assert reply["transaction"]["amountBaseUnits"] == "10000"


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ("signature", "payer", "amount", "currency", "mint", "nonce", "timestamp", "transactionId", "recipient",
          "resource", "agentId", "scheme")  # fmt: skip


class _Body(ExactRequest):
    """A request that consists of its body."""

    def __init__(self, body):
        super().__init__({"type": "http", "method": "POST", "headers": []})
        self._body = body


@settings(max_examples=2000, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_json_or_refused(body):
    _read(body)


@settings(max_examples=1000, deadline=None, derandomize=True, database=None)
@given(ANY_JSON)
def test_any_json_is_read_without_a_float(value):
    try:
        text = json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        text = json.dumps(value).encode()
    found = _read(text)
    pending = [found]
    while pending:
        one = pending.pop()
        assert not isinstance(one, float)
        pending += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()


def _read(body):
    coroutine = _Body(body).json()
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    except json.JSONDecodeError:
        return None
    raise AssertionError("it waited")


async def test_any_proof_is_judged_or_refused(shop, pool):
    """Random fields of random kinds, in bodies and in place of the fields of a good proof."""
    vendor = await Vendor(shop, pool).open()
    good = vendor.proof(await vendor.paid())
    sent = []

    @settings(max_examples=400, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(st.sampled_from(FIELDS), ANY_JSON, max_size=4), st.booleans())
    def draw(fields, whole):
        sent.append(({} if whole else good) | fields)

    draw()
    wrong = []
    for body in sent:
        text = json.dumps(body).encode()
        reply = await vendor.client.call("POST", "/verify", data=text, headers=JSON)
        if (found := refusal(reply, allowed={200})) is not None:
            wrong.append((found, body))
    assert not wrong
    assert len(sent) >= 400
