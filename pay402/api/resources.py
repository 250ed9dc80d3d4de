"""What every request may use, opened once by the process."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import asyncpg
from fastapi import Request
from redis.asyncio import Redis

from pay402.api.arrivals import Arrivals
from pay402.api.desk import Desk
from pay402.api.keys import KeyRing
from pay402.api.metrics import ApiMetrics
from pay402.api.probes import Probes
from pay402.api.rates import RateLimits
from pay402.api.settings import ApiSettings
from pay402.api.tokens import TokenBook
from pay402.chain.node import Node


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
