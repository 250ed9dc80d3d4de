"""What webhooks are signed with is sealed: a dump signs nothing, keys are rotated, and a missing key loses nothing."""

import asyncio
import secrets
import uuid

import pytest
from cryptography.exceptions import InvalidTag
from standardwebhooks import Webhook as Verifier
from structlog.testing import capture_logs

from ledger.webhooks import StoredKeys, find_webhook, rotate_keys, seals
from runtime.webhook_seal import WebhookSeal
from runtime.webhook_signatures import new_signing_keys, secret_text
from tests.support.feed_publishing import log_event
from tests.support.job_shop import fast_settings
from tests.support.ledger_checks import eventually
from tests.support.webhook_receivers import UNSEALED, receiving, subscribe
from worker.context import open_worker_context
from worker.feed.publish import publish
from worker.main import running_worker
from worker.webhooks.delivery import WebhookSender
from worker.webhooks.sealing import seal_webhooks

OLD, NEW = secrets.token_hex(32), secrets.token_hex(32)
QUICK = {"WORKER_WEBHOOK_POLL_SECONDS": 0.05, "WORKER_FEED_POLL_SECONDS": 0.05, "WORKER_HOUSEKEEPING_SECONDS": 0.2}


def worker_with(key, database_url, redis_url, net):
    return running_worker(fast_settings(**QUICK, WEBHOOK_KEY=key), database_url, redis_url, [net.rpc_url])


async def stored(pool):
    return b"".join(
        row["secret"] + row["signing_seed"]
        for row in await pool.fetch("SELECT secret, signing_seed FROM webhook_secrets")
    )


async def seal_is(pool, text):
    async def is_so():
        return [name for name, _ in await seals(pool)] == list(WebhookSeal([text]).names)

    await eventually(is_so)


async def test_what_was_stored_as_it_is_gets_sealed_and_goes_on_signing(net, database_url, redis_url, pool):
    async with receiving() as receiver:
        await subscribe(pool, receiver)
        assert receiver.keys.secret in await stored(pool)
        async with worker_with(NEW, database_url, redis_url, net):
            await seal_is(pool, NEW)
            found = await stored(pool)
            assert receiver.keys.secret not in found
            assert receiver.keys.signing_seed not in found
            await log_event(pool, "key.revoked")
            await eventually(lambda: receiver.sent)
    (sent,) = receiver.sent
    assert Verifier(secret_text(receiver.keys)).verify(sent.body, sent.headers)


async def test_a_new_key_takes_over_and_the_old_one_is_needed_no_more(net, database_url, redis_url, pool):
    async with receiving() as receiver:
        await subscribe(pool, receiver, seal=WebhookSeal([OLD]))
        async with worker_with(f"{NEW}, {OLD}", database_url, redis_url, net):
            await seal_is(pool, NEW)
        async with worker_with(NEW, database_url, redis_url, net):
            await log_event(pool, "key.revoked")
            await eventually(lambda: receiver.sent)
    (sent,) = receiver.sent
    assert Verifier(secret_text(receiver.keys)).verify(sent.body, sent.headers)


async def test_what_a_missing_key_seals_waits_for_it_and_holds_up_nobody_else(net, database_url, redis_url, pool):
    async with receiving() as waiting, receiving() as other:
        webhook = await subscribe(pool, waiting, seal=WebhookSeal([OLD]))
        await subscribe(pool, other, seal=WebhookSeal([NEW]))
        with capture_logs() as lines:
            async with worker_with(NEW, database_url, redis_url, net):
                await log_event(pool, "key.revoked")
                await eventually(lambda: other.sent)
                await eventually(lambda: any(line["event"] == "webhook_key_missing" for line in lines))
                assert waiting.sent == []
                assert (
                    await pool.fetchval("SELECT max(tries) FROM webhook_deliveries WHERE webhook_id = $1", webhook.id)
                    == 0
                )
        assert OLD not in str(lines)
        async with worker_with(f"{NEW},{OLD}", database_url, redis_url, net):
            await eventually(lambda: waiting.sent)
    assert Verifier(secret_text(waiting.keys)).verify(waiting.sent[0].body, waiting.sent[0].headers)
    assert (await find_webhook(pool, webhook.id)).failing_since is None


