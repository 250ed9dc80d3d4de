"""Analytics over the ledger: a caller sees its own, an admin everybody's.

Lists are counted and found in an index alone; sums come from totals that are kept with the claims. So none of these
reads more rows than it shows, however long the ledger is.
"""

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from fastapi import Depends, Query
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import Reader
from api.analytics.bodies import (
    AgentBody,
    AgentsBody,
    ClaimBody,
    ClaimsPage,
    EventBody,
    EventsPage,
    ReportBody,
    RevenueBody,
    RevenuePart,
    RoutesBody,
)
from api.analytics.context import Analytics, AnalyticsContext
from api.analytics.filters import (
    FinalityWanted,
    StatusWanted,
    currency_wanted,
    families_wanted,
    range_wanted,
    statuses_wanted,
)
from api.analytics.lists import (
    COUNTED_MAX,
    ClaimFilter,
    EventFilter,
    ListedClaim,
    claims_page,
    count_claims,
    count_events,
    events_page,
)
from api.analytics.report import report_body
from api.analytics.revenue import read_revenue, read_top_agents
from api.analytics.windows import Period, window_of
from api.http.errors import errors, not_found
from api.http.fields import ShortText
from api.http.json import answer, exact_amount
from api.routing.route import KNOWN_PARAMETERS_ONLY, new_router
from ledger.reports import newest_report
from ledger.sql import DatabaseConnection
from ledger.states import shown_status
from ledger.times import epoch_ms

router = new_router("/analytics", ["Analytics"], dependencies=[KNOWN_PARAMETERS_ONLY])

_SKIPPED_MAX: Final = 10_000
_SHOWN_MAX: Final = 1_000

Moment = Annotated[str | None, Query(description="Epoch milliseconds, or ISO 8601", max_length=64)]
Name = Annotated[ShortText | None, Query()]
Currency = Annotated[ShortText | None, Query(description="A symbol, in any case, or a mint")]
EventType = Annotated[
    ShortText | None, Query(alias="type", description="A type, as claim.confirmed, or a family of them, as payment")
]
Limit = Annotated[int, Query(ge=1, le=_SHOWN_MAX)]
Offset = Annotated[int, Query(ge=0, le=_SKIPPED_MAX, description="Beyond, narrow the dates or use `pay402 export`")]
Environment = Annotated[Literal["live", "test"] | None, Query(description="Only claims made with such keys")]
User = Annotated[ShortText | None, Query(alias="userId", description="For admins: only this merchant")]


@dataclass(frozen=True, slots=True)
class PaidFilter:
    """Which honoured claims are summed up.

    Attributes:
        user_id: The merchant's; `None` for everybody's.
        currency: In this token; `None` for the one that was paid most often.
        environment: Made with `live` or `test` keys; `None` for both.
    """

    user_id: str | None
    currency: str | None
    environment: str | None


async def _paid_filter(
    context: Analytics,
    caller: Reader,
    currency: Currency = None,
    environment: Environment = None,
    user: User = None,
) -> PaidFilter:
    return PaidFilter(_whose(caller, user), await currency_wanted(context.tokens, currency), environment)


PaidClaims = Annotated[PaidFilter, Depends(_paid_filter)]


@router.get("", response_model=RoutesBody, responses=errors(401, 403))
async def index(_: Reader) -> Response:
    """List what can be asked here."""
    return answer(RoutesBody(routes=sorted(f"{router.prefix}/{name}" for name in _NAMES)))


