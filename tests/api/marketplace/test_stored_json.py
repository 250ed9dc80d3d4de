"""JSON of callers that is stored: what is accepted is given back the same, and the rest is refused before a write."""

import itertools
import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.keypair import Keypair

from api.http.errors import ApiError
from api.http.stored_json import stored_json
from api.routing.route import ExactRequest
from tests.support.api_client import running_api
from tests.support.ledger_rows import NO_NODE, Vendor
from tests.support.service_offer import OFFER

JOBS = "/marketplace/jobs"
JSON = {"Content-Type": "application/json"}
# Each is JSON that either cannot be stored, or could be and then never be read.
REFUSED = {
    "a float beyond 64 bits": "2e19",
    "one with a point": "20000000000000000000.0",
    "one beyond by rounding": "18446744073709551615.5",
    "one far beyond": "1.5e300",
    "one below": "-1E19",
    "an integer beyond 64 bits": "18446744073709551616",
    "one below zero": "-9223372036854775809",
    "a long one": "9" * 300,
    "depth": "[" * 65 + "]" * 65,
    "depth near the writer's limit": '{"a":' * 252 + "1" + "}" * 252,
    "depth near the reader's limit": "[" * 900 + "]" * 900,
    "depth beyond every limit": "[" * 100_000 + "]" * 100_000,
    "a NUL": '"a\\u0000b"',
    "a NUL in a name": '{"a\\u0000b": 1}',
    "a number that is none of JSON's": "1e999",
}
ACCEPTED = {
    "the largest": "18446744073709551615",
    "the smallest": "-9223372036854775808",
    "the largest with an exponent": "1.8446744073709551615e19",
    "a small one": "5e-300",
    "a fraction": "0.30000000000000004",
    "an exact whole number beyond doubles": "9007199254740993.0",
    "minus nothing": "-0.0",
    "depth": "[" * 64 + "]" * 64,
    "six characters that look like a NUL": '"\\\\u0000"',
    "the same in a name": '{"\\\\u0000": "\\\\\\\\u0000"}',
    "nothing": "null",
    "letters beyond the first plane": '"\\ud83d\\ude00 \\u2028"',
}


def meant(text):
    """JSON as it is meant: numbers without a fraction exactly, in whichever notation, and fractions as doubles."""

    def number(digits):
        exact = Decimal(digits)
        return int(exact) if exact == exact.to_integral_value() else float(exact)

    return json.loads(text, parse_float=number)


@pytest.fixture
async def stall(database_url, redis_url, pool):
    """A marketplace with one service, whose provider orders it too."""
    wallet = str(Keypair().pubkey())
    async with running_api(database_url, redis_url, [NO_NODE], SETTLEMENT_WALLET=wallet) as client:
        await Vendor(client, pool, user="marketplace", wallet=wallet).open()
        yield await Vendor(client, pool, user="provider").open()


async def offered(stall):
    reply = await stall.client.post("/marketplace/services", {**OFFER, "payoutAddress": str(stall.wallet)})
    assert reply.status == 201, reply.text
    return reply["id"]


async def ordered(stall, service, text, **headers):
    body = f'{{"serviceId": "{service}", "input": {text}}}'.encode()
    return await stall.client.call("POST", JOBS, data=body, headers={**JSON, **headers})


async def rows(stall):
    return await stall.pool.fetchval("SELECT count(*) FROM job_requests") + await stall.pool.fetchval(
        "SELECT count(*) FROM nonces"
    )


async def test_what_could_not_be_read_again_is_refused_before_anything_is_written(stall):
    service = await offered(stall)
    for name, text in REFUSED.items():
        for headers in ({}, {"Idempotency-Key": name}, {"Idempotency-Key": name}):
            refused = await ordered(stall, service, text, **headers)
            assert (refused.status, refused.code) == (400, "VALIDATION_ERROR"), (name, refused.text)
    assert await rows(stall) == 0
    assert (await stall.api.get(JOBS))["total"] == 0


async def test_what_is_accepted_is_given_back_the_same_everywhere(stall):
    service = await offered(stall)
    for name, text in ACCEPTED.items():
        job = await ordered(stall, service, text, **{"Idempotency-Key": name})
        again = await ordered(stall, service, text, **{"Idempotency-Key": name})
        assert (job.status, again.status) == (201, 201), (name, job.text)
        assert again["id"] == job["id"]
        for shown in (job, await stall.api.get(f"{JOBS}/{job['id']}")):
            assert shown["input"] == meant(text), name
    assert (await stall.api.get(f"{JOBS}?limit=100"))["total"] == len(ACCEPTED)


