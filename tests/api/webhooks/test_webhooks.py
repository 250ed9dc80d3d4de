"""Webhooks over HTTP: whose they are, what is shown once, and what became of their deliveries."""

import pytest

from api.webhooks.routes import WEBHOOKS_MAX
from ledger.webhooks import EndedTry, add_deliveries, end_tries
from tests.support.api_client import key_for, running_api
from tests.support.feed_publishing import log_event, publish
from tests.support.ledger_rows import NO_NODE

HERE = "http://127.0.0.1:9/hooks"


@pytest.fixture
async def client(database_url, redis_url, pool):
    """A merchant of a development system, in which receivers may be on this machine."""
    async with running_api(database_url, redis_url, [NO_NODE], APP_ENV="development") as api:
        yield api.holding(await key_for(pool))


async def registered(client, **fields):
    reply = await client.post("/webhooks", {"url": HERE, **fields})
    assert reply.status == 201, reply.text
    return reply.body


async def test_a_secret_is_shown_once_and_listed_never(client):
    made = await registered(client, types=["payment.received", "request.paid"], description="shop")
    assert made["secret"].startswith("whsec_")
    assert made["publicKey"].startswith("whpk_")
    listed = await client.get("/webhooks")
    one = await client.get(f"/webhooks/{made['id']}")
    assert listed["webhooks"] == [one.body]
    assert listed["total"] == 1
    assert made["secret"] not in listed.text + one.text
    assert one["types"] == ["payment.received", "request.paid"]


async def test_the_api_cannot_read_a_secret_again_even_from_the_database(client, pool):
    await registered(client)
    async with pool.acquire() as connection:
        await connection.execute("SET ROLE pay402_api")
        try:
            for column in ("secret", "signing_seed"):
                with pytest.raises(Exception, match="permission denied"):
                    await connection.fetch(f"SELECT {column} FROM webhook_secrets")
        finally:
            await connection.execute("RESET ROLE")


async def test_a_repeated_request_with_its_key_makes_one_webhook(client):
    headers = {"Idempotency-Key": "once"}
    one, two = [await client.post("/webhooks", {"url": HERE}, headers=headers) for _ in range(2)]
    assert one.body == two.body
    assert (await client.get("/webhooks"))["total"] == 1


async def test_what_is_anothers_does_not_exist(client, pool):
    mine = await registered(client)
    rival = client.holding(await key_for(pool, "rival"))
    path = f"/webhooks/{mine['id']}"
    replies = [
        await rival.get(path),
        await rival.call("PATCH", path, {"status": "disabled"}),
        await rival.delete(path),
        await rival.post(f"{path}/rotate"),
        await rival.post(f"{path}/test"),
        await rival.get(f"{path}/deliveries"),
        await rival.post(f"{path}/deliveries/retry", {"from": "evt_1"}),
        await rival.post(f"{path}/deliveries/evt_1/retry"),
    ]
    assert [reply.status for reply in replies] == [404] * len(replies)
    assert (await rival.get("/webhooks"))["total"] == 0
    assert (await client.get(path)).body["status"] == "active"


async def test_a_test_key_changes_no_live_webhook(client, pool):
    live = await registered(client)
    trial = client.holding(await key_for(pool, environment="test"))
    assert (await trial.delete(f"/webhooks/{live['id']}")).status == 403
    assert (await registered(trial))["environment"] == "test"


async def test_a_webhook_is_changed_switched_off_and_deleted(client):
    made = await registered(client, types=["request.paid"])
    path = f"/webhooks/{made['id']}"
    changed = await client.call("PATCH", path, {"types": None, "description": "all", "status": "disabled"})
    assert (changed["types"], changed["description"], changed["status"]) == (None, "all", "disabled")
    assert changed["disabledReason"] == "asked"
    assert (await client.post(f"{path}/test")).status == 409
    assert (await client.call("PATCH", path, {"status": "active"}))["disabledReason"] is None
    assert (await client.delete(path)).status == 200
    assert (await client.get(path)).status == 404


@pytest.mark.parametrize(
    "body",
    [{}, {"url": HERE, "types": ["nothing"]}, {"url": HERE, "types": []}, {"url": HERE, "secret": "mine"}, {"url": 1}],
)
async def test_what_makes_no_sense_is_refused(client, body):
    assert (await client.post("/webhooks", body)).status == 400


async def test_webhooks_are_bounded_for_each_user(client, pool):
    for _ in range(WEBHOOKS_MAX):
        await registered(client)
    assert (await client.post("/webhooks", {"url": HERE})).status == 409
    await registered(client.holding(await key_for(pool, "another")))


async def test_a_rotation_shows_the_new_secret_and_when_the_old_one_ends(client, pool):
    made = await registered(client)
    rotated = await client.post(f"/webhooks/{made['id']}/rotate")
    assert rotated.status == 201
    assert rotated["secret"] != made["secret"]
    assert rotated["publicKey"] != made["publicKey"]
    assert await pool.fetchval("SELECT count(*) FROM webhook_secrets WHERE valid_until > clock_timestamp()") == 1


async def test_a_rotation_too_many_is_refused_and_keeps_the_keys(client):
    made = await registered(client)
    replies = [await client.post(f"/webhooks/{made['id']}/rotate") for _ in range(8)]
    assert [reply.status for reply in replies] == [*[201] * 7, 409]
    assert (await client.get(f"/webhooks/{made['id']}"))["publicKey"] == replies[6]["publicKey"]


async def test_deliveries_are_listed_and_sent_again(client, pool):
    made = await registered(client)
    for n in range(3):
        await log_event(pool, "key.revoked", subject=f"sk_live_{n}")
    published = await publish(pool)
    numbers = [entry.number for entry in published.entries]
    await add_deliveries(pool, numbers)
    ended = [EndedTry(made["id"], number, "delivered", 0.0, 200, "ok", 7, None) for number in numbers]
    async with pool.acquire() as connection:
        await end_tries(connection, ended)
    path = f"/webhooks/{made['id']}/deliveries"
    first = await client.get(f"{path}?limit=2")
    rest = await client.get(f"{path}?limit=2&before={first['cursor']}")
    shown = [*first["deliveries"], *rest["deliveries"]]
    assert [one["eventId"] for one in shown] == [f"evt_{number}" for number in reversed(numbers)]
    assert {(one["status"], one["answerStatus"], one["answerStart"]) for one in shown} == {("delivered", 200, "ok")}
    again = await client.post(f"{path}/{shown[0]['eventId']}/retry")
    assert (again.status, again["deliveries"]) == (202, 1)
    assert (await client.get(f"{path}?status=pending"))["deliveries"][0]["eventId"] == shown[0]["eventId"]
    some = await client.post(f"{path}/retry", {"from": f"evt_{numbers[0]}", "to": f"evt_{numbers[1]}"})
    assert some["deliveries"] == 2
    assert (await client.post(f"{path}/evt_999999/retry")).status == 404
