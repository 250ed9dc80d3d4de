"""Where routes keep their answers for requests that are repeated."""

from dataclasses import dataclass

import asyncpg
from fastapi import Request


@dataclass(frozen=True, slots=True)
class RoutingContext:
    """Where answers are kept for their Idempotency-Keys."""

    database: asyncpg.Pool


def routing_context(request: Request) -> RoutingContext:
    """The context of the process that serves `request`."""
    context: RoutingContext = request.app.state.routing
    return context
