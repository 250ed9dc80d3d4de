"""Receivers whose answers must not cost us more than a delivery of theirs."""

import asyncio

import pytest
from aiohttp import web

from ledger.webhooks import (
    SIGNING_KEYS_MAX,
    TooManyKeysError,
    change_webhook,
    disable_webhooks,
    find_webhook,
    rotate_keys,
)
from runtime.webhook_signatures import new_signing_keys
from tests.support.feed_publishing import log_event
from tests.support.ledger_checks import eventually
from tests.support.webhook_receivers import UNSEALED, ends_as, receiving, subscribe

FAR_DATES = [
    "Wed, 21 Oct 2015 07:28:00 +99999999999999999999",
    "Wed, 21 Oct 2015 07:28:00 +2404444444440",
    "Fri, 31 Dec 9999 21:59:59 -0444444444100",
    "Wed, 21 Oct 0015 07:28:55555555555555500 GMT",
    "Mon, 01 Jan 0001 00:00:00 +0100",
    "\xb2",
]


@pytest.mark.parametrize("date", FAR_DATES)
async def test_a_date_beyond_all_dates_is_no_defect_of_ours(worker, pool, date):
    async def odd(_):
        return web.Response(status=200, headers={"Retry-After": date})

    async with receiving(odd) as receiver:
        webhook = await subscribe(pool, receiver, types=["key.revoked"])
        await log_event(pool, "key.revoked")
        await ends_as(pool, webhook, "delivered")
        assert len(receiver.sent) == 1
    assert (await find_webhook(pool, webhook.id)).failing_since is None


async def test_what_the_old_address_says_of_itself_is_not_said_of_the_new_one(worker, pool):
    is_asked, answers = asyncio.Event(), asyncio.Event()

    async def gone_after_a_while(_):
        is_asked.set()
        await answers.wait()
        return web.Response(status=410)

    async with receiving(gone_after_a_while) as old, receiving() as new:
        webhook = await subscribe(pool, old, types=["key.revoked"])
        await log_event(pool, "key.revoked")
        await is_asked.wait()
        assert await change_webhook(pool, webhook.id, url=new.url)
        answers.set()

        async def is_tried():
            return await pool.fetchval("SELECT answer_status FROM webhook_deliveries")

        assert await eventually(is_tried) == 410
        await log_event(pool, "key.revoked", subject="sk_live_later")
        await eventually(lambda: new.sent)
    assert (await find_webhook(pool, webhook.id)).status == "active"


async def test_a_webhook_is_gone_by_its_own_address_alone(pool):
    async with receiving() as receiver:
        webhook = await subscribe(pool, receiver, types=["key.revoked"])
    assert await disable_webhooks(pool, gone=[(webhook.id, "https://elsewhere.example")], failing_seconds_max=60) == 0
    assert await disable_webhooks(pool, gone=[(webhook.id, receiver.url)], failing_seconds_max=60) == 1


async def test_rotations_are_refused_before_signatures_outgrow_their_header(worker, pool):
    async with receiving() as receiver:
        webhook = await subscribe(pool, receiver, types=["key.revoked"])

        async def rotate():
            async with pool.acquire() as connection, connection.transaction():
                sealed = UNSEALED.seal(webhook.id, new_signing_keys())
                await rotate_keys(connection, webhook.id, sealed, grace_seconds=86_400)

        for _ in range(SIGNING_KEYS_MAX - 1):
            await rotate()
        with pytest.raises(TooManyKeysError):
            await rotate()
        await log_event(pool, "key.revoked")
        await ends_as(pool, webhook, "delivered")
        assert len(receiver.sent[0].headers["webhook-signature"].split()) == 2 * SIGNING_KEYS_MAX
        await pool.execute("UPDATE webhook_secrets SET valid_until = clock_timestamp() WHERE valid_until IS NOT NULL")
        await rotate()
