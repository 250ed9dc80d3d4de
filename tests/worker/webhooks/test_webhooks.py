"""Deliveries of webhooks: every event reaches every receiver at least once, under one id, whatever receivers do."""

import asyncio
import base64
import contextlib
import time
from dataclasses import replace

import pytest
from aiohttp import web
from solders.signature import Signature
from standardwebhooks import Webhook as Verifier

from ledger.feed import feed_ends
from ledger.webhooks import change_webhook, deliveries_page, find_webhook, log_test, retry_deliveries, rotate_keys
from runtime.webhook_signatures import new_signing_keys, secret_text
from tests.support.feed_publishing import log_event
from tests.support.job_shop import fast_settings
from tests.support.ledger_checks import eventually
from tests.support.webhook_receivers import (
    UNSEALED,
    at_length,
    badly,
    ends_as,
    never,
    not_at_all,
    public_key,
    receiving,
    slowly,
    subscribe,
    well,
)  # fmt: skip
from worker.context import open_worker_context
from worker.feed.publish import publish
from worker.main import running_worker
from worker.webhooks import sending
from worker.webhooks.delivery import WebhookSender

QUICK = {"WORKER_WEBHOOK_POLL_SECONDS": 0.05, "WORKER_FEED_POLL_SECONDS": 0.05, "WORKER_WEBHOOK_ANSWER_SECONDS": 1}


@pytest.fixture
def quick_retries(monkeypatch):
    monkeypatch.setattr(sending, "_BACKOFF", replace(sending._BACKOFF, first_seconds=0.05, grows=1.5))


@pytest.fixture
async def context(net, database_url):
    """A worker's context whose passes a test runs itself."""
    async with open_worker_context(fast_settings(**QUICK), database_url, [net.rpc_url]) as opened:
        yield opened


@pytest.fixture
async def worker(net, database_url, redis_url, quick_retries):
    async with running_worker(fast_settings(**QUICK), database_url, redis_url, [net.rpc_url]) as running:
        yield running


@contextlib.asynccontextmanager
async def sender_of(context):
    sender = WebhookSender(context)
    task = asyncio.create_task(sender.run())
    try:
        yield sender
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def log_events(pool, count, user="merchant"):
    for n in range(count):
        await log_event(pool, "key.revoked", user, f"sk_live_{n}")


async def test_what_happens_arrives_signed_and_as_the_feed_has_it(worker, pool):
    async with receiving() as receiver:
        webhook = await subscribe(pool, receiver)
        await log_event(pool, "key.revoked", subject="sk_live_mine")
        await log_event(pool, "key.revoked", "rival", "sk_live_rival")
        await ends_as(pool, webhook, "delivered")
    (sent,) = receiver.sent
    assert sent.body.decode() == await pool.fetchval("SELECT body FROM feed WHERE user_id = 'merchant'")
    assert sent.event["data"]["keyPrefix"] == "sk_live_mine"
    assert sent.id == sent.event["id"]
    # As whoever receives it does, by the published library; and by ed25519.
    assert Verifier(secret_text(receiver.keys)).verify(sent.body, sent.headers) == sent.event
    scheme, _, encoded = sent.headers["webhook-signature"].split()[1].partition(",")
    content = f"{sent.id}.{sent.headers['webhook-timestamp']}.".encode() + sent.body
    assert scheme == "v1a"
    assert Signature(base64.b64decode(encoded)).verify(public_key(receiver.keys), content)


async def test_a_delivery_that_fails_comes_again_under_its_id_until_it_arrives(worker, pool):
    answers = iter([badly, not_at_all, badly])

    async def in_the_end(request):
        return await next(answers, well)(request)

    async with receiving(in_the_end) as receiver:
        webhook = await subscribe(pool, receiver)
        await log_event(pool, "key.revoked")
        (delivery,) = await ends_as(pool, webhook, "delivered")
    assert list(receiver.tries.values()) == [4]
    assert len({one.body for one in receiver.sent}) == 1
    assert (delivery.tries, delivery.answer_status, delivery.error) == (4, 204, None)
    assert (await find_webhook(pool, webhook.id)).failing_since is None


