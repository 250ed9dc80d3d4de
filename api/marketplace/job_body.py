"""Jobs in requests and answers: with their money, and the payments that fund them."""

import uuid
from typing import Annotated, Any, Literal

from pydantic import Field

from api.http.fields import BaseUnitsText, EpochMs, ExactAmount, LongText, ShortText
from api.http.json import AnswerShape, Shape, StrictShape, exact_amount
from api.http.stored_json import as_stored
from ledger.jobs import FullJob, Job, JobMovement
from ledger.payment_requests import request_status, solana_pay_url
from ledger.times import epoch_ms

Status = Literal["pending", "accepted", "in_progress", "completed", "approved", "disputed", "cancelled", "expired"]
JobId = Annotated[str, Field(max_length=64)]


class JobOrder(Shape):
    """A service to be ordered."""

    service_id: str
    input: Any = None
    deadline: int | None = Field(None, description="When it must be submitted, in milliseconds since 1970")
    client_agent_id: ShortText | None = Field(None, description="Who orders it; the caller, if it is left out")


class Submission(Shape):
    """What the provider has done."""

    output: Any


class Dispute(Shape):
    """Why one of the two disagrees."""

    reason: LongText = Field(min_length=1)


class Rating(Shape):
    """What the client thinks of it."""

    score: int = Field(ge=1, le=5)
    feedback: Annotated[LongText, Field(max_length=2000)] | None = None


class Resolution(StrictShape):
    """How a dispute ends."""

    resolution: Literal["release", "refund"]


class MovementBody(AnswerShape):
    """A payment that came in for a job, or a payout that leaves for it."""

    way: Literal["in", "release", "refund"]
    payout_id: uuid.UUID | None = Field(description="Of a payout, by which it can be redirected while it waits")
    recipient: str = Field(description="The wallet that is paid")
    signature: str | None
    mint: str
    amount_base_units: BaseUnitsText
    reason: str
    status: str
    at: EpochMs


class FundingRequest(AnswerShape):
    """The payment that funds a job."""

    nonce: str
    recipient: str
    amount: ExactAmount
    amount_base_units: BaseUnitsText
    currency: str
    mint: str
    reference: str
    solana_pay_url: str
    resource: str | None
    expires_at: EpochMs
    scheme: Literal["exact", "minimum"]
    status: Literal["open", "pending", "paid", "expired"]


class JobBody(AnswerShape):
    """A job."""

    id: uuid.UUID
    service_id: uuid.UUID
    service_name: str
    client_agent_id: str
    provider_agent_id: str
    status: Status
    escrow_status: Literal["pending", "escrowed", "disputed", "released", "refunded"]
    escrow_address: str | None = Field(description="The wallet that holds the price, once it is paid")
    escrow_transaction_id: str | None = Field(description="The transaction that paid the price")
    payment_amount: ExactAmount
    payment_amount_base_units: BaseUnitsText
    payment_currency: str
    dispute_reason: str | None
    resolution: Literal["release", "refund"] | None
    score: int | None
    feedback: str | None
    deadline: EpochMs
    created_at: EpochMs
    accepted_at: EpochMs | None
    escrowed_at: EpochMs | None
    completed_at: EpochMs | None
    approved_at: EpochMs | None
    ended_at: EpochMs | None
    settled_at: EpochMs | None
    updated_at: EpochMs
    payment: FundingRequest


class JobDetail(JobBody):
    """A job with what was ordered and submitted, and with its money."""

    input: Any
    output: Any
    money: list[MovementBody]


class JobList(AnswerShape):
    """A page of jobs."""

    jobs: list[JobBody]
    total: int
    limit: int
    offset: int


def job_body(job: Job) -> JobBody:
    """A job as it is answered."""
    return JobBody(**_fields(job))


def job_detail(job: FullJob, movements: list[JobMovement]) -> JobDetail:
    """A job as it is answered, with every payment for it."""
    money = [
        MovementBody(
            way=movement.way,
            payout_id=movement.payout_id,
            recipient=movement.recipient,
            signature=movement.signature,
            mint=movement.mint,
            amount_base_units=str(movement.amount),
            reason=movement.reason,
            status=movement.status,
            at=epoch_ms(movement.at),
        )
        for movement in movements
    ]
    return JobDetail(**_fields(job), input=as_stored(job.input), output=as_stored(job.output), money=money)


def _fields(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "service_id": job.service_id,
        "service_name": job.service_name,
        "client_agent_id": job.client_agent_id,
        "provider_agent_id": job.provider_agent_id,
        "status": job.status,
        "escrow_status": job.escrow_status,
        "escrow_address": job.settlement_wallet if job.funding_signature else None,
        "escrow_transaction_id": job.funding_signature,
        "payment_amount": exact_amount(job.price_amount, job.decimals),
        "payment_amount_base_units": str(job.price_amount),
        "payment_currency": job.price_currency,
        "dispute_reason": job.dispute_reason,
        "resolution": job.resolution,
        "score": job.score,
        "feedback": job.feedback,
        "deadline": epoch_ms(job.deadline),
        "created_at": epoch_ms(job.created_at),
        "accepted_at": epoch_ms(job.accepted_at),
        "escrowed_at": epoch_ms(job.escrowed_at),
        "completed_at": epoch_ms(job.completed_at),
        "approved_at": epoch_ms(job.ended_at) if job.status == "approved" else None,
        "ended_at": epoch_ms(job.ended_at),
        "settled_at": epoch_ms(job.settled_at),
        "updated_at": epoch_ms(job.updated_at),
        "payment": _funding_request(job),
    }


def job_resource(service_name: str) -> str:
    """What the payment request of a job is for."""
    return f"marketplace: {service_name}"[:256]


def _funding_request(job: Job) -> FundingRequest:
    return FundingRequest(
        nonce=job.nonce,
        recipient=job.settlement_wallet,
        amount=exact_amount(job.price_amount, job.decimals),
        amount_base_units=str(job.price_amount),
        currency=job.price_currency,
        mint=job.price_mint,
        reference=job.reference,
        solana_pay_url=solana_pay_url(
            recipient=job.settlement_wallet,
            amount=job.price_amount,
            decimals=job.decimals,
            mint=job.price_mint,
            reference=job.reference,
            memo=job.nonce,
            label=job.service_name,
        ),
        resource=job_resource(job.service_name),
        expires_at=epoch_ms(job.fund_until),
        scheme="minimum",  # more than the price goes back
        status=request_status(job.claim_status, job.fund_until),
    )
