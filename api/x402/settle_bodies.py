"""What POST /x402/settle and GET /x402/payments/{id} answer, as published clients and middlewares read it."""

from typing import Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from api.http.errors import ErrorBody
from api.http.json import AnswerShape
from ledger.states import Finality


class SettlementExtra(AnswerShape):
    """What we add to the protocol's answer, in the field that published clients keep."""

    payment_id: UUID = Field(description="For GET /x402/payments/{id}")
    slot: int | None = None
    finality: Finality | None = None


class SettleAnswer(AnswerShape):
    """The verdict on a payment that was to be settled. Fields without a value are left out."""

    success: bool
    error_reason: str | None = Field(
        None,
        description="Why it is not settled, in the protocol's own words. `settlement_pending` is no failure: the "
        "payment is under way, and repeating the request gives its fate",
    )
    error_message: str | None = Field(None, description="A sentence that says what is wrong and what to do")
    payer: str | None = Field(None, description="The wallet that signed the transfer")
    transaction: str = Field(description="The transaction's signature; empty where nothing was sent")
    network: str
    amount: str | None = Field(None, description="What was paid, in base units")
    extra: SettlementExtra | None = None


class SettleRefusedBody(ErrorBody):
    """No verdict: the request itself is refused, or a part of ours is down; repeating it answers what became of it."""

    model_config = ConfigDict(extra="forbid")

    success: Literal[False] = False
    error_reason: Literal["unexpected_settle_error"] = "unexpected_settle_error"
    transaction: Literal[""] = ""
    network: Literal[""] = ""


class PaymentBody(AnswerShape):
    """Where a payment over x402 stands."""

    id: UUID
    status: Literal["pending", "completed", "failed"]
    reason: str | None = Field(description="Why it failed, in the protocol's own words")
    message: str | None = Field(description="What the chain said of that")
    transaction: str
    network: str
    slot: int | None = Field(description="Where it landed")
    finality: Finality | None = Field(description="Whether it can still be undone; null while it is not completed")
    last_valid_block_height: int = Field(
        description="Beyond this block height, finalized, what has not landed never will"
    )
    created_at: int
    decided_at: int | None
