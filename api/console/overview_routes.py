"""The overview: what came in, what happens now, what waits for somebody, and whether the ledger is whole."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from fastapi import Request
from starlette.responses import Response

from api.access.caller import Caller
from api.analytics.context import AnalyticsContext
from api.analytics.finding_routes import finding_counts
from api.analytics.revenue import Revenue, read_revenue
from api.analytics.windows import Window, window_of
from api.console.charts import BarChart, bar_chart
from api.console.context import Console, ConsoleContext
from api.console.visitors import Visitor
from api.console.wholeness import wholeness_for
from api.http.json import exact_amount
from api.payments.request_routes import requests_page
from api.payments.transfer_routes import payments_page
from api.routing.route import new_router
from ledger.payment_requests import count_open_requests
from ledger.transfers import TransferFilter

router = new_router(is_documented=False)

_WEEK_DAYS: Final = 7
_TOKENS_MAX: Final = 4
_SHOWN: Final = 10
_COUNTED_MAX: Final = 10_000
# What a report finds, as people say it.
_FINDINGS: Final = {
    "unmatchedTransfer": "payments that nobody has claimed",
    "unpaidClaim": "claims whose payment was never seen",
    "shortPayment": "payments that were too small",
    "overPayment": "payments that were too large",
    "latePayment": "payments that came too late",
    "duplicatePayment": "payments made twice",
}


@dataclass(frozen=True, slots=True)
class Income:
    """What honoured payments brought in one token, in its units; days are UTC."""

    currency: str
    today: Decimal
    week: Decimal
    month: Decimal
    payments: int
    chart: BarChart


@dataclass(frozen=True, slots=True)
class Decision:
    """So many findings of a kind wait for somebody."""

    what: str
    kind: str
    count: int


@router.get("/console")
async def get_overview(request: Request, context: Console, caller: Visitor) -> Response:
    """Show the overview."""
    latest = await payments_page(context.payments, caller, TransferFilter(), cursor=None, limit=_SHOWN)
    requests = await requests_page(context.payments, caller, cursor=None, limit=_SHOWN)
    whose = None if caller.is_admin else caller.user_id
    return context.pages.page(
        request,
        "overview.html",
        caller=caller,
        incomes=await _incomes(context.analytics, caller),
        payments=latest.payments,
        requests=requests.requests,
        open_requests=await count_open_requests(context.payments.database, user_id=whose, count_max=_COUNTED_MAX),
        counted_max=_COUNTED_MAX,
        decisions=await _decisions(context, caller),
        wholeness=await wholeness_for(context.operations, caller),
    )


async def _incomes(context: AnalyticsContext, caller: Caller) -> list[Income]:
    """The tokens that were paid most often in 30 days, each by day."""
    window = window_of("month", dt.datetime.now(dt.UTC))
    async with context.database.acquire() as connection:
        revenue = await read_revenue(connection, window, None if caller.is_admin else caller.user_id, None)
    return [_income(revenue, window, currency) for currency in revenue.currencies[:_TOKENS_MAX]]


def _income(revenue: Revenue, window: Window, currency: str) -> Income:
    decimals = revenue.decimals(currency)
    received = [revenue.part(currency, start).received for start in window.starts]

    def last(days: int) -> Decimal:
        return exact_amount(sum(received[-days:]), decimals)

    days: Sequence[tuple[str, Decimal]] = [
        (window.label(start), exact_amount(one, decimals)) for start, one in zip(window.starts, received, strict=True)
    ]
    return Income(
        currency=currency,
        today=last(1),
        week=last(_WEEK_DAYS),
        month=last(len(received)),
        payments=revenue.total(currency).claims,
        chart=bar_chart(days),
    )


async def _decisions(context: ConsoleContext, caller: Caller) -> list[Decision] | None:
    """What the last report found for the caller and nobody has decided, by kind; `None` without a report."""
    counts = await finding_counts(context.analytics, caller)
    if not counts:
        return None
    return [Decision(_FINDINGS.get(kind, kind), kind, one.open) for kind, one in sorted(counts.items()) if one.open]
