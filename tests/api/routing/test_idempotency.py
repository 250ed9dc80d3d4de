"""Idempotency-Key: one request, one answer, however often it is sent; what that may not be used for."""

import asyncio
import datetime as dt

import pytest

from tests.support.api_client import key_for, running_api
from tests.support.ledger_rows import NO_NODE, Vendor, new_signature

ORDER = {"amount": "1.50", "currency": "USDC"}


def with_key(key="order 7"):
    return {"Idempotency-Key": key}


async def test_the_same_request_has_the_same_answer_and_another_has_none(vendor):
    first = await vendor.client.post("/payments/requests", ORDER, headers=with_key())
    again = await vendor.client.post("/payments/requests", ORDER, headers=with_key())
    assert (first.status, again.status) == (201, 201)
    assert again.text == first.text
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert await vendor.pool.fetchval("SELECT count(*) FROM nonces") == 1
    for path, body in (
        ("/payments/requests", {**ORDER, "amount": 2}),
        ("/payments/requests?x=1", ORDER),
        ("/auth/token", ORDER),
    ):
        other = await vendor.client.post(path, body, headers=with_key())
        assert (other.status, other.code) == (409, "CONFLICT"), path
    assert (await vendor.client.post("/payments/requests", ORDER, headers=with_key("order 8")))["nonce"] != first[
        "nonce"
    ]


async def test_everybodys_keys_are_their_own(vendor):
    rival = await Vendor(vendor.api, vendor.pool, user="rival").open()
    first = await vendor.client.post("/payments/requests", ORDER, headers=with_key())
    others = await rival.client.post("/payments/requests", ORDER, headers=with_key())
    assert others["nonce"] != first["nonce"]
    # Another key of the same user will do: the first may have been replaced meanwhile.
    same = vendor.api.holding(await key_for(vendor.pool, vendor.user))
    assert (await same.post("/payments/requests", ORDER, headers=with_key())).text == first.text
    reader = vendor.api.holding(await key_for(vendor.pool, vendor.user, ("read",)))
    assert (await reader.post("/payments/requests", ORDER, headers=with_key())).status == 403


async def test_requests_at_the_same_time_are_carried_out_once(vendor):
    replies = await asyncio.gather(
        *(vendor.client.post("/payments/requests", ORDER, headers=with_key()) for _ in range(20))
    )
    assert {reply.status for reply in replies} <= {201, 409}
    assert len({reply.text for reply in replies if reply.status == 201}) == 1
    assert await vendor.pool.fetchval("SELECT count(*) FROM nonces") == 1


async def test_an_answer_that_says_to_come_again_is_not_kept(vendor):
    proof = vendor.proof(new_signature())
    assert (await vendor.client.verify(proof, headers=with_key())).code == "PAYMENT_PENDING"
    await vendor.paid(10_000, signature=proof["transactionId"])
    answered = await vendor.client.verify(proof, headers=with_key())
    assert answered.code == "VALID"
    assert (await vendor.client.verify(proof, headers=with_key())).text == answered.text
    assert (await vendor.client.verify(proof)).code == "REPLAY_ATTACK"


async def test_a_refusal_is_kept(vendor):
    proof = vendor.proof(await vendor.paid(), "5")
    refused = await vendor.client.verify(proof, headers=with_key())
    assert refused.code == "INSUFFICIENT_AMOUNT"
    assert (await vendor.client.verify(proof, headers=with_key())).text == refused.text


async def test_answers_outlive_the_process(database_url, redis_url, pool):
    async with running_api(database_url, redis_url, [NO_NODE]) as api:
        vendor = await Vendor(api, pool).open()
        first = await vendor.client.post("/payments/requests", ORDER, headers=with_key())
    async with running_api(database_url, redis_url, [NO_NODE]) as api:
        again = await api.holding(vendor.client.key).post("/payments/requests", ORDER, headers=with_key())
    assert again.text == first.text


async def later(pool, hours):
    """Let time pass for what is kept of requests and claims."""
    age = dt.timedelta(hours=hours)
    await pool.execute("UPDATE idempotent_answers SET created_at = created_at - $1::interval", age)
    await pool.execute("UPDATE transactions SET answered_at = answered_at - $1::interval", age)


