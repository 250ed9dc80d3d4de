"""Services that agents offer on the marketplace, and what they add up to. The only place that writes a service's terms.

What a service has earned is written with the payout that pays it, by the worker. Functions take a connection or pool.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from ledger.recipients import MovedToTests
from ledger.sql import Database, DatabaseConnection, from_row, load_queries

_queries = load_queries("ledger", "services.sql")


@dataclass(frozen=True, slots=True)
class Price:
    """What a service costs: `amount` base units of the token with this mint and symbol."""

    amount: int
    mint: str
    currency: str


@dataclass(frozen=True, slots=True)
class LockedPrice(Price):
    """What a service costs, with the `decimals` of its token."""

    decimals: int


@dataclass(frozen=True, slots=True)
class NewService:
    """A service to be offered; `environment` is that of the key which offers it, `live` or `test`."""

    user_id: str
    environment: str
    agent_id: str
    payout_address: str
    name: str
    description: str
    category: str
    pricing_model: str
    price: Price
    capabilities: list[str]
    tags: list[str]


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """What is to be changed of a service; `None` leaves it as it is."""

    name: str | None = None
    description: str | None = None
    category: str | None = None
    pricing_model: str | None = None
    payout_address: str | None = None
    capabilities: list[str] | None = None
    tags: list[str] | None = None
    is_active: bool | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """A service, its price, and what it has earned.

    Attributes:
        environment: That of the key which offered it, `live` or `test`.
        price_amount: In base units of `price_mint`, a token with `decimals`.
        total_earnings: Released to its provider, in the same base units.
        total_jobs: Its accepted jobs whose escrow is settled, either way.
        response_seconds: From accepting to submitting, summed over its successful jobs.
    """

    id: UUID
    user_id: str
    environment: str
    agent_id: str
    payout_address: str
    name: str
    description: str
    category: str
    pricing_model: str
    price_amount: int
    price_mint: str
    price_currency: str
    decimals: int
    capabilities: list[str]
    tags: list[str]
    is_active: bool
    total_jobs: int
    successful_jobs: int
    total_earnings: int
    response_seconds: float
    rating_sum: int
    rating_count: int
    created_at: dt.datetime
    updated_at: dt.datetime


@dataclass(frozen=True, slots=True)
class ServiceFilter:
    """Which services are asked for. Prices are decimal figures as text, in units of each service's token."""

    category: str | None = None
    min_price: str | None = None
    max_price: str | None = None


@dataclass(frozen=True, slots=True)
class MarketplaceCounts:
    """How many services, jobs and agents the marketplace has."""

    total_services: int
    total_jobs: int
    completed_jobs: int
    active_agents: int


@dataclass(frozen=True, slots=True)
class ReleasedVolume:
    """What was released to providers in one currency: `amount` base units of a token with `decimals`."""

    currency: str
    decimals: int
    amount: int


async def add_service(database: Database, new: NewService) -> Service:
    """Offer a service."""
    return from_row(Service, await _queries.add_service(database, **_columns(new)))


async def change_service(
    database: Database, service_id: UUID, change: ServiceChange, price: Price | None = None
) -> Service | None:
    """Change what is said about a service, and its price unless `price` is `None`.

    Returns:
        The service as it is now; `None` where the price is in another token and the service was ordered before.
    """
    row = await _queries.change_service(
        database,
        id=service_id,
        price_amount=price.amount if price else None,
        price_mint=price.mint if price else None,
        price_currency=price.currency if price else None,
        **asdict(change),
    )
    return from_row(Service, row) if row else None


async def move_service_to_tests(connection: DatabaseConnection, service_id: UUID) -> MovedToTests | None:
    """Make a live service one for tests, unless something live depends on it; `None` where there is no such service.

    It takes a transaction of its own.

    What keeps it live is `payments` for live jobs that have reached their end, or live `jobs` that are under way.
    """
    async with connection.transaction():
        await _queries.lock_service(connection, id=service_id)
        row = await _queries.move_service_to_tests(connection, id=service_id)
    return None if row is None else MovedToTests(row["is_moved"], row["held_by"])


async def lock_price(connection: DatabaseConnection, service_id: UUID) -> LockedPrice:
    """What a service costs, locked until the transaction of `connection` ends: it cannot be ordered meanwhile."""
    return from_row(LockedPrice, await _queries.lock_price(connection, id=service_id))


async def find_service(database: Database, service_id: UUID) -> Service | None:
    """A service, whether it is on offer or not; `None` where there is none."""
    row = await _queries.service(database, id=service_id)
    return from_row(Service, row) if row else None


async def list_services(
    database: Database, which: ServiceFilter, *, sort: str, limit: int, offset: int
) -> tuple[list[Service], int]:
    """A page of the services on offer, and how many there are in all.

    `sort` is `popular`, `price-low`, `price-high`, `rating` or `newest`.
    """
    rows = _queries.services(database, sort=sort, limit=limit, offset=offset, **asdict(which))
    page = [from_row(Service, row) async for row in rows]
    total: int = await _queries.count_services(database, **asdict(which))
    return page, total


async def count_marketplace(database: Database, currencies: Sequence[str]) -> MarketplaceCounts:
    """How many services, jobs and agents the marketplace has in `currencies`.

    What is for tests, and jobs between a user and itself, do not count; nor do they in `released_volume` and
    `leaderboard`.
    """
    return from_row(MarketplaceCounts, await _queries.marketplace_counts(database, currencies=list(currencies)))


async def released_volume(database: Database, currencies: Sequence[str]) -> list[ReleasedVolume]:
    """What was released to providers, by currency."""
    rows = _queries.marketplace_volume(database, currencies=list(currencies))
    return [from_row(ReleasedVolume, row) async for row in rows]


async def leaderboard(database: Database, currencies: Sequence[str], *, limit: int) -> list[Service]:
    """The services on offer that have earned most, compared in units of their tokens."""
    rows = _queries.leaderboard(database, currencies=list(currencies), limit=limit)
    return [from_row(Service, row) async for row in rows]


async def add_example(database: Database, seed_name: str, new: NewService) -> bool:
    """Offer an example unless one with this `seed_name` is there; true where it was added."""
    return await _queries.add_example(database, seed_name=seed_name, **_columns(new)) is not None


def _columns(new: NewService) -> dict[str, Any]:
    return {
        "user_id": new.user_id,
        "environment": new.environment,
        "agent_id": new.agent_id,
        "payout_address": new.payout_address,
        "name": new.name,
        "description": new.description,
        "category": new.category,
        "pricing_model": new.pricing_model,
        "price_amount": new.price.amount,
        "price_mint": new.price.mint,
        "price_currency": new.price.currency,
        "capabilities": new.capabilities,
        "tags": new.tags,
    }
