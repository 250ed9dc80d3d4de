"""Payment requests: what is to be paid, to whom, until when."""

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Path, Request
from pydantic import Field
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import require
from api.http.errors import conflict, errors, invalid, not_found
from api.http.fields import Address, AmountSent, BaseUnitsText, EpochMs, Figure, ShortText
from api.http.json import Shape, answer, epoch_ms, figure
from api.http.stored_json import stored_json
from api.payments.transfer_routes import PaymentBody, payment
from api.resources import Resources, resources
from api.routing.route import new_router
from api.tokens import Token
from chain.addresses import parse_address
from chain.programs import NATIVE_SOL
from chain.references import fresh_reference
from ledger.amounts import least_equal_amount
from ledger.payment_requests import (
    ClaimOfRequest,
    PaymentRequest,
    TransferOfRequest,
    create_request,
    find_request,
    request_status,
    solana_pay_url,
    transfers_of_request,
)
from ledger.recipients import find_recipient, recipients_of

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
    made = await create_request(
        parts.database,
        user_id=caller.user_id,
        recipient=await _recipient(parts, caller, order.recipient),
        mint=token.mint,
        currency=token.symbol,
        amount=token.base_units(order.amount),
        resource=order.resource,
        expires_at=dt.datetime.now(dt.UTC) + dt.timedelta(milliseconds=order.expires_in),
        reference=fresh_reference(),
        exact=order.scheme == "exact",
        environment=caller.environment,
        metadata=metadata,
    )
    return answer(_described(made, token, "open"), 201)


async def _recipient(parts: Resources, caller: Caller, named: str | None) -> str:
    """The wallet to be paid: the one that is named, or the one that the caller registered first."""
    own = [one.recipient.address for one in await recipients_of(parts.database, caller.user_id)]
    if named is not None:
        address = parse_address(named)
        if address in own:
            return str(address)
        recipient = await find_recipient(parts.database, address) if address and caller.is_admin else None
        if recipient is None or not recipient.is_active:
            raise invalid(
                "recipient is not a wallet of yours; register it with POST /recipients.", {"field": "recipient"}
            )
        return str(address)
    if not own:
        raise conflict("There is no wallet to be paid; register one with POST /recipients.")
    return own[0]


@router.get("/{nonce}", response_model=RequestStatus, responses=errors(401, 403, 404))
async def get_request(
    request: Request, caller: Annotated[Caller, Depends(require("read"))], nonce: Annotated[str, Path(max_length=256)]
) -> Response:
    """Show a payment request, whether it was paid, and every transfer that was made for it."""
    parts = resources(request)
    found = await find_request(parts.database, nonce) if "\0" not in nonce else None
    if found is None or not caller.sees(found[0].user_id):
        raise not_found("The payment request")
    asked, claim = found
    token = await parts.tokens.describe(asked.mint)
    named = await transfers_of_request(parts.database, asked)
    paid = sum(one.transfer.credited for one in named if one.transfer.mint == asked.mint)
    received = paid if claim is None or claim.received is None else claim.received
    status = request_status(claim.status if claim else None, asked.expires_at)
    return answer(
        {
            **_described(asked, token, status),
            "late": _is_late(asked, claim, named),
            "short": 0 < received < least_equal_amount(asked.amount, token.decimals),
            "over": received > asked.amount,
            "payer": claim.payer if claim else None,
            "transactionId": claim.signature if claim else None,
            "transfers": [await payment(parts, one.transfer) for one in named],
        }
    )


def _is_late(asked: PaymentRequest, claim: ClaimOfRequest | None, transfers: Sequence[TransferOfRequest]) -> bool:
    """True when money for it came after it had expired, whether that honours anything or not."""
    came = [one.paid_at for one in transfers]
    if claim is not None and claim.honoured_at is not None:
        came.append(claim.paid_at or claim.honoured_at)
    return any(at > asked.expires_at for at in came)


def _described(asked: PaymentRequest, token: Token, status: str) -> dict[str, Any]:
    url = solana_pay_url(
        recipient=asked.recipient,
        amount=asked.amount,
        decimals=token.decimals,
        mint=None if asked.mint == NATIVE_SOL else asked.mint,
        reference=asked.reference,
        nonce=asked.nonce,
        label=asked.resource,
    )
    return {
        "nonce": asked.nonce,
        "amount": figure(asked.amount, token.decimals),
        "amountBaseUnits": str(asked.amount),
        "currency": asked.currency,
        "mint": asked.mint,
        "recipient": asked.recipient,
        "resource": asked.resource,
        "expiresAt": epoch_ms(asked.expires_at),
        "scheme": asked.scheme,
        "reference": asked.reference,
        "solanaPayUrl": url,
        "status": status,
        "metadata": asked.metadata,
    }
