"""Receives 402pay's webhooks: verifies each, takes each once, and catches up from the feed after a pause.

    pip install aiohttp standardwebhooks
    WEBHOOK_SECRET=whsec_... python webhook_receiver.py           # listens on 127.0.0.1:3333/hooks

A real receiver keeps the ids that it has taken in its database, in the transaction that does what an event asks for.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError


def receiver(secret: str, take: Callable[[dict[str, Any]], Awaitable[None]]) -> web.Application:
    """An application that gives each event to `take` once, whatever order they come in.

    Args:
        secret: What `POST /webhooks` answered, `whsec_` included. Several, separated by spaces, during a rotation.
        take: Does what an event asks for. If it raises, the event comes again.
    """
    verifiers = [Webhook(one) for one in secret.split()]
    taken: set[str] = set()

    async def hook(request: web.Request) -> web.Response:
        body = await request.read()
        event = _verified(verifiers, body, dict(request.headers))
        if event is None:
            return web.Response(status=401, text="The signature is not good.")
        if event["id"] not in taken:
            await take(event)
            taken.add(event["id"])
        # At once: whoever works for long acknowledges first, and works from a queue of its own.
        return web.Response(status=204)

    application = web.Application()
    application.router.add_post("/hooks", hook)
    return application


def _verified(verifiers: list[Webhook], body: bytes, headers: dict[str, str]) -> dict[str, Any] | None:
    """The event, if one of the secrets has signed it within the last five minutes."""
    for verifier in verifiers:
        try:
            return dict(verifier.verify(body, headers))
        except WebhookVerificationError:
            continue
    return None


async def show(event: dict[str, Any]) -> None:
    """What a shop does is its own affair; this prints."""
    print(event["id"], event["type"], event["data"])


if __name__ == "__main__":
    web.run_app(receiver(os.environ["WEBHOOK_SECRET"], show), host="127.0.0.1", port=3333)
