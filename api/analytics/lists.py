"""Claims and events as lists, each counted and found in an index alone. This module owns `lists.sql`.

The functions take a database connection.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from ledger.sql import DatabaseConnection, load_queries
from ledger.states import ClaimStatus

_queries = load_queries("api.analytics", "lists.sql")

COUNTED_MAX: Final = 100_000
"""Counting is given up here: a million takes a tenth of a second, and pages go no further than a tenth of this."""


@dataclass(frozen=True, slots=True)
class ClaimFilter:
    """Which claims are listed; `None` is every one. From `since` on and before `until`."""

    user_id: str | None
    agent_id: str | None
    statuses: tuple[ClaimStatus, ...] | None
    currency: str | None
    environment: str | None
    since: dt.datetime | None
    until: dt.datetime | None


@dataclass(frozen=True, slots=True)
class ListedClaim:
    """A claim with the slot of its transfer and the decimals of its token; amounts in base units."""

    id: UUID
    user_id: str
    agent_id: str | None
    nonce: str
    signature: str
    path: str | None
    payer: str
    recipient: str | None
    mint: str
    currency: str
    decimals: int
    amount: int
    received: int | None
    resource: str | None
    environment: str
    status: ClaimStatus
    code: str | None
    at: dt.datetime
    slot: int | None


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are listed; `None` is every one. `families` are the first words of their types."""

    user_id: str | None
    agent_id: str | None
    type: str | None
    families: tuple[str, ...] | None
    since: dt.datetime | None
    until: dt.datetime | None


@dataclass(frozen=True, slots=True)
class ListedEvent:
    """Something that happened to `subject`."""

    id: int
    type: str
    at: dt.datetime
    subject: str
    agent_id: str | None
    data: Any


async def count_claims(connection: DatabaseConnection, wanted: ClaimFilter) -> int:
    """How many claims there are, up to `COUNTED_MAX`."""
    row = await _queries.count_claims(connection, count_max=COUNTED_MAX, **_claim_parameters(wanted))
    return int(row["total"])


async def claims_page(
    connection: DatabaseConnection, wanted: ClaimFilter, *, limit: int, offset: int
) -> list[ListedClaim]:
    """A page of claims, newest first."""
    rows = _queries.claims_page(connection, limit=limit, offset=offset, **_claim_parameters(wanted))
    return [
        ListedClaim(
            id=row["id"],
            user_id=row["user_id"],
            agent_id=row["agent_id"],
            nonce=row["nonce"],
            signature=row["signature"],
            path=row["path"],
            payer=row["payer"],
            recipient=row["recipient"],
            mint=row["mint"],
            currency=row["currency"],
            decimals=row["decimals"] or 0,
            amount=int(row["amount"]),
            received=None if row["received"] is None else int(row["received"]),
            resource=row["resource"],
            environment=row["environment"],
            status=ClaimStatus(row["status"]),
            code=row["code"],
            at=row["timestamp"],
            slot=row["slot"],
        )
        async for row in rows
    ]


async def count_events(connection: DatabaseConnection, wanted: EventFilter) -> int:
    """How many events there are, up to `COUNTED_MAX`."""
    row = await _queries.count_events(connection, count_max=COUNTED_MAX, **_event_parameters(wanted))
    return int(row["total"])


async def events_page(
    connection: DatabaseConnection, wanted: EventFilter, *, limit: int, offset: int
) -> list[ListedEvent]:
    """A page of events, newest first."""
    rows = _queries.events_page(connection, limit=limit, offset=offset, **_event_parameters(wanted))
    return [
        ListedEvent(row["id"], row["type"], row["at"], row["subject"], row["agent_id"], row["data"])
        async for row in rows
    ]


def _claim_parameters(wanted: ClaimFilter) -> dict[str, Any]:
    return {
        "user_id": wanted.user_id,
        "agent_id": wanted.agent_id,
        "statuses": None if wanted.statuses is None else [status.value for status in wanted.statuses],
        "currency": wanted.currency,
        "environment": wanted.environment,
        "since": wanted.since,
        "until": wanted.until,
    }


def _event_parameters(wanted: EventFilter) -> dict[str, Any]:
    return {
        "user_id": wanted.user_id,
        "agent_id": wanted.agent_id,
        "type": wanted.type,
        "families": None if wanted.families is None else list(wanted.families),
        "since": wanted.since,
        "until": wanted.until,
    }
