"""Payment requests: a nonce registered for terms, with a key that a transfer can carry."""

import datetime as dt
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from ledger.amounts import figure_text
from ledger.sql import load_queries
from ledger.states import ClaimStatus
from ledger.transfers import RecordedTransfer, recorded_transfer

_queries = load_queries("ledger", "payment_requests.sql")

_NONCE_BYTES: Final = 24


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """What is to be paid, to whom, until when; `amount` is in base units.

    Attributes:
        reference: A fresh key that a transfer can carry, so that it is matched without a claim.
        scheme: `exact` refuses more than the amount, `minimum` accepts it.
    """

    nonce: str
    user_id: str
    recipient: str
    mint: str
    currency: str
    amount: int
    resource: str | None
    scheme: str
    metadata: dict[str, Any]
    reference: str
    environment: str
    created_at: dt.datetime
    expires_at: dt.datetime


@dataclass(frozen=True, slots=True)
class ClaimOfRequest:
    """The claim that a request was paid by, or else the last one that says so.

    Attributes:
        received: What the transfer that it took credited, in base units; `None` while it has none.
        paid_at: When that transfer was paid.
    """

    status: str
    payer: str
    signature: str
    received: int | None
    honoured_at: dt.datetime | None
    paid_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class TransferOfRequest:
    """A transfer that names a request, and when it was paid."""

    transfer: RecordedTransfer
    paid_at: dt.datetime


async def create_request(
    database: Any,
    *,
    user_id: str,
    recipient: str,
    mint: str,
    currency: str,
    amount: int,
    resource: str | None,
    expires_at: dt.datetime,
    reference: str,
    exact: bool = False,
    environment: str = "live",
    metadata: Mapping[str, Any] | None = None,
) -> PaymentRequest:
    """Register a fresh nonce for these terms; `amount` is in base units.

    `reference` is a fresh key that nobody can guess: a transfer that carries it was made for this request.
    """
    row = await _queries.add_request(
        database,
        nonce=secrets.token_urlsafe(_NONCE_BYTES),
        user_id=user_id,
        recipient=recipient,
        mint=mint,
        currency=currency,
        amount=amount,
        resource=resource,
        scheme="exact" if exact else "minimum",
        metadata=dict(metadata or {}),
        reference=reference,
        environment=environment,
        expires_at=expires_at,
    )
    return _request(row)


async def find_request(database: Any, nonce: str) -> tuple[PaymentRequest, ClaimOfRequest | None] | None:
    """The request of a nonce with its claim, if there is one; `None` when no request has that nonce."""
    row = await _queries.find_request(database, nonce=nonce)
    if row is None:
        return None
    names = ("claim_status", "payer", "signature", "received", "honoured_at", "paid_at")
    claim = ClaimOfRequest(*(row[name] for name in names)) if row["claim_status"] is not None else None
    return _request(row), claim


async def transfers_of_request(database: Any, request: PaymentRequest) -> list[TransferOfRequest]:
    """The transfers to the request's wallet that name it by its reference or its nonce, oldest first."""
    rows = _queries.transfers_of_request(
        database, recipient=request.recipient, reference=request.reference, nonce=request.nonce
    )
    return [TransferOfRequest(recorded_transfer(row), row["paid_at"]) async for row in rows]


def request_status(claim_status: str | None, expires_at: dt.datetime) -> str:
    """How a payment request stands: `open`, `pending`, `paid` or `expired`.

    `claim_status` is that of the claim that it was paid by, or else of the last one that says so.
    """
    if claim_status in {ClaimStatus.CONFIRMED, ClaimStatus.FINALIZED}:
        return "paid"
    if claim_status in {ClaimStatus.PENDING, ClaimStatus.REVERSED}:
        return "pending"
    return "expired" if expires_at <= dt.datetime.now(dt.UTC) else "open"


def solana_pay_url(
    *, recipient: str, amount: int, decimals: int, mint: str | None, reference: str, nonce: str, label: str | None
) -> str:
    """The request as wallets read it. Source: the Solana Pay specification, transfer requests.

    `mint` is `None` for native SOL. The nonce travels as memo, so that a wallet without references is matched too.
    """
    fields = {"amount": figure_text(amount, decimals)}
    if mint is not None:
        fields["spl-token"] = mint
    fields |= {"reference": reference, "memo": nonce}
    if label:
        fields["label"] = label
    return f"solana:{recipient}?{urlencode(fields, quote_via=quote)}"


def _request(row: Mapping[str, Any]) -> PaymentRequest:
    names = ("nonce", "user_id", "recipient", "mint", "currency", "amount", "resource", "scheme", "metadata")
    more = ("reference", "environment", "created_at", "expires_at")
    return PaymentRequest(*(row[name] for name in (*names, *more)))