@pytest.mark.parametrize(
    ("behave", "status", "error"),
    [
        (badly, 500, "It answered 500."),
        (at_length, 500, "It answered 500."),
        (never, None, "It did not answer within 1 s."),
        (not_at_all, None, "The connection failed (ServerDisconnectedError)."),
    ],
)
async def test_what_a_receiver_answered_is_kept_in_bounds(worker, pool, behave, status, error):
    async with receiving(behave) as receiver:
        webhook = await subscribe(pool, receiver)
        await log_event(pool, "key.revoked")

        async def tried():
            found = await deliveries_page(pool, webhook.id, status="pending", before=None, limit=1)
            return found[0] if found and found[0].answered_at else None

        delivery = await eventually(tried)
    assert (delivery.answer_status, delivery.error) == (status, error)
    assert len(delivery.answer_start or "") <= sending.ANSWER_BYTES_MAX
    assert (await find_webhook(pool, webhook.id)).failing_since is not None


async def test_broken_receivers_hold_up_no_healthy_one(worker, pool):
    async with contextlib.AsyncExitStack() as stack:
        broken = [never, never, badly, not_at_all, at_length, slowly, never, badly, never]
        for behave in broken:
            await subscribe(pool, await stack.enter_async_context(receiving(behave)))
        healthy = await stack.enter_async_context(receiving())
        webhook = await subscribe(pool, healthy)
        await log_events(pool, 100)
        await ends_as(pool, webhook, "delivered", 100)
    assert len(healthy.tries) == 100


async def test_a_redirect_is_not_followed(worker, pool):
    async with receiving() as other:

        async def elsewhere(_):
            return web.Response(status=307, headers={"Location": other.url})

        async with receiving(elsewhere) as receiver:
            await subscribe(pool, receiver)
            await log_event(pool, "key.revoked")
            await eventually(lambda: len(receiver.sent) >= 2)
    assert other.sent == []


async def test_what_is_gone_is_switched_off_and_its_user_sees_it(worker, pool):
    async def gone(_):
        return web.Response(status=410)

    async with receiving(gone) as receiver:
        webhook = await subscribe(pool, receiver)
        await log_event(pool, "key.revoked")

        async def is_off():
            return (await find_webhook(pool, webhook.id)).status == "disabled"

        await eventually(is_off)
    assert (await find_webhook(pool, webhook.id)).disabled_reason == "gone"

    async def is_logged():
        return await pool.fetchval("SELECT count(*) FROM feed WHERE type = 'webhook.disabled' AND user_id = 'merchant'")

    await eventually(is_logged)


async def test_what_fails_for_days_is_switched_off_and_can_be_switched_on_again(context, pool, monkeypatch):
    monkeypatch.setattr("worker.webhooks.delivery._DISABLE_SECONDS", 0.0)
    async with receiving() as receiver:
        webhook = await subscribe(pool, receiver)
        await pool.execute("UPDATE webhooks SET failing_since = clock_timestamp() - interval '121 hours'")
        await log_events(pool, 1)
        await publish(context)
        async with sender_of(context):
            await eventually(lambda: _is(pool, webhook, "disabled"))
            assert receiver.sent == []
            assert await change_webhook(pool, webhook.id, status="active")
            # What waited for it is sent now.
            await ends_as(pool, webhook, "delivered")
    assert (await find_webhook(pool, webhook.id)).disabled_reason is None


async def _is(pool, webhook, status):
    return (await find_webhook(pool, webhook.id)).status == status


