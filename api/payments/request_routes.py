"""Payment requests: what is to be paid, to whom, until when."""

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import Path
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import Reader, Writer
from api.http.errors import conflict, errors, invalid, not_found
from api.http.json import answer
from api.http.stored_json import stored_json
from api.payments.bodies import RequestBody, RequestOrder, RequestStatus, payment_body, request_fields
from api.payments.context import Payments, PaymentsContext
from api.routing.route import new_router
from chain.addresses import parse_address
from chain.references import fresh_reference
from ledger.amounts import least_equal_amount
from ledger.payment_requests import (
    ClaimOfRequest,
    PaymentRequest,
    TransferOfRequest,
    create_request,
    find_request,
    request_status,
    transfers_of_request,
)
from ledger.recipients import find_recipient, recipients_of

router = new_router(prefix="/payments/requests", tags=["Payments"])

_METADATA_BYTES_MAX: Final = 4096


@router.post("", response_model=RequestBody, status_code=201, responses=errors(401, 403, 409))
async def post_request(context: Payments, caller: Writer, order: RequestOrder) -> Response:
    """Request a payment."""
    token = await context.tokens.find(order.currency, order.mint)
    metadata = stored_json(order.metadata or {}, "metadata", _METADATA_BYTES_MAX)
    made = await create_request(
        context.database,
        user_id=caller.user_id,
        recipient=await _recipient(context, caller, order.recipient),
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
    return answer(RequestBody(**request_fields(made, token, "open")), 201)


async def _recipient(context: PaymentsContext, caller: Caller, named: str | None) -> str:
    """The wallet to be paid: the one that is named, or the one that the caller registered first."""
    own = [one.recipient.address for one in await recipients_of(context.database, caller.user_id)]
    if named is not None:
        address = parse_address(named)
        if address in own:
            return str(address)
        recipient = await find_recipient(context.database, address) if address and caller.is_admin else None
        if recipient is None or not recipient.is_active:
            raise invalid(
                "recipient is not a wallet of yours; register it with POST /recipients.", {"field": "recipient"}
            )
        return str(address)
    if not own:
        raise conflict("There is no wallet to be paid; register one with POST /recipients.")
    return own[0]


@router.get("/{nonce}", response_model=RequestStatus, responses=errors(401, 403, 404))
async def get_request(context: Payments, caller: Reader, nonce: Annotated[str, Path(max_length=256)]) -> Response:
    """Show a payment request, whether it was paid, and every transfer that was made for it."""
    found = await find_request(context.database, nonce) if "\0" not in nonce else None
    if found is None or not caller.sees(found[0].user_id):
        raise not_found("The payment request")
    asked, claim = found
    token = await context.tokens.describe(asked.mint)
    named = await transfers_of_request(context.database, asked)
    paid = sum(one.transfer.credited for one in named if one.transfer.mint == asked.mint)
    received = paid if claim is None or claim.received is None else claim.received
    status = request_status(claim.status if claim else None, asked.expires_at)
    return answer(
        RequestStatus(
            **request_fields(asked, token, status),
            late=_is_late(asked, claim, named),
            short=0 < received < least_equal_amount(asked.amount, token.decimals),
            over=received > asked.amount,
            payer=claim.payer if claim else None,
            transaction_id=claim.signature if claim else None,
            transfers=[payment_body(one.transfer, await context.tokens.describe(one.transfer.mint)) for one in named],
        )
    )


def _is_late(asked: PaymentRequest, claim: ClaimOfRequest | None, transfers: Sequence[TransferOfRequest]) -> bool:
    """True when money for it came after it had expired, whether that honours anything or not."""
    came = [one.paid_at for one in transfers]
    if claim is not None and claim.honoured_at is not None:
        came.append(claim.paid_at or claim.honoured_at)
    return any(at > asked.expires_at for at in came)
