"""What rooms without a context of their own still share; it goes when the last of them has one."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import asyncpg
from fastapi import Request

from api.metrics import ApiMetrics
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
    """

    settings: ApiSettings
    database: asyncpg.Pool
    queries: Any
    node: Node
    tokens: TokenBook
    arrivals: Arrivals
    metrics: ApiMetrics
    desk: Desk
    final_from: dict[str, Decimal]


def resources(request: Request) -> Resources:
    """The resources of the process that serves `request`."""
    found: Resources = request.app.state.resources
    return found