async def test_what_is_submitted_is_held_to_the_same_and_the_step_waits_for_it(stall):
    service = await offered(stall)
    job = (await ordered(stall, service, "null"))["id"]
    await stall.pool.execute(
        "UPDATE job_requests SET status = 'accepted', escrow_status = 'escrowed', escrowed_at = now(),"
        " accepted_at = now()"
    )
    for name, text in REFUSED.items():
        refused = await stall.client.call(
            "POST", f"{JOBS}/{job}/submit", data=f'{{"output": {text}}}'.encode(), headers=JSON
        )
        assert (refused.status, refused.code) == (400, "VALIDATION_ERROR"), name
        assert (await stall.api.get(f"{JOBS}/{job}"))["status"] == "accepted"
    done = await stall.client.call("POST", f"{JOBS}/{job}/submit", data=b'{"output": ["\\\\u0000", 1e3]}', headers=JSON)
    assert (done.status, done["status"], done["output"]) == (200, "completed", ["\\u0000", 1000])


async def test_the_metadata_of_payment_requests_is_held_to_the_same(stall):
    for (name, text), key in itertools.product(REFUSED.items(), (None, "k")):
        body = f'{{"amount": "1", "currency": "USDC", "metadata": {{"a": {text}}}}}'.encode()
        headers = {**JSON, **({"Idempotency-Key": f"{key} {name}"} if key else {})}
        refused = await stall.client.call("POST", "/payments/requests", data=body, headers=headers)
        assert (refused.status, refused.code) == (400, "VALIDATION_ERROR"), name
    assert await rows(stall) == 0
    kept = {name: text for name, text in ACCEPTED.items() if name != "depth"}  # an object is one level of its own
    for name, text in kept.items():
        body = f'{{"amount": "1", "currency": "USDC", "metadata": {{"a": {text}}}}}'.encode()
        made = await stall.client.call("POST", "/payments/requests", data=body, headers=JSON)
        assert (made.status, made["metadata"]) == (201, {"a": meant(text)}), name
        assert (await stall.client.get(f"/payments/requests/{made['nonce']}"))["metadata"] == {"a": meant(text)}


async def test_jobs_that_were_stored_before_such_numbers_were_refused_can_be_read(stall):
    service = await offered(stall)
    job = (await ordered(stall, service, "null"))["id"]
    for text in ("2e19", "1e300", "[" * 253 + "]" * 253):
        await stall.pool.execute(f"UPDATE job_requests SET input = '{text}'::jsonb")
        assert (await stall.api.get(JOBS))["total"] == 1
        shown = await stall.api.get(f"{JOBS}/{job}")
        assert (shown.status, shown["input"]) == (200, meant(text))


async def test_a_list_of_jobs_is_small_whatever_they_hold(stall):
    service = await offered(stall)
    for _ in range(20):
        assert (await ordered(stall, service, '"' + "x" * 262_000 + '"')).status == 201
    listed = await stall.api.get(f"{JOBS}?limit=100")
    assert len(listed["jobs"]) == 20
    assert len(listed.text) < 50_000
    assert not {"input", "output"} & set(listed["jobs"][0])
    assert len((await stall.api.get(f"{JOBS}/{listed['jobs'][0]['id']}"))["input"]) == 262_000


ANY_NUMBER = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
    st.tuples(st.integers(-(10**20), 10**20), st.integers(-30, 30)).map(lambda pair: f"{pair[0]}e{pair[1]}"),
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=8) | ANY_NUMBER.map(lambda text: ("number", text)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def as_text(value):
    """JSON with its numbers in the notation that was drawn."""
    match value:
        case ("number", str(text)):
            return text
        case list():
            return "[" + ",".join(map(as_text, value)) + "]"
        case dict():
            return "{" + ",".join(f"{json.dumps(key)}:{as_text(one)}" for key, one in value.items()) + "}"
    return json.dumps(value)


class _Body(ExactRequest):
    def __init__(self, text):
        super().__init__({"type": "http", "method": "POST", "headers": []})
        self._body = text.encode()


async def test_the_database_gives_back_whatever_is_accepted(pool):
    drawn = []

    @settings(max_examples=600, deadline=None, derandomize=True, database=None)
    @given(ANY_JSON)
    def draw(value):
        drawn.append(as_text(value))

    draw()
    accepted = 0
    for text in drawn:
        try:
            kept = stored_json(await _Body(text).json(), "input", 10_000)
        except (ApiError, json.JSONDecodeError):
            continue
        accepted += 1
        assert await pool.fetchval("SELECT $1::jsonb", kept) == kept, text
        assert kept == meant(text), text
    assert accepted > 200