async def test_a_rotation_mends_a_webhook_whose_key_is_lost(net, database_url, redis_url, pool):
    async with receiving() as receiver:
        webhook = await subscribe(pool, receiver, seal=WebhookSeal([OLD]))
        keys = new_signing_keys()
        async with pool.acquire() as connection, connection.transaction():
            await rotate_keys(connection, webhook.id, WebhookSeal([NEW]).seal(webhook.id, keys), grace_seconds=86_400)
        async with worker_with(NEW, database_url, redis_url, net):
            await log_event(pool, "key.revoked")
            await eventually(lambda: receiver.sent)
    assert Verifier(secret_text(keys)).verify(receiver.sent[0].body, receiver.sent[0].headers)


async def test_a_row_that_was_altered_in_the_database_signs_nothing_and_holds_up_nobody(net, database_url, pool):
    seal = WebhookSeal([NEW])
    settings = fast_settings(**QUICK, WEBHOOK_KEY=NEW)
    async with (
        receiving() as victim,
        receiving() as other,
        open_worker_context(settings, database_url, [net.rpc_url]) as context,
    ):
        webhook = await subscribe(pool, victim, seal=seal)
        await subscribe(pool, other, seal=seal)
        thief = seal.seal(uuid.uuid4(), new_signing_keys())
        await pool.execute(
            "UPDATE webhook_secrets SET secret = $2, signing_seed = $3, public_key = $4 WHERE webhook_id = $1",
            webhook.id, thief.secret, thief.signing_seed, thief.public_key,
        )  # fmt: skip
        await log_event(pool, "key.revoked")
        await publish(context)
        sending = asyncio.create_task(WebhookSender(context).run())
        await eventually(lambda: other.sent)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        assert victim.sent == []


async def test_two_workers_that_seal_at_once_spoil_nothing(net, database_url, pool):
    old, settings = WebhookSeal([OLD]), fast_settings(WEBHOOK_KEY=f"{NEW},{OLD}")
    ids, keys = [], []
    async with receiving() as receiver:
        for _ in range(40):
            receiver.keys = new_signing_keys()
            ids.append((await subscribe(pool, receiver, seal=old)).id)
            keys.append(receiver.keys)
    parts = (settings, database_url, [net.rpc_url])
    async with open_worker_context(*parts) as one, open_worker_context(*parts) as two:
        done = await asyncio.gather(seal_webhooks(one), seal_webhooks(two))
        assert sum(done) == len(ids)
        rows = {row["webhook_id"]: row for row in await pool.fetch("SELECT * FROM webhook_secrets")}
        for webhook_id, wanted in zip(ids, keys, strict=True):
            row = rows[webhook_id]
            found = one.webhook_seal.open(webhook_id, _stored(row))
            assert found == wanted
            with pytest.raises(InvalidTag):
                one.webhook_seal.open(uuid.uuid4(), _stored(row))


def _stored(row):

    return StoredKeys(row["secret"], row["signing_seed"], row["public_key"], row["sealed_by"])


def test_without_a_key_what_is_sealed_stays_shut():
    webhook_id, keys = uuid.uuid4(), new_signing_keys()
    sealed = WebhookSeal([OLD]).seal(webhook_id, keys)
    assert WebhookSeal([NEW, OLD]).open(webhook_id, sealed) == keys
    for other in (UNSEALED, WebhookSeal([NEW])):
        with pytest.raises(KeyError):
            other.open(webhook_id, sealed)
    # The name of a key is no piece of it, and what is sealed twice looks different.
    assert OLD not in str(WebhookSeal([OLD]).names)
    assert WebhookSeal([OLD]).seal(webhook_id, keys).secret != sealed.secret
