"""Payment requests: a nonce registered for terms, with a key that a transfer can carry."""

import datetime as dt
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

from ledger.amounts import amount_text, least_equal_amount
from ledger.sql import Database, DatabasePool, load_queries, planned_for_its_values
from ledger.states import HONOURED, ClaimStatus
from ledger.tokens import NATIVE_SOL, mints_counting_as
from ledger.transfers import RecordedTransfer, recorded_transfer

_queries = load_queries("ledger", "payment_requests.sql")

_NONCE_BYTES: Final = 24


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """What is to be paid, to whom, until when; `amount` is in base units.

    Attributes:
        reference: A fresh key that a transfer can carry, so that it is matched without a claim.
        scheme: `exact` refuses more than the amount, `minimum` accepts it.
        proof_version: The least version of a proof that is accepted for it.
        final_only: Only a finalized transfer pays it, however it is matched.
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
    proof_version: int
    final_only: bool


@dataclass(frozen=True, slots=True)
class ClaimOfRequest:
    """The claim that a request was paid by, or else the first one that waits for its payment, or came to nothing.

    Anybody who knows a request's nonce can make a claim that waits: its `payer` is known once it is honoured.
    """

    status: ClaimStatus
    payer: str
    signature: str
    claimed_at: dt.datetime

    @property
    def is_honoured(self) -> bool:
        """True when it holds a transfer."""
        return self.status in HONOURED


@dataclass(frozen=True, slots=True)
class PlaceAmongRequests:
    """Where a page of payment requests ended: the key of its last one."""

    created_at: dt.datetime
    nonce: str


@dataclass(frozen=True, slots=True)
class TransferOfRequest:
    """A transfer that names a request, or honours it, and when it was paid.

    `pays_another` is true where it honours another request, which the same transaction names.
    """

    transfer: RecordedTransfer
    paid_at: dt.datetime
    pays_another: bool


@dataclass(frozen=True, slots=True)
class Received:
    """What came in for a request, in base units of its token, and what is remarkable about that.

    Attributes:
        amount: All payments for it in its token together.
        is_late: One of them came after the request had expired, whether it was honoured or not.
        is_short: All of them together are less than was asked for.
        is_over: All of them together are more than was asked for.
        is_duplicate: There is more than one.
    """

    amount: int
    is_late: bool
    is_short: bool
    is_over: bool
    is_duplicate: bool


async def create_request(
    database: Database,
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
    wallet_environment: str = "live",
    metadata: Mapping[str, Any] | None = None,
    proof_version: int = 1,
    final_only: bool = False,
) -> PaymentRequest | None:
    """Register a fresh nonce for these terms; `amount` is in base units.

    `None` where the wallet is no longer of the environment in which it was seen, which is `wallet_environment`.

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
        wallet_environment=wallet_environment,
        expires_at=expires_at,
        proof_version=proof_version,
        final_only=final_only,
    )
    return None if row is None else _request(row)


async def find_request(database: Database, nonce: str) -> tuple[PaymentRequest, ClaimOfRequest | None] | None:
    """The request of a nonce with its claim, if there is one; `None` when no request has that nonce."""
    row = await _queries.find_request(database, nonce=nonce)
    return None if row is None else (_request(row), _claim(row))


async def page_of_requests(
    database: DatabasePool, *, user_id: str | None, after: PlaceAmongRequests | None, limit: int
) -> list[tuple[PaymentRequest, ClaimOfRequest | None]]:
    """A user's requests, or everybody's, with their claims: at most `limit`, newest first, beginning behind `after`."""
    place = {"created_at": after.created_at if after else None, "nonce": after.nonce if after else None}
    # A statement for each of the two: one plan for both would read all requests where a few are asked about.
    async with planned_for_its_values(database) as connection:
        if user_id is None:
            rows = _queries.page_of_all_requests(connection, limit=limit, **place)
        else:
            rows = _queries.page_of_requests(connection, user_id=user_id, limit=limit, **place)
        return [(_request(row), _claim(row)) async for row in rows]


