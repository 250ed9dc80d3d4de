"""Webhooks as pages: what became of each delivery, and sending it again."""

import pytest

from tests.support.api_client import key_for, running_api
from tests.support.console_browser import signed_in
from tests.support.feed_publishing import log_event, publish
from tests.support.ledger_rows import NO_NODE

ATTACK = "<script>document.title='owned'</script>"


@pytest.fixture
async def api(database_url, redis_url):
    async with running_api(database_url, redis_url, [NO_NODE], WEBHOOK_PRIVATE_RECEIVERS=True) as client:
        yield client


@pytest.fixture
async def hook(api, pool):
    """A webhook of the merchant's with a delivery that its receiver has refused, in words of its own."""
    merchant = api.holding(await key_for(pool))
    order = {"url": "https://127.0.0.1:9/hook", "description": ATTACK}
    made = await merchant.post("/webhooks", order)
    assert made.status == 201, made.text
    await log_event(pool, "key.revoked", subject="sk_live_0")
    await publish(pool)
    number = await pool.fetchval("SELECT max(id) FROM feed")
    await pool.execute(
        """
        INSERT INTO webhook_deliveries (webhook_id, feed_id, status, tries, answered_at, answer_status, answer_start,
          answer_ms, error)
        VALUES ($1, $2, 'failed', 9, now(), 500, $3, 12, 'it answered 500')
        """,
        made["id"], number, ATTACK,
    )  # fmt: skip
    return made["id"], f"evt_{number}"


async def test_a_delivery_is_shown_with_what_its_receiver_said_and_sent_again(api, pool, hook):
    webhook, event = hook
    browser = await signed_in(api, await key_for(pool))
    assert f"/console/webhooks/{webhook}" in (await browser.get("/console/webhooks")).body
    seen = await browser.get(f"/console/webhooks/{webhook}?status=failed")
    assert "500 in 12 ms it answered 500" in seen.text
    for page in (seen, await browser.get("/console/webhooks")):
        assert ATTACK in page.text
        assert ATTACK not in page.body
        assert len(page.page.all("script")) == 1
    form = {"form_token": await browser.token()}
    again = await browser.post(f"/console/webhooks/{webhook}/deliveries/{event}/retry", form)
    assert (again.status, again.location) == (303, f"/console/webhooks/{webhook}")
    assert await pool.fetchval("SELECT status FROM webhook_deliveries") == "pending"
    assert (await browser.post(f"/console/webhooks/{webhook}/test", form)).status == 303
    assert await pool.fetchval("SELECT count(*) FROM events WHERE type = 'webhook.test'") == 1


async def test_whose_webhook_it_is_not_sees_and_does_nothing(api, pool, hook):
    webhook, event = hook
    rival = await signed_in(api, await key_for(pool, "rival"))
    form = {"form_token": await rival.token()}
    assert webhook not in (await rival.get("/console/webhooks")).body
    assert (await rival.get(f"/console/webhooks/{webhook}")).status == 404
    reader = await signed_in(api, await key_for(pool, permissions=["read"]))
    assert not (await reader.get(f"/console/webhooks/{webhook}")).page.all(
        "form", action=f"/console/webhooks/{webhook}/test"
    )
    own = {"form_token": await reader.token()}
    for path in (f"/console/webhooks/{webhook}/deliveries/{event}/retry", f"/console/webhooks/{webhook}/test"):
        assert (await rival.post(path, form)).status == 404
        assert (await reader.post(path, own)).status == 403
    assert await pool.fetchval("SELECT status FROM webhook_deliveries") == "failed"
    for path in ("/console/webhooks/nonsense", f"/console/webhooks/{webhook}?before=x"):
        assert (await reader.get(path)).status in {400, 404}
