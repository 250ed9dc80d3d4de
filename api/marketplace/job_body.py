"""A job as JSON has it: with its money, and the payment that funds it."""

import uuid
from typing import Any, Literal

from api.http.fields import BaseUnitsText, EpochMs, Figure
from api.http.json import Shape, epoch_ms, figure
from chain.programs import NATIVE_SOL
from ledger.payment_requests import request_status, solana_pay_url

Status = Literal["pending", "accepted", "in_progress", "completed", "approved", "disputed", "cancelled", "expired"]


class Movement(Shape):
    """A payment that came in for a job, or a payout that leaves for it."""

    way: Literal["in", "release", "refund"]
    signature: str | None
    mint: str
    amount_base_units: BaseUnitsText
    reason: str
    status: str
    at: EpochMs


class PaymentRequestBody(Shape):
    """The payment that funds a job."""

    nonce: str
    recipient: str
    amount: Figure
    amount_base_units: BaseUnitsText
    currency: str
    mint: str
    reference: str
    solana_pay_url: str
    resource: str | None
    expires_at: EpochMs
    scheme: Literal["exact", "minimum"]
    status: Literal["open", "pending", "paid", "expired"]


class JobBody(Shape):
    """A job."""

    id: uuid.UUID
    service_id: uuid.UUID
    service_name: str
    client_agent_id: str
    provider_agent_id: str
    status: Status
    escrow_status: Literal["pending", "escrowed", "disputed", "released", "refunded"]
    input: Any
    output: Any
    payment_amount: Figure
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
    payment: PaymentRequestBody


class JobDetail(JobBody):
    """A job with its money."""

    money: list[Movement]


class JobList(Shape):
    """A page of jobs."""

    jobs: list[JobBody]
    total: int
    limit: int
    offset: int


def job_json(row: Any) -> dict[str, Any]:
    """A row of `jobs`."""
    return {
        "id": str(row["id"]),
        "serviceId": str(row["service_id"]),
        "serviceName": row["service_name"],
        "clientAgentId": row["client_agent_id"],
        "providerAgentId": row["provider_agent_id"],
        "status": row["status"],
        "escrowStatus": row["escrow_status"],
        "input": row["input"],
        "output": row["output"],
        "paymentAmount": figure(row["price_amount"], row["decimals"]),
        "paymentAmountBaseUnits": str(row["price_amount"]),
        "paymentCurrency": row["price_currency"],
        "disputeReason": row["dispute_reason"],
        "resolution": row["resolution"],
        "score": row["score"],
        "feedback": row["feedback"],
        "deadline": epoch_ms(row["deadline"]),
        "createdAt": epoch_ms(row["created_at"]),
        "acceptedAt": epoch_ms(row["accepted_at"]),
        "escrowedAt": epoch_ms(row["escrowed_at"]),
        "completedAt": epoch_ms(row["completed_at"]),
        "approvedAt": epoch_ms(row["ended_at"]) if row["status"] == "approved" else None,
        "endedAt": epoch_ms(row["ended_at"]),
        "settledAt": epoch_ms(row["settled_at"]),
        "updatedAt": epoch_ms(row["updated_at"]),
        "payment": _payment(row),
    }


def job_resource(service_name: str) -> str:
    """What the payment request of a job is for."""
    return f"marketplace: {service_name}"[:256]


def _payment(row: Any) -> dict[str, Any]:
    return {
        "nonce": row["nonce"],
        "recipient": row["settlement_wallet"],
        "amount": figure(row["price_amount"], row["decimals"]),
        "amountBaseUnits": str(row["price_amount"]),
        "currency": row["price_currency"],
        "mint": row["price_mint"],
        "reference": row["reference"],
        "solanaPayUrl": solana_pay_url(
            recipient=row["settlement_wallet"],
            amount=row["price_amount"],
            decimals=row["decimals"],
            mint=None if row["price_mint"] == NATIVE_SOL else row["price_mint"],
            reference=row["reference"],
            nonce=row["nonce"],
            label=row["service_name"],
        ),
        "resource": job_resource(row["service_name"]),
        "expiresAt": epoch_ms(row["fund_until"]),
        "scheme": "minimum",  # more than the price goes back
        "status": request_status(row["claim_status"], row["fund_until"]),
    }


def movement_json(row: Any) -> dict[str, Any]:
    """A row of `job_money`."""
    return {
        "way": row["way"],
        "signature": row["signature"],
        "mint": row["mint"],
        "amountBaseUnits": str(row["amount"]),
        "reason": row["reason"],
        "status": row["status"],
        "at": epoch_ms(row["at"]),
    }
