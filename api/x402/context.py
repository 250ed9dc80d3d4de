"""What the facilitator works with."""

from dataclasses import dataclass
from typing import Annotated

import asyncpg
from fastapi import Depends, Request

from api.x402.settlement import PaymentSettler
from api.x402.verification import PaymentVerifier


@dataclass(frozen=True, slots=True)
class X402Context:
    """What the facilitator works with."""

    verifier: PaymentVerifier
    settler: PaymentSettler
    database: asyncpg.Pool


async def x402_context(request: Request) -> X402Context:
    """The context of the process that serves `request`."""
    context: X402Context = request.app.state.x402
    return context


Facilitating = Annotated[X402Context, Depends(x402_context)]
"""What a handler of this room asks for."""
