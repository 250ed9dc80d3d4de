"""What health, metrics and the operators' orders work with."""

from dataclasses import dataclass
from typing import Annotated

import asyncpg
from fastapi import Depends, Request

from api.metrics import ApiMetrics
from api.operations.probes import Probes


@dataclass(frozen=True, slots=True)
class OperationsContext:
    """What health, metrics and the operators' orders work with.

    Attributes:
        environment: `development`, `test` or `production`.
        metrics: What `/metrics` shows; `None` when it shows nothing.
    """

    database: asyncpg.Pool
    probes: Probes
    metrics: ApiMetrics | None
    environment: str


async def operations_context(request: Request) -> OperationsContext:
    """The context of the process that serves `request`."""
    context: OperationsContext = request.app.state.operations
    return context


Operations = Annotated[OperationsContext, Depends(operations_context)]
"""What a handler of this room asks for."""