async def test_answers_are_kept_for_a_day_and_a_key_is_one_requests_for_longer(vendor):
    first = await vendor.client.post("/payments/requests", ORDER, headers=with_key())
    await later(vendor.pool, 25)
    other = await vendor.client.post("/payments/requests", {**ORDER, "amount": 2}, headers=with_key())
    assert (other.status, other.code) == (409, "CONFLICT")
    anew = await vendor.client.post("/payments/requests", ORDER, headers=with_key())
    assert anew.status == 201
    assert anew["nonce"] != first["nonce"]
    assert (await vendor.client.post("/payments/requests", ORDER, headers=with_key())).text == anew.text


@pytest.mark.parametrize("is_forgotten", [False, True], ids=["the key is known", "the key is forgotten"])
@pytest.mark.parametrize("change", [{"resource": "/another"}, {"timestamp": 1}, {"agentId": "another"}])
async def test_a_payment_is_honoured_for_one_request_only_however_late_another_has_its_key(
    vendor, change, is_forgotten
):
    proof = vendor.proof(await vendor.paid(), resource="/report")
    assert (await vendor.client.verify(proof, headers=with_key())).code == "VALID"
    change = {**change, **({"timestamp": proof["timestamp"] + 1} if "timestamp" in change else {})}
    for hours in (0, 25):
        await later(vendor.pool, hours)
        if is_forgotten:
            await vendor.pool.execute("DELETE FROM idempotent_answers")
        refused = await vendor.client.verify({**proof, **change}, headers=with_key())
        assert (refused.status, refused.code) == (409, "CONFLICT"), hours
    assert await vendor.pool.fetchval("SELECT count(*) FROM transactions WHERE status = 'confirmed'") == 1


async def test_the_claim_remembers_its_request_as_long_as_its_answer_is_kept(vendor):
    proof = vendor.proof(await vendor.paid())
    first = await vendor.client.verify(proof, headers=with_key())
    assert first.code == "VALID"
    # The answer was lost before it was kept.
    await vendor.pool.execute("DELETE FROM idempotent_answers")
    again = await vendor.client.verify(proof, headers=with_key())
    assert (again.code, again["transaction"]) == ("VALID", first["transaction"])
    await later(vendor.pool, 25)
    assert (await vendor.client.verify(proof, headers=with_key())).code == "REPLAY_ATTACK"


async def test_a_new_key_can_be_had_again_and_yet_lies_nowhere(vendor):
    made = await vendor.client.post("/api-keys", {"name": "shop"}, headers=with_key())
    again = await vendor.client.post("/api-keys", {"name": "shop"}, headers=with_key())
    assert again.text == made.text
    assert again.headers["Cache-Control"] == "no-store"
    assert "mask" not in str(again.headers).lower()
    kept = await vendor.pool.fetchrow("SELECT * FROM idempotent_answers")
    assert made["apiKey"].encode() not in kept["body"]
    assert made["keyPrefix"].encode() not in kept["body"]
    # For another key of the same user it is noise.
    same = vendor.api.holding(await key_for(vendor.pool, vendor.user))
    refused = await same.post("/api-keys", {"name": "shop"}, headers=with_key())
    assert (refused.status, refused.code) == (409, "CONFLICT")


async def test_strangers_leave_nothing_behind(vendor):
    for headers in ({"x-api-key": "sk_live_unknown"}, {"authorization": "Bearer nonsense"}):
        refused = await vendor.api.post("/payments/requests", ORDER, headers={**with_key(), **headers})
        assert refused.status == 401
    assert await vendor.pool.fetchval("SELECT count(*) FROM idempotent_answers") == 0


async def test_keys_have_a_form(vendor):
    for key in ("x" * 256, "caf\xe9", ""):
        refused = await vendor.client.post("/payments/requests", ORDER, headers=with_key(key))
        assert (refused.status, refused.code) == (400, "VALIDATION_ERROR"), key
    assert (await vendor.client.post("/payments/requests", ORDER, headers=with_key("x" * 255))).status == 201
    assert (await vendor.client.get("/payments", headers=with_key("x" * 256))).status == 200
