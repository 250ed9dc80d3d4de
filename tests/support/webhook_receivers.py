"""Receivers of webhooks that behave as they are told, and what they were sent."""

import asyncio
import contextlib
import json
import uuid
from collections import Counter
from dataclasses import dataclass, field

from aiohttp import web
from solders.keypair import Keypair

from ledger.webhooks import SigningKeys, add_webhook, deliveries_page
from runtime.webhook_seal import WebhookSeal
from runtime.webhook_signatures import new_signing_keys
from tests.support.ledger_checks import eventually

UNSEALED = WebhookSeal([])


@dataclass(frozen=True)
class Sent:
    """One try, as its receiver saw it."""

    id: str
    headers: dict
    body: bytes

    @property
    def event(self):
        return json.loads(self.body)


@dataclass
class Receiver:
    """Somebody who is sent webhooks; `behave` answers each."""

    behave: object
    sent: list[Sent] = field(default_factory=list)
    url: str = ""
    keys: SigningKeys = field(default_factory=new_signing_keys)

    @property
    def tries(self):
        """How often each event has come, by its id."""
        return Counter(one.id for one in self.sent)

    async def handle(self, request):
        body = await request.read()
        self.sent.append(Sent(request.headers["webhook-id"], dict(request.headers), body))
        return await self.behave(request)


async def well(_request):
    return web.Response(status=204)


async def badly(_request):
    return web.Response(status=500, text="no")


async def never(_request):
    await asyncio.sleep(3_600)


async def not_at_all(request):
    request.transport.abort()
    return web.Response()


async def at_length(_request):
    return web.Response(status=500, body=b"x" * 1_000_000)


async def slowly(_request):
    await asyncio.sleep(0.5)
    return web.Response(status=503)


@contextlib.asynccontextmanager
async def receiving(behave=well, *, port=0):
    """A receiver on this machine."""
    receiver = Receiver(behave)
    application = web.Application()
    application.router.add_post("/hooks", receiver.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hooks"
    try:
        yield receiver
    finally:
        await runner.cleanup()


async def subscribe(pool, receiver, user="merchant", types=None, environment="live", seal=UNSEALED):
    """Register the receiver, as the API does once it has looked at the URL."""
    webhook_id = uuid.uuid4()
    return await add_webhook(
        pool, webhook_id=webhook_id, user_id=user, environment=environment, url=receiver.url, types=types,
        description="", keys=seal.seal(webhook_id, receiver.keys), webhooks_max=1_000,
    )  # fmt: skip


def public_key(keys):
    return Keypair.from_seed(keys.signing_seed).pubkey()


async def ends_as(pool, webhook, status, count=1):
    """Wait until so many deliveries of a webhook have this status; returns them."""

    async def is_so():
        found = await deliveries_page(pool, webhook.id, status=status, before=None, limit=500)
        return found if len(found) >= count else None

    return await eventually(is_so, seconds=60)