@router.get("/transactions", response_model=ClaimsPage, responses=errors(401, 403))
async def transactions(
    context: Analytics,
    caller: Reader,
    start_date: Annotated[Moment, Query(alias="startDate")] = None,
    end_date: Annotated[Moment, Query(alias="endDate")] = None,
    agent_id: Annotated[Name, Query(alias="agentId")] = None,
    status: StatusWanted | None = None,
    finality: FinalityWanted | None = None,
    currency: Currency = None,
    environment: Environment = None,
    user: User = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Response:
    """List claimed payments, newest first: from startDate on and before endDate."""
    since, until = range_wanted(start_date, end_date)
    wanted = ClaimFilter(
        user_id=_whose(caller, user),
        agent_id=agent_id,
        statuses=statuses_wanted(status, finality),
        currency=await currency_wanted(context.tokens, currency),
        environment=environment,
        since=since,
        until=until,
    )
    async with _snapshot(context) as connection:
        total = await count_claims(connection, wanted)
        page = await claims_page(connection, wanted, limit=limit, offset=offset)
    body = ClaimsPage(
        transactions=[_claim(claim) for claim in page],
        total=total,
        total_is_lower_bound=total == COUNTED_MAX,
        limit=limit,
        offset=offset,
    )
    return answer(body)


@router.get("/revenue", response_model=RevenueBody, responses=errors(401, 403))
async def revenue(context: Analytics, paid: PaidClaims, period: Period = "day") -> Response:
    """Sum up what honoured claims have brought in: in one token, with every token beside it.

    The token is `currency`, or the one that was paid most often. Claims that a fork has undone do not count.
    """
    window = window_of(period, dt.datetime.now(dt.UTC))
    async with _snapshot(context) as connection:
        found = await read_revenue(connection, window, paid.user_id, paid.environment)
    chosen = paid.currency or found.main_currency
    decimals, total = found.decimals(chosen), found.total(chosen)
    amount = exact_amount(total.received, decimals)
    parts = [(start, found.part(chosen, start)) for start in window.starts]
    body = RevenueBody(
        period=period,
        revenue=amount,
        total=amount,
        total_base_units=str(total.received),
        currency=chosen,
        transaction_count=total.claims,
        by_currency={name: exact_amount(found.total(name).received, found.decimals(name)) for name in found.currencies},
        by_currency_base_units={name: str(found.total(name).received) for name in found.currencies},
        breakdown=[
            RevenuePart(
                date=window.label(start),
                start_time=epoch_ms(start),
                amount=exact_amount(part.received, decimals),
                amount_base_units=str(part.received),
                transaction_count=part.claims,
            )
            for start, part in parts
        ],
        start_time=epoch_ms(window.start),
        end_time=epoch_ms(window.end),
    )
    return answer(body)


@router.get("/top-agents", response_model=AgentsBody, responses=errors(401, 403))
async def top_agents(
    context: Analytics,
    paid: PaidClaims,
    period: Period = "month",
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> Response:
    """List who spent most of a token: `currency`, or the one that was paid most often."""
    window = window_of(period, dt.datetime.now(dt.UTC))
    async with _snapshot(context) as connection:
        found = await read_revenue(connection, window, paid.user_id, paid.environment)
        chosen = paid.currency or found.main_currency
        mints = found.mints(chosen)
        agents = await read_top_agents(connection, window, paid.user_id, paid.environment, mints, limit)
    decimals = found.decimals(chosen)
    body = AgentsBody(
        agents=[
            AgentBody(
                agent_id=agent.agent_id,
                agent_name=agent.agent_name,
                total_spent=exact_amount(agent.paid.received, decimals),
                total_amount=exact_amount(agent.paid.received, decimals),
                total_amount_base_units=str(agent.paid.received),
                transaction_count=agent.paid.claims,
                last_active=epoch_ms(agent.last_at),
            )
            for agent in agents
        ],
        currency=chosen,
        period=period,
    )
    return answer(body)


@router.get("/events", response_model=EventsPage, responses=errors(401, 403))
async def events(
    context: Analytics,
    caller: Reader,
    event_type: EventType = None,
    agent_id: Annotated[Name, Query(alias="agentId")] = None,
    start_date: Annotated[Moment, Query(alias="startDate")] = None,
    end_date: Annotated[Moment, Query(alias="endDate")] = None,
    user: User = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Response:
    """List what happened, newest first: of one type, or of a family of types."""
    families = families_wanted(event_type)
    since, until = range_wanted(start_date, end_date)
    wanted = EventFilter(
        user_id=_whose(caller, user),
        agent_id=agent_id,
        type=event_type if families is None else None,
        families=families,
        since=since,
        until=until,
    )
    async with _snapshot(context) as connection:
        total = await count_events(connection, wanted)
        page = await events_page(connection, wanted, limit=limit, offset=offset)
    body = EventsPage(
        events=[
            EventBody(
                id=event.id,
                type=event.type,
                timestamp=epoch_ms(event.at),
                subject=event.subject,
                agent_id=event.agent_id,
                data=event.data,
            )
            for event in page
        ],
        total=total,
        total_is_lower_bound=total == COUNTED_MAX,
        limit=limit,
        offset=offset,
    )
    return answer(body)


@router.get("/reconciliation", response_model=ReportBody, responses=errors(401, 403, 404))
async def reconciliation(context: Analytics, caller: Reader) -> Response:
    """Show the last report that held claims against transfers; a caller who is no admin sees its own part of it."""
    newest = await newest_report(context.database)
    if newest is None:
        raise not_found("A finished reconciliation")
    return answer(report_body(newest, None if caller.is_admin else caller.user_id))


_NAMES: Final = ("transactions", "revenue", "top-agents", "events", "reconciliation")


@asynccontextmanager
async def _snapshot(context: AnalyticsContext) -> AsyncIterator[DatabaseConnection]:
    """A connection on which every query sees the same ledger, planned for the parameters that it is given."""
    async with (
        context.database.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        # One plan for every combination of filters would walk all claims where a few are asked about.
        await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        yield connection


def _whose(caller: Caller, user: str | None) -> str | None:
    """Whose rows are asked about; `None` for everybody's."""
    return user if caller.is_admin else caller.user_id


def _claim(claim: ListedClaim) -> ClaimBody:
    status, finality = shown_status(claim.status)
    received = claim.received
    return ClaimBody(
        id=claim.id,
        signature=claim.signature,
        payer=claim.payer,
        recipient=claim.recipient,
        amount=exact_amount(claim.amount, claim.decimals),
        amount_base_units=str(claim.amount),
        received=None if received is None else exact_amount(received, claim.decimals),
        received_base_units=None if received is None else str(received),
        currency=claim.currency,
        mint=claim.mint,
        resource=claim.resource,
        status=status,
        finality=finality,
        code=claim.code,
        nonce=claim.nonce,
        slot=claim.slot,
        path=claim.path,
        user_id=claim.user_id,
        agent_id=claim.agent_id,
        environment=claim.environment,
        timestamp=epoch_ms(claim.at),
    )
