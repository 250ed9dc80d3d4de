"""The marketplace in figures, and its examples; `services.py` and `jobs.py` are what happens on it."""

import uuid
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from pydantic import Field
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import optional_caller, require
from api.http.errors import errors, forbidden
from api.http.fields import BaseUnitsText, Figure
from api.http.json import NoFields, Shape, answer, figure
from api.marketplace.job_routes import settlement_wallet
from api.marketplace.service_routes import rating, success_rate
from api.resources import Resources, resources
from api.routing.route import new_router
from ledger.example_services import seed

_CURRENCY = "USDC"

router = new_router(prefix="/marketplace", tags=["Marketplace"])


class Volume(Shape):
    """What was released to providers in one currency."""

    currency: str
    amount: Figure
    amount_base_units: BaseUnitsText


class Stats(Shape):
    """The marketplace in figures."""

    total_services: int = Field(description="On offer")
    total_jobs: int
    completed_jobs: int = Field(description="Approved")
    total_volume: Figure = Field(description="Released to providers, in USDC")
    volume_by_currency: list[Volume]
    active_agents: int


class Leader(Shape):
    """A service that has earned much."""

    id: uuid.UUID
    name: str
    agent_id: str
    category: str
    total_earnings: Figure
    total_earnings_base_units: BaseUnitsText
    currency: str
    total_jobs: int
    successful_jobs: int
    success_rate: float = Field(description="Per cent")
    rating: float


class Leaderboard(Shape):
    """The services that have earned most."""

    leaderboard: list[Leader]


class Seeded(Shape):
    """What was done."""

    message: str
    added: int
    stats: Stats


@router.get("/stats", response_model=Stats, responses=errors())
async def get_stats(request: Request, _caller: Annotated[Caller | None, Depends(optional_caller)]) -> Response:
    """Show the marketplace in figures."""
    return answer(await _stats(resources(request)))


async def _stats(parts: Resources) -> dict[str, Any]:
    row = await parts.queries.marketplace_stats(parts.database)
    volumes = [
        {
            "currency": one["currency"],
            "amount": figure(one["amount"], one["decimals"]),
            "amountBaseUnits": str(one["amount"]),
        }
        async for one in parts.queries.marketplace_volume(parts.database)
    ]
    # Currencies cannot be added up; the one figure that 402pay's clients read is that of most jobs.
    total = next((one["amount"] for one in volumes if one["currency"] == _CURRENCY), 0)
    return {
        "totalServices": row["total_services"],
        "totalJobs": row["total_jobs"],
        "completedJobs": row["completed_jobs"],
        "totalVolume": total,
        "volumeByCurrency": volumes,
        "activeAgents": row["active_agents"],
    }


@router.get("/leaderboard", response_model=Leaderboard, responses=errors())
async def get_leaderboard(
    request: Request,
    _caller: Annotated[Caller | None, Depends(optional_caller)],
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> Response:
    """List the services that have earned most."""
    parts = resources(request)
    leaders = [
        {
            "id": str(row["id"]),
            "name": row["name"],
            "agentId": row["agent_id"],
            "category": row["category"],
            "totalEarnings": figure(row["total_earnings"], row["decimals"]),
            "totalEarningsBaseUnits": str(row["total_earnings"]),
            "currency": row["price_currency"],
            "totalJobs": row["total_jobs"],
            "successfulJobs": row["successful_jobs"],
            "successRate": success_rate(row),
            "rating": rating(row),
        }
        async for row in parts.queries.leaderboard(parts.database, limit=limit)
    ]
    return answer({"leaderboard": leaders})


@router.post("/seed", response_model=Seeded, responses=errors(401, 403, 409))
async def post_seed(
    request: Request,
    _caller: Annotated[Caller, Depends(require("admin"))],
    _order: NoFields | None = None,
    confirm: bool = False,
) -> Response:
    """Offer some examples; those that are there already stay as they are. In production only with `?confirm=true`."""
    parts = resources(request)
    if parts.settings.is_production and not confirm:
        raise forbidden("Examples do not belong into production; repeat it with ?confirm=true if they do.")
    wallet = await settlement_wallet(parts)
    token = await parts.tokens.find(_CURRENCY, None)
    added = await seed(
        parts.database,
        mint=token.mint,
        currency=token.symbol,
        payout_address=wallet.address,
    )
    return answer({"message": f"{added} services were added.", "added": added, "stats": await _stats(parts)})