async def test_what_cannot_be_delivered_for_days_is_given_up_and_can_be_sent_again(context, pool):
    async with receiving(badly) as receiver:
        webhook = await subscribe(pool, receiver)
        await log_events(pool, 3)
        await publish(context)
        await pool.execute("UPDATE webhook_deliveries SET created_at = clock_timestamp() - interval '73 hours'")
        async with sender_of(context):
            given_up = await ends_as(pool, webhook, "failed", 3)
            receiver.behave = well
            numbers = sorted(delivery.feed_id for delivery in given_up)
            assert await retry_deliveries(pool, webhook.id, from_number=numbers[1], to_number=numbers[2]) == 2
            await ends_as(pool, webhook, "delivered", 2)
    assert sorted(receiver.tries.values()) == [1, 2, 2]


async def test_what_a_webhook_missed_while_it_was_off_can_be_sent(context, pool):
    async with receiving() as receiver:
        webhook = await subscribe(pool, receiver)
        await change_webhook(pool, webhook.id, status="disabled")
        await log_events(pool, 5)
        await publish(context)
        assert await deliveries_page(pool, webhook.id, status=None, before=None, limit=9) == []
        await change_webhook(pool, webhook.id, status="active")
        ends = await feed_ends(pool)
        assert await retry_deliveries(pool, webhook.id, from_number=1, to_number=ends.newest) == 5
        async with sender_of(context):
            await ends_as(pool, webhook, "delivered", 5)


async def test_a_test_is_sent_to_its_webhook_alone_whatever_types_it_wants(worker, pool):
    async with receiving() as one, receiving() as other:
        tested = await subscribe(pool, one, types=["job.approved"])
        await subscribe(pool, other)
        await log_event(pool, "key.revoked")
        assert await log_test(pool, tested.id)
        await ends_as(pool, tested, "delivered")
        await eventually(lambda: len(other.sent) == 1)
    assert [sent.event["type"] for sent in one.sent] == ["webhook.test"]
    assert [sent.event["type"] for sent in other.sent] == ["key.revoked"]


async def test_live_and_test_are_kept_apart(context, pool):
    async with receiving() as live, receiving() as trial:
        await subscribe(pool, live)
        await subscribe(pool, trial, environment="test")
        await log_events(pool, 2)
        await publish(context)
        counts = await pool.fetch(
            "SELECT w.environment, count(d.feed_id) FROM webhooks AS w"
            " LEFT JOIN webhook_deliveries AS d ON d.webhook_id = w.id GROUP BY 1"
        )
    assert {row["environment"]: row["count"] for row in counts} == {"live": 2, "test": 0}


async def test_for_a_day_after_a_rotation_both_secrets_sign(worker, pool):
    async with receiving() as receiver:
        webhook = await subscribe(pool, receiver)
        new = new_signing_keys()
        async with pool.acquire() as connection, connection.transaction():
            await rotate_keys(connection, webhook.id, UNSEALED.seal(webhook.id, new), grace_seconds=86_400)
        await log_event(pool, "key.revoked")
        await ends_as(pool, webhook, "delivered")
        (sent,) = receiver.sent
        for keys in (new, receiver.keys):
            assert Verifier(secret_text(keys)).verify(sent.body, sent.headers)
        await pool.execute("UPDATE webhook_secrets SET valid_until = clock_timestamp() WHERE valid_until IS NOT NULL")
        await log_event(pool, "key.revoked")
        await ends_as(pool, webhook, "delivered", 2)
        with pytest.raises(Exception, match="signature"):
            Verifier(secret_text(receiver.keys)).verify(receiver.sent[-1].body, receiver.sent[-1].headers)


async def test_what_a_sender_that_died_had_taken_is_sent_by_another(context, pool):
    async with receiving(never) as receiver:
        webhook = await subscribe(pool, receiver)
        await log_events(pool, 4)
        await publish(context)
        async with sender_of(context):
            await eventually(lambda: len(receiver.sent) == 4)
        receiver.behave = well
        # Nobody else takes them before the lease is over.
        async with sender_of(context):
            await asyncio.sleep(0.3)
            assert len(receiver.sent) == 4
            await pool.execute("UPDATE webhook_deliveries SET next_try_at = clock_timestamp()")
            await ends_as(pool, webhook, "delivered", 4)
    assert sorted(receiver.tries.values()) == [2, 2, 2, 2]


