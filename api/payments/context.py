"""What payments, payment requests and recipients work with."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

import asyncpg
from fastapi import Depends, Request

from api.tokens import TokenBook
from chain.node import Node


@dataclass(frozen=True, slots=True)
class PaymentsContext:
    """The ledger, the tokens that are paid with, and a node that knows what is a wallet.

    `final_from` says by symbol from which amount on, in units of the token, a payment has to be final.
    """

    database: asyncpg.Pool
    tokens: TokenBook
    node: Node
    final_from: dict[str, Decimal]


async def payments_context(request: Request) -> PaymentsContext:
    """The context of the process that serves `request`."""
    context: PaymentsContext = request.app.state.payments
    return context


Payments = Annotated[PaymentsContext, Depends(payments_context)]
"""What a handler of this room asks for."""
