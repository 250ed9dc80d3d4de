"""Payments over x402 as pages: where each settlement stands, what it costs, and what is left for fees today."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from fastapi import Path, Query, Request
from starlette.responses import Response

from api.console.context import Console
from api.console.payment_routes import explorer_link
from api.console.timeline import timeline_of_settlement
from api.console.visitors import Visitor
from api.http.json import exact_amount
from api.routing.route import new_router
from api.x402.settlement_pages import SettlementStanding, fee_budgets, settlement_seen_by, settlements_page
from ledger.times import epoch_ms

router = new_router("/console/x402", is_documented=False)

_SHOWN: Final = 50
_SOL_DECIMALS: Final = 9


@router.get("")
async def list_settlements(
    request: Request,
    context: Console,
    caller: Visitor,
    standing: Literal["", SettlementStanding] = "",
    cursor: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """List settlements, newest first, with what is left for fees today."""
    page = await settlements_page(context.x402, caller, standing=standing or None, cursor=cursor or None, limit=_SHOWN)
    balances = context.x402.balances
    return context.pages.page(
        request,
        "settlements.html",
        caller=caller,
        settlements=page.settlements,
        chosen=standing,
        budgets=[
            (
                one.scope.value,
                exact_amount(one.lamports_left, _SOL_DECIMALS),
                exact_amount(one.lamports_max, _SOL_DECIMALS),
            )
            for one in await fee_budgets(context.x402, caller)
        ],
        # Whose money it is that pays the fees is the operator's business.
        fee_payers=[
            (address, exact_amount(held, _SOL_DECIMALS), held < balances.low_lamports)
            for address, held in balances.lamports.items()
        ]
        if caller.is_admin
        else [],
        is_off=balances.status == "off",
        first_link=_link({"standing": standing}) if cursor else None,
        next_link=_link({"standing": standing, "cursor": page.next_cursor}) if page.next_cursor else None,
    )


@router.get("/{settlement_id}")
async def show_settlement(
    request: Request, context: Console, caller: Visitor, settlement_id: Annotated[str, Path(max_length=64)]
) -> Response:
    """Show a settlement: what it was for, what it costs, and what happened."""
    seen, terms = await settlement_seen_by(context.x402, caller, settlement_id)
    return context.pages.page(
        request,
        "settlement.html",
        caller=caller,
        seen=seen,
        terms=terms,
        reserved=exact_amount(terms.lamports_reserved, _SOL_DECIMALS),
        spent=None if terms.lamports_spent is None else exact_amount(terms.lamports_spent, _SOL_DECIMALS),
        sent_at=epoch_ms(terms.sent_at),
        moments=await timeline_of_settlement(context.payments.database, seen.payment.id),
        explorer=explorer_link(context.network, seen.payment.transaction),
    )


def _link(parameters: Mapping[str, str]) -> str:
    query = urlencode({name: value for name, value in parameters.items() if value})
    return f"/console/x402?{query}" if query else "/console/x402"