async def test_no_receiver_is_sent_more_at_once_than_its_bound(context, pool):
    under_way, under_way_max = 0, 0

    async def counting(request):
        nonlocal under_way, under_way_max
        under_way += 1
        under_way_max = max(under_way_max, under_way)
        await asyncio.sleep(0.02)
        under_way -= 1
        return await well(request)

    async with receiving(counting) as receiver:
        webhook = await subscribe(pool, receiver)
        await log_events(pool, 60)
        await publish(context)
        async with sender_of(context):
            await ends_as(pool, webhook, "delivered", 60)
    assert 1 < under_way_max <= context.settings.webhooks_under_way_each_max


def test_waits_grow_with_jitter_and_are_bounded():
    for attempt, middle in ((2, 5), (3, 15), (4, 45), (5, 135)):
        waits = {sending.pause_before(attempt) for _ in range(50)}
        assert len(waits) > 1
        assert all(0.8 * middle <= wait <= 1.2 * middle for wait in waits)
    assert sending.pause_before(1_000) <= 1.2 * 8 * 3_600
    assert sending.pause_before(2, 600.0) == 600.0
    assert sending.pause_before(2, 1e9) == 24 * 3_600


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("120", 120), ("0", 0), ("-1", None), ("soon", None), ("1e9", None), ("", None), ("9" * 30, None)],
)
def test_a_wish_to_be_left_alone_is_understood_or_ignored(value, seconds):
    assert sending._wish({"Retry-After": value}) == seconds


def test_a_wish_may_name_a_date():
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 100))
    assert 90 < sending._wish({"Retry-After": date}) <= 100


async def test_many_receivers_that_hang_leave_room_for_one_that_answers(net, database_url, pool):
    """More of them than tries may be under way, as two users may register, who let every try hang to its end."""
    settings = fast_settings(**{**QUICK, "WORKER_WEBHOOK_ANSWER_SECONDS": 110}, WORKER_WEBHOOKS=16)
    async with contextlib.AsyncExitStack() as stack:
        context = await stack.enter_async_context(open_worker_context(settings, database_url, [net.rpc_url]))
        for _ in range(5):
            await subscribe(pool, await stack.enter_async_context(receiving(never)), "stranger")
        healthy = await stack.enter_async_context(receiving())
        await log_events(pool, 20, "stranger")
        await publish(context)
        await stack.enter_async_context(sender_of(context))

        async def all_hang():
            return await pool.fetchval("SELECT count(*) FROM webhook_deliveries WHERE tries > 0") >= 16

        await eventually(all_hang)
        webhook = await subscribe(pool, healthy)
        await log_events(pool, 30)
        await publish(context)
        await ends_as(pool, webhook, "delivered", 30)


async def test_a_sender_that_ends_begins_nothing_more(context, pool):
    async def soon(_):
        await asyncio.sleep(0.05)
        return web.Response(status=204)

    async with receiving(soon) as receiver:
        webhook = await subscribe(pool, receiver)
        await log_events(pool, 150)
        await publish(context)
        async with sender_of(context) as sender:
            await eventually(lambda: len(sender._ahead.get(webhook.id, ())) > 8)
        assert (sender._tries, sender._ended) == (set(), [])
        assert await pool.fetchval("SELECT count(*) FROM webhook_deliveries WHERE status = 'pending'") > 0
        await pool.execute("UPDATE webhook_deliveries SET next_try_at = clock_timestamp() WHERE status = 'pending'")
        async with sender_of(context) as sender:
            await ends_as(pool, webhook, "delivered", 150)
            assert sender._ahead == {}
    assert len(receiver.tries) == 150
