"""What the routes of webhooks work with."""

from dataclasses import dataclass
from typing import Annotated

import asyncpg
from fastapi import Depends, Request

from runtime.receiver_policy import ReceiverPolicy
from runtime.webhook_seal import WebhookSeal


@dataclass(frozen=True, slots=True)
class WebhooksContext:
    """The ledger, how far deliveries may go, and what seals the keys that they are signed with."""

    database: asyncpg.Pool
    policy: ReceiverPolicy
    seal: WebhookSeal


async def webhooks_context(request: Request) -> WebhooksContext:
    """The context of the process that serves `request`."""
    context: WebhooksContext = request.app.state.webhooks
    return context


Webhooks = Annotated[WebhooksContext, Depends(webhooks_context)]
"""What a handler of this room asks for."""