async def count_open_requests(database: Database, *, user_id: str | None, count_max: int) -> int:
    """How many requests of a user, or of everybody, are unpaid and have not expired; counted up to `count_max`."""
    counted: int = await _queries.count_open_requests(database, user_id=user_id, count_max=count_max)
    return counted


async def transfers_of_request(database: Database, request: PaymentRequest) -> list[TransferOfRequest]:
    """The payments to the request's wallet that name it or honour it, oldest first."""
    rows = _queries.transfers_of_request(
        database,
        user_id=request.user_id,
        recipient=request.recipient,
        reference=request.reference,
        nonce=request.nonce,
    )
    return [TransferOfRequest(recorded_transfer(row), row["paid_at"], row["pays_another"]) async for row in rows]


def received_for(request: PaymentRequest, transfers: Sequence[TransferOfRequest], *, decimals: int) -> Received:
    """What `transfers` bring to `request`, whose token has `decimals`. SOL comes native and wrapped.

    One that too few nodes have seen brings nothing yet, and one that pays another request nothing at all.
    """
    mints = mints_counting_as(request.mint)
    seen = [one for one in transfers if one.transfer.finality != "pending" and not one.pays_another]
    counted = [one.transfer for one in seen if one.transfer.mint in mints]
    amount = sum(transfer.credited for transfer in counted)
    return Received(
        amount=amount,
        is_late=any(one.paid_at > request.expires_at for one in seen),
        is_short=0 < amount < least_equal_amount(request.amount, decimals),
        is_over=amount > request.amount,
        is_duplicate=len(counted) > 1,
    )


def request_status(
    claim_status: str | None, expires_at: dt.datetime, *, claimed_at: dt.datetime | None = None
) -> Literal["open", "pending", "paid", "expired"]:
    """How a payment request stands.

    `claim_status` is that of the claim that it was paid by, or else of the first one that waits for its payment,
    which was made at `claimed_at`: one that was made after the request had expired keeps nothing open.
    """
    if claim_status in {ClaimStatus.CONFIRMED, ClaimStatus.FINALIZED}:
        return "paid"
    is_in_time = claimed_at is None or claimed_at <= expires_at
    if claim_status == ClaimStatus.REVERSED or (claim_status == ClaimStatus.PENDING and is_in_time):
        return "pending"
    return "expired" if expires_at <= dt.datetime.now(dt.UTC) else "open"


def standing_now(
    request: PaymentRequest, claim: ClaimOfRequest | None
) -> Literal["open", "pending", "paid", "expired"]:
    """How `request` stands, with the claim that `find_request` found for it."""
    if claim is None:
        return request_status(None, request.expires_at)
    return request_status(claim.status, request.expires_at, claimed_at=claim.claimed_at)


def solana_pay_url(
    *, recipient: str, amount: int, decimals: int, mint: str, reference: str | None, memo: str, label: str | None
) -> str:
    """A payment as wallets read it. Source: the Solana Pay specification, transfer requests.

    A link without a token asks for native SOL. A request's nonce travels as memo, so that a wallet without references
    is matched too.
    """
    fields = {"amount": amount_text(amount, decimals)}
    if mint != NATIVE_SOL:
        fields["spl-token"] = mint
    if reference:
        fields["reference"] = reference
    fields["memo"] = memo
    if label:
        fields["label"] = label
    return f"solana:{recipient}?{urlencode(fields, quote_via=quote)}"


def _request(row: Mapping[str, Any]) -> PaymentRequest:
    names = ("nonce", "user_id", "recipient", "mint", "currency", "amount", "resource", "scheme", "metadata")
    more = ("reference", "environment", "created_at", "expires_at", "proof_version", "final_only")
    return PaymentRequest(*(row[name] for name in (*names, *more)))


def _claim(row: Mapping[str, Any]) -> ClaimOfRequest | None:
    if row["claim_status"] is None:
        return None
    return ClaimOfRequest(ClaimStatus(row["claim_status"]), row["payer"], row["signature"], row["claimed_at"])
