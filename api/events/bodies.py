"""What an event says: the models that document the JSON of the feed, of the stream and of webhooks.

The JSON itself is written once, by `ledger.feed`, and every reader gets the same bytes; a test holds what is published
against these models. Fields may be added to a version; whoever reads must ignore those it does not know.
"""

import uuid
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import Field, create_model

from api.http.fields import BaseUnitsText, EpochMs
from api.http.json import AnswerShape

SignedBaseUnitsText = Annotated[str, Field(pattern=r"^-?[0-9]+$", description="Base units as a decimal string")]
"""A difference in base units."""
Environment = Literal["live", "test"]


class Money(AnswerShape):
    """An amount in base units of a mint; figure for people: the amount divided by 10 to the power of decimals."""

    amount_base_units: BaseUnitsText
    mint: str
    decimals: int | None = Field(description="Null where the ledger does not know the token")
    symbol: str | None


class PaymentData(Money):
    """A transfer to one of the user's wallets; the amount is what arrived, without the token's own fee."""

    signature: str
    path: str = Field(description="Which instruction of the transaction moved it")
    slot: int
    payer: str | None
    recipient: str
    fee_base_units: BaseUnitsText
    status: Literal["confirmed", "reversed"]
    finality: Literal["confirmed", "finalized"] | None
    memos: list[str]
    nonce: str | None = Field(description="The payment request that it names, by reference or memo")


class ClaimData(Money):
    """A claimed payment; the amount is what was claimed."""

    claim_id: uuid.UUID
    nonce: str
    signature: str
    path: str | None
    payer: str
    recipient: str | None
    received_base_units: BaseUnitsText | None
    status: Literal["confirmed", "reversed", "failed", "expired"]
    finality: Literal["confirmed", "finalized"] | None
    code: str | None = Field(description="Why it was refused, as `/verify` says it")
    resource: str | None
    agent_id: str | None


class RequestData(Money):
    """A payment request; the amount is what was asked for, and what follows is the payment that the event is about."""

    nonce: str
    recipient: str
    resource: str | None
    reference: str | None
    expires_at: EpochMs | None
    received_base_units: BaseUnitsText | None
    signature: str | None
    path: str | None
    payer: str | None


class JobData(Money):
    """A step of a job; the amount is its price."""

    job_id: uuid.UUID
    service_id: uuid.UUID
    role: Literal["client", "provider"] = Field(description="Which of the two the user is")
    client_agent_id: str
    provider_agent_id: str
    by: str | None
    reason: str | None


class PayoutData(Money):
    """Money that is sent for a job."""

    payout_id: uuid.UUID
    job_id: uuid.UUID
    role: Literal["client", "provider"] = Field(description="Which of the two the user is")
    kind: Literal["release", "refund"]
    reason: str
    recipient: str
    status: Literal["sent", "settled", "waiting"]
    waiting_reason: str | None
    signature: str | None


class KeyData(AnswerShape):
    """An API key, by its public prefix."""

    key_prefix: str
    environment: Environment | None
    revoked_at: EpochMs | None = Field(description="When it ends, where it is replaced by another")
    replaced_by: str | None


class AccountData(AnswerShape):
    """What an audit found about a token account of one of the user's wallets."""

    account: str
    wallet: str
    mint: str
    decimals: int | None
    symbol: str | None
    slot: int = Field(description="The finalized slot at which chain and ledger were compared")
    drift_base_units: SignedBaseUnitsText = Field(description="The balance on chain less the ledger's")
    gaps: int = Field(description="How many transactions are known to be missing in between")


class WebhookData(AnswerShape):
    """One of the user's webhooks."""

    webhook_id: uuid.UUID
    reason: str | None


class X402Data(Money):
    """A settlement of an x402 payment; the amount is what arrived."""

    settlement_id: uuid.UUID
    signature: str


DATA_OF: Final[Mapping[str, tuple[type[AnswerShape], str]]] = MappingProxyType(
    {
        "payment.received": (PaymentData, "A transfer to a wallet is confirmed. It may still be undone."),
        "payment.finalized": (PaymentData, "It can never be undone."),
        "payment.reversed": (PaymentData, "Its fork was abandoned: the money did not arrive after all."),
        "unmatched.received": (PaymentData, "It names no payment request, and nobody has claimed it in time."),
        "claim.honoured": (ClaimData, "A claim has been given its payment, which nobody else can claim now."),
        "claim.refused": (ClaimData, "A claim came to nothing; `code` says why."),
        "claim.reversed": (ClaimData, "The payment of an honoured claim was undone."),
        "request.paid": (RequestData, "A payment request is paid, as finally as it demands."),
        "request.short": (RequestData, "A payment named a payment request and was too small for it."),
        "request.expired": (RequestData, "A payment request ended unpaid."),
        "x402.settled": (X402Data, "A payment by x402 was settled."),
        "job.pending": (JobData, "A service was ordered."),
        "job.accepted": (JobData, "Its provider has accepted it."),
        "job.in_progress": (JobData, "Its provider has begun."),
        "job.completed": (JobData, "Its provider has submitted its result."),
        "job.approved": (JobData, "Its client is content, or was silent for the time of a review: money is released."),
        "job.disputed": (JobData, "Its client disputes the result."),
        "job.cancelled": (JobData, "It was cancelled; what was paid goes back."),
        "job.expired": (JobData, "It was not funded or not done in time; what was paid goes back."),
        "job.escrowed": (JobData, "Its price is paid, finally, and held."),
        "job.not_funded": (JobData, "A payment for it cannot fund it and goes back; `reason` says why."),
        "payout.sent": (PayoutData, "A payout is signed and on its way."),
        "payout.settled": (PayoutData, "A payout has arrived, finally."),
        "payout.waiting": (PayoutData, "A payout cannot be sent now; it is tried again."),
        "key.created": (KeyData, "An API key was made."),
        "key.revoked": (KeyData, "An API key was revoked, or replaced and ends at a stated time."),
        "account.gap_found": (AccountData, "Ledger and chain disagree about an account; it is healed by itself."),
        "account.proven": (AccountData, "Ledger and chain agree, at the first audit or after a disagreement."),
        "webhook.test": (WebhookData, "A delivery that was asked for, to try a receiver."),
        "webhook.disabled": (WebhookData, "A webhook was switched off; `reason` says why."),
    }
)
"""What each type of event carries as its data, and what it means."""


class EventHead(AnswerShape):
    """What every event has."""

    id: str = Field(pattern=r"^evt_[0-9]+$", description="Its name and its place: a cursor, and the `webhook-id`")
    version: Literal[1]
    timestamp: EpochMs = Field(description="When it happened, in milliseconds since 1970")
    user_id: str
    environment: Environment


def _model_of(kind: str, data: type[AnswerShape], meaning: str) -> type[EventHead]:
    name = "".join(part.capitalize() for part in kind.replace("_", ".").split(".")) + "Event"
    fields: dict[str, Any] = {"type": (Literal[kind], ...), "data": (data, ...)}
    return create_model(name, __base__=EventHead, __doc__=meaning, **fields)


EVENT_MODELS: Final[Mapping[str, type[EventHead]]] = MappingProxyType(
    {kind: _model_of(kind, data, meaning) for kind, (data, meaning) in DATA_OF.items()}
)
"""The model of the whole event, by its type."""


class EventBody(EventHead):
    """An event of any type; docs/events.md describes the data of each."""

    type: str
    data: dict[str, Any]


class EventPage(AnswerShape):
    """Events, oldest first."""

    events: Sequence[EventBody]
    cursor: str = Field(description="What to send as `after` for what comes next")
    has_more: bool
