"""What every request may use, opened once by the process."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import asyncpg
from fastapi import Request
from redis.asyncio import Redis

from api.access.key_ring import KeyRing
from api.access.rate_limits import RateLimits
from api.metrics import ApiMetrics
from api.operations.probes import Probes
from api.settings import ApiSettings
from api.tokens import TokenBook
from api.verify.batches import Desk
from api.verify.notifications import Arrivals
from chain.node import Node


@dataclass(frozen=True, slots=True)
class Resources:
    """The parts, open and working.

    Attributes:
        final_from: From which figure on a token needs finality, by symbol.
        signing_key: Signs access tokens.
    """

    settings: ApiSettings
    database: asyncpg.Pool
    queries: Any
    redis: Redis
    node: Node
    keys: KeyRing
    rates: RateLimits
    tokens: TokenBook
    arrivals: Arrivals
    metrics: ApiMetrics
    desk: Desk
    probes: Probes
    final_from: dict[str, Decimal]
    signing_key: str


def resources(request: Request) -> Resources:
    """The resources of the process that serves `request`."""
    found: Resources = request.app.state.resources
    return found
