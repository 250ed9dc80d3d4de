"""Analytics over the ledger: a caller sees its own, an admin everybody's.

Lists are counted and found in an index alone; sums come from totals that are kept with the claims. So none of these
reads more rows than it shows, however long the ledger is.
"""

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, Literal

from fastapi import Query
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import Reader
from api.analytics.bodies import AgentsShape, ClaimsShape, EventsShape, ReportShape, RevenueShape, RoutesShape
from api.analytics.context import Analytics, AnalyticsContext
from api.analytics.report import shown_report
from api.analytics.revenue import Takings, read_takings, read_top_agents
from api.analytics.windows import Period, window
from api.http.errors import errors, invalid, not_found
from api.http.fields import ShortText
from api.http.json import answer, epoch_ms, figure
from api.routing.route import new_router
from ledger.reports import newest_report
from ledger.sql import load_queries
from ledger.states import ClaimStatus

router = new_router("/analytics", ["Analytics"])

_queries = load_queries("api.analytics", "routes.sql")
_MOST_COUNTED: Final = 1_000_000
_MOST_SKIPPED: Final = 10_000
_MOST_SHOWN: Final = 1_000

Moment = Annotated[str | None, Query(description="Epoch milliseconds, or ISO 8601", max_length=64)]
Name = Annotated[ShortText | None, Query()]
Limit = Annotated[int, Query(ge=1, le=_MOST_SHOWN)]
Offset = Annotated[int, Query(ge=0, le=_MOST_SKIPPED, description="Beyond, narrow the dates or use `pay402 export`")]
Environment = Annotated[Literal["live", "test"] | None, Query(description="Only claims made with such keys")]
User = Annotated[ShortText | None, Query(alias="userId", description="For admins: only this merchant")]


@router.get("", response_model=RoutesShape, responses=errors(401, 403))
async def index(_: Reader) -> Response:
    """What can be asked here."""
    paths = sorted(f"{router.prefix}/{name}" for name in _NAMES)
    return answer({"routes": paths})


