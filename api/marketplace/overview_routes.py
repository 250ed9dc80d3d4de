"""The totals of the marketplace, and its examples."""

import uuid
from decimal import Decimal
from typing import Annotated, Final

from fastapi import Depends, Query
from pydantic import Field
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import Admin, optional_caller
from api.access.environments import check_may_change
from api.http.errors import errors, forbidden
from api.http.fields import BaseUnitsText, ExactAmount
from api.http.json import AnswerShape, NoFields, answer, exact_amount
from api.marketplace.context import Marketplace, MarketplaceContext
from api.marketplace.service_body import rating, success_rate
from api.routing.route import new_router
from ledger import services
from ledger.example_services import seed
from ledger.services import Service

_CURRENCY: Final = "USDC"

router = new_router(prefix="/marketplace", tags=["Marketplace"])


class Volume(AnswerShape):
    """What was released to providers in one currency."""

    currency: str
    amount: ExactAmount
    amount_base_units: BaseUnitsText


class Stats(AnswerShape):
    """The totals of the marketplace."""

    total_services: int = Field(description="On offer")
    total_jobs: int
    completed_jobs: int = Field(description="Approved")
    total_volume: ExactAmount = Field(description="Released to providers, in USDC")
    volume_by_currency: list[Volume]
    active_agents: int


class Leader(AnswerShape):
    """A service that has earned much."""

    id: uuid.UUID
    name: str
    agent_id: str
    category: str
    total_earnings: ExactAmount
    total_earnings_base_units: BaseUnitsText
    currency: str
    total_jobs: int
    successful_jobs: int
    success_rate: float = Field(description="Per cent")
    rating: float


class Leaderboard(AnswerShape):
    """The services that have earned most."""

    leaderboard: list[Leader]


class Seeded(AnswerShape):
    """What was done."""

    message: str
    added: int
    stats: Stats


@router.get("/stats", response_model=Stats, responses=errors())
async def get_stats(marketplace: Marketplace, _caller: Annotated[Caller | None, Depends(optional_caller)]) -> Response:
    """Show the totals of the marketplace."""
    return answer(await _stats(marketplace))


async def _stats(marketplace: MarketplaceContext) -> Stats:
    counts = await services.count_marketplace(marketplace.database, marketplace.currencies)
    volumes = [
        Volume(currency=one.currency, amount=exact_amount(one.amount, one.decimals), amount_base_units=str(one.amount))
        for one in await services.released_volume(marketplace.database, marketplace.currencies)
    ]
    return Stats(
        total_services=counts.total_services,
        total_jobs=counts.total_jobs,
        completed_jobs=counts.completed_jobs,
        # Currencies cannot be added up; the one figure that 402pay's clients read is that of most jobs.
        total_volume=next((one.amount for one in volumes if one.currency == _CURRENCY), Decimal(0)),
        volume_by_currency=volumes,
        active_agents=counts.active_agents,
    )


@router.get("/leaderboard", response_model=Leaderboard, responses=errors())
async def get_leaderboard(
    marketplace: Marketplace,
    _caller: Annotated[Caller | None, Depends(optional_caller)],
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> Response:
    """List the services that have earned most. A job between a user and itself earns nothing here."""
    leaders = await services.leaderboard(marketplace.database, marketplace.currencies, limit=limit)
    return answer(Leaderboard(leaderboard=[_leader(service) for service in leaders]))


def _leader(service: Service) -> Leader:
    return Leader(
        id=service.id,
        name=service.name,
        agent_id=service.agent_id,
        category=service.category,
        total_earnings=exact_amount(service.total_earnings, service.decimals),
        total_earnings_base_units=str(service.total_earnings),
        currency=service.price_currency,
        total_jobs=service.total_jobs,
        successful_jobs=service.successful_jobs,
        success_rate=success_rate(service),
        rating=rating(service),
    )


@router.post("/seed", response_model=Seeded, responses=errors(401, 403, 409))
async def post_seed(
    marketplace: Marketplace,
    caller: Admin,
    _order: NoFields | None = None,
    confirm: bool = False,
) -> Response:
    """Offer some examples; those that are there already stay as they are. In production only with `?confirm=true`."""
    check_may_change(caller, None, "The marketplace as a whole")
    if marketplace.is_production and not confirm:
        raise forbidden("Examples do not belong into production; repeat it with ?confirm=true if they do.")
    wallet = await marketplace.settlement_recipient()
    token = await marketplace.tokens.find(_CURRENCY, None)
    added = await seed(marketplace.database, mint=token.mint, currency=token.symbol, payout_address=wallet.address)
    return answer(Seeded(message=f"{added} services were added.", added=added, stats=await _stats(marketplace)))
