"""Settlements by page, as merchants and admins see them, and what is left for their fees."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from api.access.caller import Caller
from api.http.cursors import place_of, time_cursor
from api.http.errors import not_found
from api.http.fields import parse_id
from api.http.json import exact_amount
from api.x402.context import X402Context
from api.x402.settle_bodies import PaymentBody
from api.x402.settle_result import payment_body
from ledger.settlement_lists import SettlementTerms, page_of_settlements, reserved_today, terms_of_settlement
from ledger.settlements import BudgetScope, Settlement, find_by_id, find_each
from ledger.states import SettlementStatus

SettlementStanding = Literal["pending", "completed", "failed"]
_STANDINGS: Final[Mapping[SettlementStanding, Sequence[SettlementStatus]]] = {
    "pending": (SettlementStatus.SIGNED, SettlementStatus.SENT),
    "completed": (SettlementStatus.SETTLED,),
    "failed": (SettlementStatus.FAILED,),
}


@dataclass(frozen=True, slots=True)
class ListedSettlement:
    """A settlement with its parties; `amount` in units of the token."""

    payment: PaymentBody
    user_id: str
    payer: str
    recipient: str
    amount: Decimal
    amount_base_units: int
    currency: str
    mint: str


@dataclass(frozen=True, slots=True)
class SettlementsPage:
    """Settlements, newest first."""

    settlements: Sequence[ListedSettlement]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class FeeBudget:
    """What fees may cost in a day, in lamports, and what of it is reserved today (UTC)."""

    scope: BudgetScope
    lamports_max: int
    lamports_reserved: int

    @property
    def lamports_left(self) -> int:
        """What is left for today."""
        return max(0, self.lamports_max - self.lamports_reserved)


async def settlements_page(
    context: X402Context, caller: Caller, *, standing: SettlementStanding | None, cursor: str | None, limit: int
) -> SettlementsPage:
    """A page of the caller's settlements, or of everybody's for an admin.

    Raises:
        ApiError: 400 for a cursor that no such page gave.
    """
    ids = await page_of_settlements(
        context.database,
        user_id=None if caller.is_admin else caller.user_id,
        statuses=_STANDINGS[standing] if standing else list(SettlementStatus),
        after=place_of(cursor) if cursor else None,
        limit=limit + 1,
    )
    page = [one for one in await find_each(context.database, ids[:limit]) if one is not None]
    return SettlementsPage(
        [await _listed(context, one) for one in page],
        time_cursor(page[-1].created_at, page[-1].id) if len(ids) > limit else None,
    )


async def settlement_seen_by(
    context: X402Context, caller: Caller, settlement_id: str
) -> tuple[ListedSettlement, SettlementTerms]:
    """A settlement of the caller's, or anybody's for an admin, with its terms. Raises ApiError 404."""
    named: uuid.UUID = parse_id(settlement_id, "The settlement")
    found = await find_by_id(context.database, named)
    terms = await terms_of_settlement(context.database, named)
    if found is None or terms is None or not caller.sees(found.user_id):
        raise not_found("The settlement")
    return await _listed(context, found), terms


async def fee_budgets(context: X402Context, caller: Caller) -> list[FeeBudget]:
    """The caller's own budget for fees, and for an admin the one for all."""
    reserved = await reserved_today(context.database, caller.user_id)
    limits = {BudgetScope.MERCHANT: context.budgets.lamports_of_merchant_max}
    if caller.is_admin:
        limits = {BudgetScope.ALL: context.budgets.lamports_of_day_max}
    return [FeeBudget(scope, lamports_max, reserved.get(scope, 0)) for scope, lamports_max in limits.items()]


async def _listed(context: X402Context, found: Settlement) -> ListedSettlement:
    token = await context.tokens.describe(found.mint)
    return ListedSettlement(
        payment=payment_body(found),
        user_id=found.user_id,
        payer=found.payer,
        recipient=found.pay_to,
        amount=exact_amount(found.amount, token.decimals),
        amount_base_units=found.amount,
        currency=token.symbol,
        mint=found.mint,
    )