@router.get("/transactions", response_model=ClaimsShape, responses=errors(401, 403))
async def transactions(
    context: Analytics,
    caller: Reader,
    start_date: Annotated[Moment, Query(alias="startDate")] = None,
    end_date: Annotated[Moment, Query(alias="endDate")] = None,
    agent_id: Annotated[Name, Query(alias="agentId")] = None,
    status: ClaimStatus | None = None,
    currency: Name = None,
    environment: Environment = None,
    user: User = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Response:
    """Claimed payments, newest first: from startDate on and before endDate."""
    wanted = {
        "user_id": _whose(caller, user),
        "agent_id": agent_id,
        "status": status,
        "currency": currency,
        "environment": environment,
        "since": _moment("startDate", start_date),
        "until": _moment("endDate", end_date),
    }
    async with _snapshot(context) as connection:
        counted = await _queries.count_claims(connection, most=_MOST_COUNTED, **wanted)
        page = [row async for row in _queries.claims_page(connection, limit=limit, offset=offset, **wanted)]
    return answer({"transactions": [_claim(row) for row in page], **_total(counted), "limit": limit, "offset": offset})


@router.get("/revenue", response_model=RevenueShape, responses=errors(401, 403))
async def revenue(
    context: Analytics,
    caller: Reader,
    period: Period = "day",
    currency: Name = None,
    environment: Environment = None,
    user: User = None,
) -> Response:
    """What honoured claims have brought in, in one token, with every token beside it.

    The token is `currency`, or the one that was paid most often. Claims that a fork has undone do not count.
    """
    span = window(period, dt.datetime.now(dt.UTC))
    async with _snapshot(context) as connection:
        takings = await read_takings(connection, _queries, span, _whose(caller, user) or "", environment)
    chosen = currency or takings.main_currency
    total, decimals = takings.total(chosen)
    amount = figure(total.received, decimals)
    return answer(
        {
            "period": period,
            "revenue": amount,
            "total": amount,
            "totalBaseUnits": str(total.received),
            "currency": chosen,
            "transactionCount": total.claims,
            **_by_currency(takings),
            "breakdown": [
                {
                    "date": span.label(start),
                    "startTime": epoch_ms(start),
                    "amount": figure(part.received, decimals),
                    "amountBaseUnits": str(part.received),
                    "transactionCount": part.claims,
                }
                for start in span.starts
                for part in (takings.part(chosen, start),)
            ],
            "startTime": epoch_ms(span.start),
            "endTime": epoch_ms(span.end),
        }
    )


@router.get("/top-agents", response_model=AgentsShape, responses=errors(401, 403))
async def top_agents(
    context: Analytics,
    caller: Reader,
    period: Period = "month",
    currency: Name = None,
    environment: Environment = None,
    user: User = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> Response:
    """Who spent most of a token: `currency`, or the one that was paid most often."""
    span = window(period, dt.datetime.now(dt.UTC))
    whose = _whose(caller, user) or ""
    async with _snapshot(context) as connection:
        takings = await read_takings(connection, _queries, span, whose, environment)
        chosen = currency or takings.main_currency
        _, decimals = takings.total(chosen)
        mints = takings.mints(chosen)
        agents = await read_top_agents(connection, _queries, span, whose, environment, mints, limit)
        named = _queries.agent_names(connection, agent_ids=[row["agent_id"] for row in agents])
        names = {row["agent_id"]: row["name"] async for row in named}
    return answer(
        {
            "agents": [
                {
                    "agentId": row["agent_id"],
                    "agentName": names.get(row["agent_id"], row["agent_id"]),
                    "totalSpent": figure(row["received"], decimals),
                    "totalAmount": figure(row["received"], decimals),
                    "totalAmountBaseUnits": str(row["received"]),
                    "transactionCount": row["claims"],
                    "lastActive": epoch_ms(row["last_at"]),
                }
                for row in agents
            ],
            "currency": chosen,
            "period": period,
        }
    )


@router.get("/events", response_model=EventsShape, responses=errors(401, 403))
async def events(
    context: Analytics,
    caller: Reader,
    event_type: Annotated[Name, Query(alias="type")] = None,
    agent_id: Annotated[Name, Query(alias="agentId")] = None,
    start_date: Annotated[Moment, Query(alias="startDate")] = None,
    end_date: Annotated[Moment, Query(alias="endDate")] = None,
    user: User = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Response:
    """What happened, newest first."""
    wanted = {
        "user_id": _whose(caller, user),
        "agent_id": agent_id,
        "type": event_type,
        "since": _moment("startDate", start_date),
        "until": _moment("endDate", end_date),
    }
    async with _snapshot(context) as connection:
        counted = await _queries.count_events(connection, most=_MOST_COUNTED, **wanted)
        page = [row async for row in _queries.events_page(connection, limit=limit, offset=offset, **wanted)]
    shown = [
        {
            "id": row["id"],
            "type": row["type"],
            "timestamp": epoch_ms(row["at"]),
            "subject": row["subject"],
            "agentId": row["agent_id"],
            "data": row["data"],
        }
        for row in page
    ]
    return answer({"events": shown, **_total(counted), "limit": limit, "offset": offset})


@router.get("/reconciliation", response_model=ReportShape, responses=errors(401, 403, 404))
async def reconciliation(context: Analytics, caller: Reader) -> Response:
    """The last report that held claims against transfers; a caller who is no admin sees its own part of it."""
    newest = await newest_report(context.database)
    if newest is None:
        raise not_found("A finished reconciliation")
    report = shown_report(newest.report, None if caller.is_admin else caller.user_id)
    return answer({"id": str(newest.id), "finishedAt": epoch_ms(newest.finished_at), **report})


_NAMES: Final = ("transactions", "revenue", "top-agents", "events", "reconciliation")


@asynccontextmanager
async def _snapshot(context: AnalyticsContext) -> AsyncIterator[Any]:
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


def _moment(name: str, text: str | None) -> dt.datetime | None:
    """A time as clients send it."""
    if not text:
        return None
    try:
        if text.isascii() and text.isdigit():
            return dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(milliseconds=int(text))
        at = dt.datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise invalid(f"{name} is no time; send epoch milliseconds or ISO 8601, as 2026-01-31T00:00:00Z.") from None


def _total(counted: Any) -> dict[str, Any]:
    """A count, and whether there may be more."""
    return {"total": counted["total"], "totalIsLowerBound": counted["total"] == _MOST_COUNTED}


def _by_currency(takings: Takings) -> dict[str, Any]:
    totals = {currency: takings.total(currency) for currency in takings.currencies}
    return {
        "byCurrency": {name: figure(total.received, decimals) for name, (total, decimals) in totals.items()},
        "byCurrencyBaseUnits": {name: str(total.received) for name, (total, _) in totals.items()},
    }


def _claim(row: Any) -> dict[str, Any]:
    decimals = row["decimals"] or 0
    received = row["received"]
    return {
        "id": str(row["id"]),
        "signature": row["signature"],
        "payer": row["payer"],
        "recipient": row["recipient"],
        "amount": figure(row["amount"], decimals),
        "amountBaseUnits": str(row["amount"]),
        "received": None if received is None else figure(received, decimals),
        "receivedBaseUnits": None if received is None else str(received),
        "currency": row["currency"],
        "mint": row["mint"],
        "resource": row["resource"],
        "status": row["status"],
        "code": row["code"],
        "nonce": row["nonce"],
        "slot": row["slot"],
        "path": row["path"],
        "userId": row["user_id"],
        "agentId": row["agent_id"],
        "environment": row["environment"],
        "timestamp": epoch_ms(row["timestamp"]),
    }
