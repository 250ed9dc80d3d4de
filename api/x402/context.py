"""What the facilitator works with."""

from dataclasses import dataclass
from typing import Annotated

import asyncpg
from fastapi import Depends, Request

from api.tokens import TokenBook
from api.x402.fee_payer_balances import FeePayerBalances
from api.x402.settlement import PaymentSettler
from api.x402.verification import PaymentVerifier
from ledger.settlements import FeeBudgets


@dataclass(frozen=True, slots=True)
class X402Context:
    """What the facilitator works with.

    Attributes:
        budgets: The lamports that fees may cost in a day.
        balances: What the fee payers hold, as it was seen last.
    """

    verifier: PaymentVerifier
    settler: PaymentSettler
    database: asyncpg.Pool
    tokens: TokenBook
    budgets: FeeBudgets
    balances: FeePayerBalances


async def x402_context(request: Request) -> X402Context:
    """The context of the process that serves `request`."""
    context: X402Context = request.app.state.x402
    return context


Facilitating = Annotated[X402Context, Depends(x402_context)]
"""What a handler of this room asks for."""
