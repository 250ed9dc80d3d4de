"""What POST /verify works with."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from fastapi import Depends, Request

from api.tokens import TokenBook
from api.verify.verifier import Verifier


@dataclass(frozen=True, slots=True)
class VerifyContext:
    """What POST /verify works with.

    `final_from` says by symbol from which amount on, in units of the token, a payment has to be final.
    """

    verifier: Verifier
    tokens: TokenBook
    final_from: dict[str, Decimal]


async def verify_context(request: Request) -> VerifyContext:
    """The context of the process that serves `request`."""
    context: VerifyContext = request.app.state.verify
    return context


Verifying = Annotated[VerifyContext, Depends(verify_context)]
"""What a handler of this room asks for."""
