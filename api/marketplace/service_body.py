"""Services in requests and answers."""

import uuid
from typing import Annotated, Final, Literal

from pydantic import Field

from api.http.fields import Address, AmountSent, BaseUnitsText, EpochMs, ExactAmount, LongText, ShortText
from api.http.json import AnswerShape, Shape, exact_amount
from ledger.jobs import RecentJob
from ledger.services import Service
from ledger.times import epoch_ms

Category = Literal["ai", "data", "development", "automation", "analytics"]
PricingModel = Literal["per-request", "per-hour", "fixed"]
Sort = Literal["popular", "price-low", "price-high", "rating", "newest"]
Name = Annotated[ShortText, Field(max_length=200)]
Labels = Annotated[list[ShortText], Field(max_length=50)]
_BEST_RATING: Final = 5


class ServiceOffer(Shape):
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


class ServiceChangeBody(Shape):
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


class ServiceBody(AnswerShape):
    """A service."""

    id: uuid.UUID
    agent_id: str
    name: str
    description: str
    category: Category
    pricing_model: PricingModel
    price_amount: ExactAmount
    price_amount_base_units: BaseUnitsText
    price_currency: str
    price_mint: str
    payout_address: str
    environment: Literal["live", "test"] = Field(
        description="Of the key that offered it: one for tests is ordered by test keys"
    )
    capabilities: list[str]
    tags: list[str]
    average_response_time: int = Field(description="From accepting to submitting, in milliseconds; 0 before any job")
    reliability: float = Field(description="Per cent of its settled jobs that were paid; 100 before any")
    rating: float = Field(description="1 to 5, the mean of its clients' ratings; 5 before any")
    rating_count: int
    total_jobs: int
    successful_jobs: int
    total_earnings: ExactAmount
    total_earnings_base_units: BaseUnitsText
    is_active: bool
    created_at: EpochMs
    updated_at: EpochMs


class RecentJobBody(AnswerShape):
    """A job of a service, in short."""

    id: uuid.UUID
    status: str
    escrow_status: str
    created_at: EpochMs
    completed_at: EpochMs | None


class ServiceDetail(ServiceBody):
    """A service with its newest jobs."""

    recent_jobs: list[RecentJobBody]


class ServiceList(AnswerShape):
    """A page of services."""

    services: list[ServiceBody]
    total: int
    limit: int
    offset: int


def service_body(service: Service) -> ServiceBody:
    """A service as it is answered."""
    successful = service.successful_jobs
    return ServiceBody(
        id=service.id,
        agent_id=service.agent_id,
        name=service.name,
        description=service.description,
        category=service.category,
        pricing_model=service.pricing_model,
        price_amount=exact_amount(service.price_amount, service.decimals),
        price_amount_base_units=str(service.price_amount),
        price_currency=service.price_currency,
        price_mint=service.price_mint,
        payout_address=service.payout_address,
        environment="test" if service.environment == "test" else "live",
        capabilities=service.capabilities,
        tags=service.tags,
        average_response_time=round(service.response_seconds * 1000 / successful) if successful else 0,
        reliability=success_rate(service) if service.total_jobs else 100,
        rating=rating(service),
        rating_count=service.rating_count,
        total_jobs=service.total_jobs,
        successful_jobs=successful,
        total_earnings=exact_amount(service.total_earnings, service.decimals),
        total_earnings_base_units=str(service.total_earnings),
        is_active=service.is_active,
        created_at=epoch_ms(service.created_at),
        updated_at=epoch_ms(service.updated_at),
    )


def service_detail(service: Service, jobs: list[RecentJob]) -> ServiceDetail:
    """A service as it is answered, with its newest jobs."""
    recent = [
        RecentJobBody(
            id=job.id,
            status=job.status,
            escrow_status=job.escrow_status,
            created_at=epoch_ms(job.created_at),
            completed_at=epoch_ms(job.completed_at),
        )
        for job in jobs
    ]
    return ServiceDetail(**service_body(service).model_dump(), recent_jobs=recent)


def success_rate(service: Service) -> float:
    """Per cent of the settled jobs that were paid; 0 before any."""
    return round(100 * service.successful_jobs / service.total_jobs, 2) if service.total_jobs else 0


def rating(service: Service) -> float:
    """The mean of the clients' ratings; the best before there is any, as 402pay's clients expect it."""
    return round(service.rating_sum / service.rating_count, 2) if service.rating_count else _BEST_RATING
