"""What the console works with: other rooms' contexts, for its pages show what their routes answer."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from api.analytics.context import AnalyticsContext
from api.console.pages import Pages
from api.keys.context import KeysContext
from api.marketplace.context import MarketplaceContext
from api.operations.context import OperationsContext
from api.payments.context import PaymentsContext
from api.webhooks.context import WebhooksContext
from api.x402.context import X402Context


@dataclass(frozen=True, slots=True)
class ConsoleContext:
    """The pages, and what is shown on them.

    Attributes:
        network: The Solana cluster, as `SOLANA_NETWORK` names it.
    """

    pages: Pages
    payments: PaymentsContext
    analytics: AnalyticsContext
    marketplace: MarketplaceContext
    operations: OperationsContext
    webhooks: WebhooksContext
    x402: X402Context
    keys: KeysContext
    network: str


async def console_context(request: Request) -> ConsoleContext:
    """The context of the process that serves `request`."""
    context: ConsoleContext = request.app.state.console
    return context


Console = Annotated[ConsoleContext, Depends(console_context)]
"""What a handler of this room asks for."""
