"""What the routes of analytics work with."""

from dataclasses import dataclass
from typing import Annotated

import asyncpg
from fastapi import Depends, Request

from api.tokens import TokenBook


@dataclass(frozen=True, slots=True)
class AnalyticsContext:
    """The ledger, and the tokens that filters may name."""

    database: asyncpg.Pool
    tokens: TokenBook


async def analytics_context(request: Request) -> AnalyticsContext:
    """The context of the process that serves `request`."""
    context: AnalyticsContext = request.app.state.analytics
    return context


Analytics = Annotated[AnalyticsContext, Depends(analytics_context)]
"""What a handler of this room asks for."""
