"""What the routes of webhooks work with."""

from dataclasses import dataclass
from typing import Annotated

import asyncpg
from fastapi import Depends, Request

from runtime.receiver_addresses import ReceiverPolicy


@dataclass(frozen=True, slots=True)
class WebhooksContext:
    """The ledger, and how far deliveries may go."""

    database: asyncpg.Pool
    policy: ReceiverPolicy


async def webhooks_context(request: Request) -> WebhooksContext:
    """The context of the process that serves `request`."""
    context: WebhooksContext = request.app.state.webhooks
    return context


Webhooks = Annotated[WebhooksContext, Depends(webhooks_context)]
"""What a handler of this room asks for."""
