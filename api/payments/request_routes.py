"""Payment requests: what is to be paid, to whom, until when."""

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Path, Request
from pydantic import Field
from starlette.responses import Response

from api.access.callers import require
from api.access.key_ring import Caller
from api.http.errors import conflict, errors, invalid, not_found
from api.http.json import BaseUnitsText, EpochMs, Figure, Shape, answer, epoch_ms, figure
from api.http.stored_json import stored_json
from api.payments.transfer_routes import PaymentBody, payment
from api.resources import Resources, resources
from api.routing.route import ShortText, new_router
from api.tokens import Token
from api.verify.routes import Address, AmountSent
from chain.addresses import parse_address
from chain.programs import NATIVE_SOL
from ledger.amounts import least_equal_amount
from ledger.payment_requests import create_request, request_status, solana_pay_url

router = new_router(prefix="/payments/requests", tags=["Payments"])

_EXPIRES_IN_MS: Final = 15 * 60 * 1000
_MAX_EXPIRES_IN_MS: Final = 30 * 24 * 60 * 60 * 1000
_MAX_METADATA_BYTES: Final = 4096


class RequestOrder(Shape):
    """A payment to be requested."""

    amount: AmountSent
    currency: ShortText | None = Field(None, examples=["USDC"])
    mint: Address | None = None
    recipient: Address | None = Field(
        None, description="One of the caller's wallets; the one that was registered first, if it is left out"
    )
    resource: ShortText | None = Field(None, description="What is paid for")
    expires_in: int = Field(_EXPIRES_IN_MS, ge=1, le=_MAX_EXPIRES_IN_MS, description="Milliseconds")
    scheme: Literal["exact", "minimum"] = "minimum"
    metadata: dict[str, Any] | None = None


class RequestBody(Shape):
    """A payment request."""

    nonce: str
    amount: Figure
    amount_base_units: BaseUnitsText
    currency: str
    mint: str
    recipient: str
    resource: str | None
    expires_at: EpochMs
    scheme: Literal["exact", "minimum"]
    reference: str = Field(description="A key that a transfer can carry, so that it is matched without a claim")
    solana_pay_url: str
    status: Literal["open", "pending", "paid", "expired"]
    metadata: dict[str, Any]


class RequestStatus(RequestBody):
    """A payment request and what came of it."""

    late: bool = Field(description="A payment for it came after it had expired, whether it was honoured or not")
    short: bool = Field(description="What was paid is less than was asked for")
    over: bool = Field(description="What was paid is more than was asked for")
    payer: str | None
    transaction_id: str | None
    transfers: list[PaymentBody]


@router.post("", response_model=RequestBody, status_code=201, responses=errors(401, 403, 409))
async def post_request(
    request: Request, caller: Annotated[Caller, Depends(require("write"))], order: RequestOrder
) -> Response:
    """Request a payment."""
    parts = resources(request)
    token = await parts.tokens.find(order.currency, order.mint)
    metadata = stored_json(order.metadata or {}, "metadata", _MAX_METADATA_BYTES)
    row = await create_request(
        parts.database,
        user_id=caller.user_id,
        recipient=await _recipient(parts, caller, order.recipient),
        mint=token.mint,
        currency=token.symbol,
        amount=token.base_units(order.amount),
        resource=order.resource,
        expires_at=dt.datetime.now(dt.UTC) + dt.timedelta(milliseconds=order.expires_in),
        exact=order.scheme == "exact",
        environment=caller.environment,
        metadata=metadata,
    )
    return answer(_described(row, token, "open"), 201)


async def _recipient(parts: Resources, caller: Caller, named: str | None) -> str:
    """The wallet to be paid: the one that is named, or the one that the caller registered first."""
    rows = [row async for row in parts.queries.recipients_of(parts.database, user_id=caller.user_id)]
    own = [row["address"] for row in rows]
    if named is not None:
        address = parse_address(named)
        if address in own:
            return str(address)
        row = await parts.queries.recipient(parts.database, address=address) if address and caller.is_admin else None
        if row is None or not row["active"]:
            raise invalid(
                "recipient is not a wallet of yours; register it with POST /recipients.", {"field": "recipient"}
            )
        return str(address)
    if not own:
        raise conflict("There is no wallet to be paid; register one with POST /recipients.")
    return str(own[0])


@router.get("/{nonce}", response_model=RequestStatus, responses=errors(401, 403, 404))
async def get_request(
    request: Request, caller: Annotated[Caller, Depends(require("read"))], nonce: Annotated[str, Path(max_length=256)]
) -> Response:
    """Show a payment request, whether it was paid, and every transfer that was made for it."""
    parts = resources(request)
    row = await parts.queries.request(parts.database, nonce=nonce) if "\0" not in nonce else None
    if row is None or not caller.sees(row["user_id"]):
        raise not_found("The payment request")
    token = await parts.tokens.describe(row["mint"])
    rows = [
        one
        async for one in parts.queries.transfers_of_request(
            parts.database, recipient=row["recipient"], reference=row["reference"], nonce=nonce
        )
    ]
    paid = sum(one["credited"] for one in rows if one["mint"] == row["mint"])
    received = row["received"] if row["received"] is not None else paid
    status = request_status(row["claim_status"], row["expires_at"])
    return answer(
        {
            **_described(row, token, status),
            "late": _is_late(row, rows),
            "short": 0 < received < least_equal_amount(row["amount"], token.decimals),
            "over": received > row["amount"],
            "payer": row["payer"],
            "transactionId": row["signature"],
            "transfers": [await payment(parts, one) for one in rows],
        }
    )


def _is_late(row: Any, transfers: Sequence[Any]) -> bool:
    """True when money for it came too late; what names an expired request honours nothing, and is told all the same."""
    came = [one["paid_at"] for one in transfers]
    if row["honoured_at"] is not None:
        came.append(row["paid_at"] or row["honoured_at"])
    return any(at > row["expires_at"] for at in came)


def _described(row: Any, token: Token, status: str) -> dict[str, Any]:
    url = solana_pay_url(
        recipient=row["recipient"],
        amount=row["amount"],
        decimals=token.decimals,
        mint=None if row["mint"] == NATIVE_SOL else row["mint"],
        reference=row["reference"],
        nonce=row["nonce"],
        label=row["resource"],
    )
    return {
        "nonce": row["nonce"],
        "amount": figure(row["amount"], token.decimals),
        "amountBaseUnits": str(row["amount"]),
        "currency": row["currency"],
        "mint": row["mint"],
        "recipient": row["recipient"],
        "resource": row["resource"],
        "expiresAt": epoch_ms(row["expires_at"]),
        "scheme": row["scheme"],
        "reference": row["reference"],
        "solanaPayUrl": url,
        "status": status,
        "metadata": row["metadata"],
    }
