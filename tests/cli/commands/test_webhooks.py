"""`pay402 webhooks` and `pay402 events`: what happened, and who is sent it."""

import pytest

from ledger.webhooks import add_deliveries
from tests.support.command_line import pay402
from tests.support.feed_publishing import log_event, publish

URL = "http://127.0.0.1:9/hooks"
NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def command(home, database_url):
    async def run(*arguments, **variables):
        return await pay402(*arguments, home=home, DATABASE_URL=database_url, **variables)

    return run


async def test_a_webhook_is_added_tried_looked_at_and_removed(command, pool):
    made = (await command("webhooks", "add", URL, "--user", "shop", "--type", "key.revoked", "--json")).json
    assert made["secret"].startswith("whsec_")
    shown = await command("webhooks", "list")
    assert URL in shown.out
    assert made["secret"] not in shown.out
    assert [one["id"] for one in (await command("webhooks", "list", "--user", "shop", "--json")).json] == [made["id"]]
    await log_event(pool, "key.revoked", "shop")
    assert (await command("webhooks", "test", made["id"])).code == 0
    numbers = [entry.number for entry in (await publish(pool)).entries]
    async with pool.acquire() as connection:
        await add_deliveries(connection, numbers)
    listed = (await command("webhooks", "deliveries", made["id"], "--json")).json
    assert {(one["type"], one["status"]) for one in listed} == {("key.revoked", "pending"), ("webhook.test", "pending")}
    again = await command("webhooks", "retry", made["id"], listed[-1]["event_id"], "--to", "newest", "--json")
    assert again.json == {"deliveries": 2}
    assert (await command("webhooks", "remove", made["id"], "--json")).json == {"removed": made["id"]}
    (await command("webhooks", "remove", made["id"])).assert_refused("webhook")


async def test_what_is_wrong_with_a_webhook_is_said(command):
    (await command("webhooks", "add", "http://10.0.0.1/hooks")).assert_refused("address")
    (await command("webhooks", "add", URL, APP_ENV="test")).assert_refused("https://")
    (await command("webhooks", "add", URL, "--type", "nothing")).assert_refused("nothing")
    (await command("webhooks", "test", NOBODY)).assert_refused("webhook")
    (await command("webhooks", "retry", NOBODY, "7")).assert_refused("evt_42")
    assert (await command("webhooks", "add", "http://10.0.0.1/hooks", WEBHOOK_PRIVATE_RECEIVERS="true")).code == 0


async def test_events_are_listed_as_readers_get_them(command, pool):
    await log_event(pool, "key.revoked", "shop")
    await log_event(pool, "key.created", "rival")
    await publish(pool)
    listed = (await command("events", "list", "--user", "shop")).json_lines
    assert [event["type"] for event in listed] == ["key.revoked"]
    everything = (await command("events", "list", "--type", "key.*")).json_lines
    assert [event["userId"] for event in everything] == ["shop", "rival"]
    after = (await command("events", "list", "--after", everything[0]["id"])).json_lines
    assert [event["userId"] for event in after] == ["rival"]
    (await command("events", "list", "--type", "nothing")).assert_refused("nothing")
    (await command("events", "list", "--after", "7")).assert_refused("evt_42")
