"""What the marketplace's routes work with."""

from dataclasses import dataclass
from typing import Annotated

import asyncpg
from fastapi import Depends, Request

from api.http.errors import conflict
from api.tokens import TokenBook
from ledger.recipients import Recipient, find_recipient


@dataclass(frozen=True, slots=True)
class MarketplaceContext:
    """What the marketplace's routes work with, opened once by the process.

    Attributes:
        settlement_wallet: The wallet that jobs are paid to; `None` where none is set, and nothing can be ordered.
        funding_seconds: How long a client has to fund a job.
        job_seconds: The time from order to deadline of a job whose client names no deadline.
        is_production: Examples are offered only after a confirmation.
    """

    database: asyncpg.Pool
    tokens: TokenBook
    settlement_wallet: str | None
    funding_seconds: float
    job_seconds: float
    is_production: bool

    async def settlement_recipient(self) -> Recipient:
        """The wallet that jobs are paid to.

        Raises:
            ApiError: 409 where none is set or followed; repeating the request does not help.
        """
        address = self.settlement_wallet
        found = await find_recipient(self.database, address) if address else None
        if found is None or not found.is_active:
            raise conflict(
                "The marketplace has no settlement wallet that is followed, so nothing can be paid for; "
                "its operator sets SETTLEMENT_WALLET and adds it with `pay402 recipients add`."
            )
        return found


def marketplace_context(request: Request) -> MarketplaceContext:
    """The context of the process that serves `request`."""
    context: MarketplaceContext = request.app.state.marketplace
    return context


Marketplace = Annotated[MarketplaceContext, Depends(marketplace_context)]
"""The parameter by which a handler asks for the marketplace's context."""
