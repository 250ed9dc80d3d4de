"""Services that agents offer: anybody may read them, their owners change them."""

import uuid
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Query, Request
from pydantic import Field
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import optional_caller, require
from api.http.errors import conflict, errors, forbidden, invalid, not_found
from api.http.fields import Address, AmountSent, BaseUnitsText, EpochMs, Figure, LongText, ShortText, parse_id
from api.http.json import Shape, answer, epoch_ms, figure
from api.resources import Resources, resources
from api.routing.route import new_router
from api.tokens import Token
from chain.addresses import parse_address
from ledger.amounts import from_base_units
from ledger.recipients import recipients_of

router = new_router(prefix="/marketplace/services", tags=["Marketplace"])

Category = Literal["ai", "data", "development", "automation", "analytics"]
PricingModel = Literal["per-request", "per-hour", "fixed"]
Sort = Literal["popular", "price-low", "price-high", "rating", "newest"]
Name = Annotated[ShortText, Field(max_length=200)]
Labels = Annotated[list[ShortText], Field(max_length=50)]
_RECENT_JOBS: Final = 5
_BEST_RATING: Final = 5
_SAME_PRICE: Final = dict.fromkeys(("price_amount", "price_mint", "price_currency"))


class ServiceOrder(Shape):
    """A service to be offered."""

    name: Name
    description: LongText = ""
    category: Category
    pricing_model: PricingModel
    price_amount: AmountSent
    price_currency: ShortText = "USDC"
    capabilities: Labels = Field(default_factory=list)
    tags: Labels = Field(default_factory=list)
    agent_id: ShortText | None = Field(None, description="Who offers it; the caller, if it is left out")
    payout_address: Address | None = Field(
        None,
        description="The wallet that is paid. Left out, it is the agent's id where that is an address, or else the "
        "caller's wallet that was registered first",
    )


class ServiceChange(Shape):
    """What is to be changed of a service; what is left out stays."""

    name: Name | None = None
    description: LongText | None = None
    category: Category | None = None
    pricing_model: PricingModel | None = None
    price_amount: AmountSent | None = None
    price_currency: ShortText | None = Field(
        None, description="The figure stays, unless another is sent. A service that was ordered keeps its currency"
    )
    capabilities: Labels | None = None
    tags: Labels | None = None
    payout_address: Address | None = None
    is_active: bool | None = None


class ServiceBody(Shape):
    """A service."""

    id: uuid.UUID
    agent_id: str
    name: str
    description: str
    category: Category
    pricing_model: PricingModel
    price_amount: Figure
    price_amount_base_units: BaseUnitsText
    price_currency: str
    price_mint: str
    payout_address: str
    capabilities: list[str]
    tags: list[str]
    average_response_time: int = Field(description="From accepting to submitting, in milliseconds; 0 before any job")
    reliability: float = Field(description="Per cent of its settled jobs that were paid; 100 before any")
    rating: float = Field(description="1 to 5, the mean of its clients' ratings; 5 before any")
    rating_count: int
    total_jobs: int
    successful_jobs: int
    total_earnings: Figure
    total_earnings_base_units: BaseUnitsText
    is_active: bool
    created_at: EpochMs
    updated_at: EpochMs


class RecentJob(Shape):
    """A job of a service, in short."""

    id: uuid.UUID
    status: str
    escrow_status: str
    created_at: EpochMs
    completed_at: EpochMs | None


class ServiceDetail(ServiceBody):
    """A service with its newest jobs."""

    recent_jobs: list[RecentJob]


class ServiceList(Shape):
    """A page of services."""

    services: list[ServiceBody]
    total: int
    limit: int
    offset: int


