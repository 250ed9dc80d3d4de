"""GET /events: whose events they are, and a cursor that neither skips nor repeats."""

import pytest

from ledger.feed import entry_number
from tests.support.api_client import key_for
from tests.support.feed_publishing import log_event, publish


async def types_of(client, query=""):
    reply = await client.get(f"/events{query}")
    assert reply.status == 200, reply.text
    return [event["type"] for event in reply["events"]]


@pytest.fixture
async def merchant_events(vendor, pool):
    """The key of the vendor is made; whatever was logged of that is read."""
    await publish(pool)
    ends = await vendor.client.get("/events")
    return ends["cursor"]


async def test_a_merchant_sees_its_own_events_and_an_admin_all(vendor, pool, merchant_events):
    other = vendor.api.holding(await key_for(pool, "rival"))
    admin = vendor.api.holding(await key_for(pool, "operations", ("read", "admin")))
    await publish(pool)
    start = (await admin.get("/events"))["cursor"]
    await log_event(pool, "key.revoked", "merchant")
    await log_event(pool, "key.revoked", "rival")
    await publish(pool)
    whose = [
        {event["userId"] for event in (await client.get(f"/events?after={start}"))["events"]}
        for client in (vendor.client, other, admin)
    ]
    assert whose == [{"merchant"}, {"rival"}, {"merchant", "rival"}]


async def test_pages_follow_each_other_without_a_gap(vendor, pool, merchant_events):
    for n in range(7):
        await log_event(pool, "key.revoked", subject=f"sk_live_{n}")
    await publish(pool)
    cursor, seen = merchant_events, []
    while True:
        page = await vendor.client.get(f"/events?after={cursor}&limit=3")
        seen += [event["data"]["keyPrefix"] for event in page["events"]]
        cursor = page["cursor"]
        if not page["hasMore"]:
            break
    assert seen == [f"sk_live_{n}" for n in range(7)]
    assert await types_of(vendor.client, f"?after={cursor}") == []


async def test_a_cursor_of_a_reader_without_news_moves_on(vendor, pool, merchant_events):
    await log_event(pool, "key.revoked", "rival")
    await publish(pool)
    moved = (await vendor.client.get(f"/events?after={merchant_events}"))["cursor"]
    assert entry_number(moved) == entry_number(merchant_events) + 1


async def test_types_are_filtered_by_name_and_family(vendor, pool, merchant_events):
    await log_event(pool, "key.revoked")
    await log_event(pool, "webhook.test", webhookId="00000000-0000-0000-0000-000000000001", reason=None)
    await publish(pool)
    after = f"?after={merchant_events}"
    assert await types_of(vendor.client, after) == ["key.revoked", "webhook.test"]
    assert await types_of(vendor.client, f"{after}&type=webhook.test") == ["webhook.test"]
    assert await types_of(vendor.client, f"{after}&type=job.*,key.*") == ["key.revoked"]
    assert (await vendor.client.get("/events?type=nothing.of.that")).status == 400
    assert (await vendor.client.get("/events?kind=key.revoked")).status == 400


@pytest.mark.parametrize("after", ["evt_999999", "7", "evt_x", "evt_-1"])
async def test_a_cursor_that_this_ledger_has_not_given_is_refused(vendor, after):
    assert (await vendor.client.get(f"/events?after={after}")).status == 400


async def test_a_reader_that_comes_too_late_is_not_left_to_believe_it_missed_nothing(vendor, pool, merchant_events):
    await log_event(pool, "key.revoked")
    await log_event(pool, "key.revoked")
    await publish(pool)
    await pool.execute("UPDATE feed_position SET pruned_feed_id = feed_id")
    reply = await vendor.client.get(f"/events?after={merchant_events}")
    assert (reply.status, reply.code) == (410, "GONE")


async def test_reading_takes_a_key_that_may_read(vendor, pool):
    assert (await vendor.api.get("/events")).status == 401
    blind = vendor.api.holding(await key_for(pool, permissions=("write",)))
    assert (await blind.get("/events")).status == 403
    assert (await blind.get("/events/stream")).status == 403
