"""Payment requests: what is to be paid, to whom, until when."""

import datetime as dt
from typing import Annotated, Final

from fastapi import Path
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import Reader, Writer
from api.http.errors import conflict, errors, invalid, not_found
from api.http.json import answer, figure
from api.http.stored_json import stored_json
from api.payments.bodies import RequestBody, RequestOrder, RequestStatus, payment_body, request_fields
from api.payments.context import Payments, PaymentsContext
from api.routing.route import new_router
from chain.addresses import parse_address
from chain.references import fresh_reference
from ledger.payment_requests import (
    create_request,
    find_request,
    received_for,
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
    amount = token.base_units(order.amount)
    made = await create_request(
        context.database,
        user_id=caller.user_id,
        recipient=await _recipient(context, caller, order.recipient),
        mint=token.mint,
        currency=token.symbol,
        amount=amount,
        resource=order.resource,
        expires_at=dt.datetime.now(dt.UTC) + dt.timedelta(milliseconds=order.expires_in),
        reference=fresh_reference(),
        exact=order.scheme == "exact",
        proof_version=max(order.require_proof_version, caller.proof_version),
        final_only=order.final_only or caller.final_only or token.needs_finality(amount, context.final_from),
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
    received = received_for(asked, named, decimals=token.decimals)
    status = request_status(claim.status, asked.expires_at, claimed_at=claim.claimed_at) if claim else None
    honoured = claim if claim is not None and claim.is_honoured else None
    return answer(
        RequestStatus(
            **request_fields(asked, token, status or request_status(None, asked.expires_at)),
            received=figure(received.amount, token.decimals),
            received_base_units=str(received.amount),
            late=received.is_late,
            short=received.is_short,
            over=received.is_over,
            duplicate=received.is_duplicate,
            payer=honoured.payer if honoured else None,
            transaction_id=honoured.signature if honoured else None,
            transfers=[payment_body(one.transfer, await context.tokens.describe(one.transfer.mint)) for one in named],
        )
    )