@router.get("", response_model=ServiceList, responses=errors())
async def get_services(
    request: Request,
    _caller: Annotated[Caller | None, Depends(optional_caller)],
    category: Category | None = None,
    min_price: Annotated[AmountSent | None, Query(alias="minPrice", ge=0)] = None,
    max_price: Annotated[AmountSent | None, Query(alias="maxPrice", ge=0)] = None,
    sort: Sort = "popular",
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Response:
    """List the services on offer."""
    parts = resources(request)
    which = {
        "category": category,
        "min_price": None if min_price is None else format(min_price, "f"),
        "max_price": None if max_price is None else format(max_price, "f"),
    }
    rows = parts.queries.services(parts.database, sort=sort, limit=limit, offset=offset, **which)
    services = [service_json(row) async for row in rows]
    total = await parts.queries.count_services(parts.database, **which)
    return answer({"services": services, "total": total, "limit": limit, "offset": offset})


@router.get("/{service_id}", response_model=ServiceDetail, responses=errors(404))
async def get_service(
    request: Request, service_id: str, _caller: Annotated[Caller | None, Depends(optional_caller)]
) -> Response:
    """Show a service with its rating and its newest jobs."""
    parts = resources(request)
    row = await find_service(parts, service_id)
    jobs = [
        {
            "id": str(job["id"]),
            "status": job["status"],
            "escrowStatus": job["escrow_status"],
            "createdAt": epoch_ms(job["created_at"]),
            "completedAt": epoch_ms(job["completed_at"]),
        }
        async for job in parts.queries.recent_jobs(parts.database, service_id=row["id"], limit=_RECENT_JOBS)
    ]
    return answer({**service_json(row), "recentJobs": jobs})


@router.post("", response_model=ServiceBody, status_code=201, responses=errors(401, 403, 409))
async def post_service(
    request: Request,
    caller: Annotated[Caller, Depends(require("write"))],
    order: ServiceOrder,
    agent_id: Annotated[ShortText | None, Query(alias="agentId")] = None,
) -> Response:
    """Offer a service."""
    parts = resources(request)
    token = await parts.tokens.find(order.price_currency, None)
    agent = order.agent_id or agent_id or caller.user_id
    row = await parts.queries.add_service(
        parts.database,
        user_id=caller.user_id,
        agent_id=agent,
        payout_address=await _payout_address(parts, caller, order.payout_address, agent),
        name=order.name,
        description=order.description,
        category=order.category,
        pricing_model=order.pricing_model,
        price_amount=token.base_units(order.price_amount, "priceAmount"),
        price_mint=token.mint,
        price_currency=token.symbol,
        capabilities=order.capabilities,
        tags=order.tags,
    )
    return answer(service_json(row), 201)


async def _payout_address(parts: Resources, caller: Caller, named: str | None, agent: str) -> str:
    """The wallet to which releases go."""
    if named is not None:
        return _wallet(named)
    if (address := parse_address(agent)) is not None:
        return address
    own = [one.recipient.address for one in await recipients_of(parts.database, caller.user_id)]
    if not own:
        raise conflict(
            "There is no wallet that the service could be paid to; send payoutAddress, "
            "or register a wallet with POST /recipients."
        )
    return own[0]


def _wallet(text: str) -> str:
    if (address := parse_address(text)) is None:
        raise invalid("payoutAddress is not a Solana address; send a wallet's.", {"field": "payoutAddress"})
    return address


@router.patch("/{service_id}", response_model=ServiceBody, responses=errors(401, 403, 404, 409))
async def patch_service(
    request: Request, service_id: str, caller: Annotated[Caller, Depends(require("write"))], change: ServiceChange
) -> Response:
    """Change a service; by its owner or an admin. Jobs ordered before keep their price."""
    parts = resources(request)
    row = await _own_service(parts, service_id, caller)
    named = await parts.tokens.find(change.price_currency, None) if change.price_currency is not None else None
    async with parts.database.acquire() as connection, connection.transaction():
        changed = await parts.queries.change_service(
            connection,
            id=row["id"],
            name=change.name,
            description=change.description,
            category=change.category,
            pricing_model=change.pricing_model,
            payout_address=None if change.payout_address is None else _wallet(change.payout_address),
            capabilities=change.capabilities,
            tags=change.tags,
            is_active=change.is_active,
            **await _price(parts, connection, row["id"], change.price_amount, named),
        )
    if changed is None:
        raise conflict("A service that was ordered keeps its currency; offer another service in the new one.")
    return answer(service_json(changed))


async def _price(
    parts: Resources, connection: Any, service: uuid.UUID, price: AmountSent | None, token: Token | None
) -> dict[str, Any]:
    """What a service costs from now on: a figure means something with its token only, so both are written."""
    if price is None and token is None:
        return _SAME_PRICE
    held = await parts.queries.hold_price(connection, id=service)
    if token is None:
        token = await parts.tokens.describe(held["price_mint"])
    if price is None:
        price = from_base_units(held["price_amount"], held["decimals"])
    amount = token.base_units(price, "priceAmount")
    return {"price_amount": amount, "price_mint": token.mint, "price_currency": token.symbol}


@router.delete("/{service_id}", status_code=204, responses=errors(401, 403, 404))
async def delete_service(
    request: Request, service_id: str, caller: Annotated[Caller, Depends(require("write"))]
) -> Response:
    """Take a service off the market; by its owner or an admin. Jobs ordered before go on."""
    parts = resources(request)
    row = await _own_service(parts, service_id, caller)
    unchanged = dict.fromkeys(
        ("name", "description", "category", "pricing_model", "payout_address", "capabilities", "tags")
    )
    await parts.queries.change_service(parts.database, id=row["id"], is_active=False, **unchanged, **_SAME_PRICE)
    return Response(status_code=204)


async def _own_service(parts: Resources, service_id: str, caller: Caller) -> Any:
    row = await find_service(parts, service_id)
    if not caller.sees(row["user_id"]):
        raise forbidden("The service belongs to another user; only its owner or an admin changes it.")
    return row


async def find_service(parts: Resources, service_id: str) -> Any:
    """The row of a service. Raises ApiError 404."""
    row = await parts.queries.service(parts.database, id=parse_id(service_id, "The service"))
    if row is None:
        raise not_found("The service")
    return row


def service_json(row: Any) -> dict[str, Any]:
    """A service as JSON has it."""
    successful, jobs = row["successful_jobs"], row["total_jobs"]
    return {
        "id": str(row["id"]),
        "agentId": row["agent_id"],
        "name": row["name"],
        "description": row["description"],
        "category": row["category"],
        "pricingModel": row["pricing_model"],
        "priceAmount": figure(row["price_amount"], row["decimals"]),
        "priceAmountBaseUnits": str(row["price_amount"]),
        "priceCurrency": row["price_currency"],
        "priceMint": row["price_mint"],
        "payoutAddress": row["payout_address"],
        "capabilities": row["capabilities"],
        "tags": row["tags"],
        "averageResponseTime": round(row["response_seconds"] * 1000 / successful) if successful else 0,
        "reliability": success_rate(row) if jobs else 100,
        "rating": rating(row),
        "ratingCount": row["rating_count"],
        "totalJobs": jobs,
        "successfulJobs": successful,
        "totalEarnings": figure(row["total_earnings"], row["decimals"]),
        "totalEarningsBaseUnits": str(row["total_earnings"]),
        "isActive": row["is_active"],
        "createdAt": epoch_ms(row["created_at"]),
        "updatedAt": epoch_ms(row["updated_at"]),
    }


def success_rate(row: Any) -> float:
    """Per cent of the settled jobs that were paid."""
    return round(100 * row["successful_jobs"] / row["total_jobs"], 2) if row["total_jobs"] else 0


def rating(row: Any) -> float:
    """The mean of the clients' ratings; the best before there is any, as 402pay has it."""
    return round(row["rating_sum"] / row["rating_count"], 2) if row["rating_count"] else _BEST_RATING
