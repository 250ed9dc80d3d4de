"""Services that agents offer: anybody may read them, their owners change them."""

from decimal import Decimal
from typing import Annotated, Final

from fastapi import Depends, Query
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import Writer, optional_caller
from api.access.environments import check_may_change
from api.http.errors import conflict, errors, forbidden, not_found
from api.http.fields import AmountSent, ShortText, parse_id
from api.http.json import answer
from api.marketplace.context import Marketplace, MarketplaceContext, own_agent_id
from api.marketplace.service_body import (
    Category,
    ServiceBody,
    ServiceChangeBody,
    ServiceDetail,
    ServiceList,
    ServiceOffer,
    Sort,
    service_body,
    service_detail,
)
from api.routing.route import new_router
from api.tokens import Token
from chain.addresses import parse_address
from ledger import services
from ledger.amounts import from_base_units
from ledger.jobs import recent_jobs
from ledger.recipients import recipients_of
from ledger.services import NewService, Price, Service, ServiceChange, ServiceFilter
from ledger.sql import Database, DatabaseConnection

router = new_router(prefix="/marketplace/services", tags=["Marketplace"])

_RECENT_JOBS: Final = 5


@router.get("", response_model=ServiceList, responses=errors())
async def get_services(
    marketplace: Marketplace,
    _caller: Annotated[Caller | None, Depends(optional_caller)],
    category: Category | None = None,
    min_price: Annotated[AmountSent | None, Query(alias="minPrice", ge=0)] = None,
    max_price: Annotated[AmountSent | None, Query(alias="maxPrice", ge=0)] = None,
    sort: Sort = "popular",
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Response:
    """List the services on offer."""
    which = ServiceFilter(category, _amount_text(min_price), _amount_text(max_price))
    page, total = await services.list_services(marketplace.database, which, sort=sort, limit=limit, offset=offset)
    listed = [service_body(service) for service in page]
    return answer(ServiceList(services=listed, total=total, limit=limit, offset=offset))


def _amount_text(price: Decimal | None) -> str | None:
    return None if price is None else format(price, "f")


@router.get("/{service_id}", response_model=ServiceDetail, responses=errors(404))
async def get_service(
    marketplace: Marketplace, service_id: str, _caller: Annotated[Caller | None, Depends(optional_caller)]
) -> Response:
    """Show a service with its rating and its newest jobs."""
    service = await find_service(marketplace.database, service_id)
    jobs = await recent_jobs(marketplace.database, service.id, limit=_RECENT_JOBS)
    return answer(service_detail(service, jobs))


@router.post("", response_model=ServiceBody, status_code=201, responses=errors(401, 403, 409))
async def post_service(
    marketplace: Marketplace,
    caller: Writer,
    offer: ServiceOffer,
    agent_id: Annotated[ShortText | None, Query(alias="agentId")] = None,
) -> Response:
    """Offer a service."""
    token = await marketplace.find_token(offer.price_currency)
    agent = offer.agent_id or agent_id or caller.user_id
    payout_address = await _payout_address(marketplace, caller, offer.payout_address, agent)
    price = _price(token, offer.price_amount)
    new = NewService(
        user_id=caller.user_id,
        environment=caller.environment,
        agent_id=agent,
        payout_address=payout_address,
        name=offer.name,
        description=offer.description,
        category=offer.category,
        pricing_model=offer.pricing_model,
        price=price,
        capabilities=offer.capabilities,
        tags=offer.tags,
    )
    async with marketplace.database.acquire() as connection, connection.transaction():
        await own_agent_id(connection, agent, caller)
        return answer(service_body(await services.add_service(connection, new)), 201)


async def _payout_address(marketplace: MarketplaceContext, caller: Caller, named: str | None, agent: str) -> str:
    """The wallet to which releases go. One that is followed for the caller was looked at when it was registered."""
    followed = [one.recipient.address for one in await recipients_of(marketplace.database, caller.user_id)]
    own = [address for address in followed if address != marketplace.settlement_wallet]
    if named is None and parse_address(agent) is not None:
        named = agent
    if named is not None:
        return named if named in own else await marketplace.payee(named, caller)
    if not own:
        raise conflict(
            "There is no wallet that the service could be paid to; send payoutAddress, "
            "or register a wallet with POST /recipients."
        )
    return own[0]


@router.patch("/{service_id}", response_model=ServiceBody, responses=errors(401, 403, 404, 409))
async def patch_service(
    marketplace: Marketplace,
    service_id: str,
    caller: Writer,
    change: ServiceChangeBody,
) -> Response:
    """Change a service; by its owner or an admin. Jobs ordered before keep their price."""
    service = await _own_service(marketplace, service_id, caller)
    token = await marketplace.find_token(change.price_currency) if change.price_currency is not None else None
    wanted = ServiceChange(
        name=change.name,
        description=change.description,
        category=change.category,
        pricing_model=change.pricing_model,
        payout_address=await _payout_address(marketplace, caller, change.payout_address, service.agent_id)
        if change.payout_address is not None
        else None,
        capabilities=change.capabilities,
        tags=change.tags,
        is_active=change.is_active,
    )
    async with marketplace.database.acquire() as connection, connection.transaction():
        price = await _changed_price(marketplace, connection, service, change.price_amount, token)
        changed = await services.change_service(connection, service.id, wanted, price)
    if changed is None:
        raise conflict("A service that was ordered keeps its currency; offer another service in the new one.")
    return answer(service_body(changed))


async def _changed_price(
    marketplace: MarketplaceContext,
    connection: DatabaseConnection,
    service: Service,
    amount: Decimal | None,
    token: Token | None,
) -> Price | None:
    """What a service costs from now on. A figure means something with its token only, so both are written."""
    if amount is None and token is None:
        return None
    locked = await services.lock_price(connection, service.id)
    if token is None:
        token = await marketplace.tokens.describe(locked.mint)
    if amount is None:
        amount = from_base_units(locked.amount, locked.decimals)
    return _price(token, amount)


def _price(token: Token, amount: Decimal) -> Price:
    return Price(token.base_units(amount, "priceAmount"), token.mint, token.symbol)


@router.delete("/{service_id}", status_code=204, responses=errors(401, 403, 404))
async def delete_service(marketplace: Marketplace, service_id: str, caller: Writer) -> Response:
    """Take a service off the market; by its owner or an admin. Jobs ordered before go on."""
    service = await _own_service(marketplace, service_id, caller)
    await services.change_service(marketplace.database, service.id, ServiceChange(is_active=False))
    return Response(status_code=204)


async def _own_service(marketplace: MarketplaceContext, service_id: str, caller: Caller) -> Service:
    service = await find_service(marketplace.database, service_id)
    if not caller.sees(service.user_id):
        raise forbidden("The service belongs to another user; only its owner or an admin changes it.")
    check_may_change(caller, service.environment, "The service")
    return service


async def find_service(database: Database, service_id: str) -> Service:
    """A service by its id in text. Raises ApiError 404 where there is none."""
    service = await services.find_service(database, parse_id(service_id, "The service"))
    if service is None:
        raise not_found("The service")
    return service
