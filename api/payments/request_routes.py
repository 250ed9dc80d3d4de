"""Payment requests: what is to be paid, to whom, until when."""

import base64
import datetime as dt
import re
from typing import Annotated, Final

from fastapi import Path, Query
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import Reader, Writer
from api.access.environments import check_may_trade, environment_of_payments, may_trade
from api.http.errors import conflict, errors, invalid, not_found
from api.http.json import answer, exact_amount
from api.http.stored_json import stored_json
from api.payments.bodies import RequestBody, RequestOrder, RequestPage, RequestStatus, payment_body, request_fields
from api.payments.context import Payments, PaymentsContext
from api.routing.route import new_router
from chain.addresses import parse_address
from chain.references import fresh_reference
from ledger.payment_requests import (
    PaymentRequest,
    PlaceAmongRequests,
    create_request,
    find_request,
    page_of_requests,
    received_for,
    standing_now,
    transfers_of_request,
)
from ledger.recipients import Recipient, find_recipient, recipients_of

router = new_router(prefix="/payments/requests", tags=["Payments"])

_METADATA_BYTES_MAX: Final = 4096
_LIMIT_MAX: Final = 500
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@router.post("", response_model=RequestBody, status_code=201, responses=errors(401, 403, 409))
async def post_request(context: Payments, caller: Writer, order: RequestOrder) -> Response:
    """Request a payment."""
    return answer(await request_payment(context, caller, order), 201)


async def request_payment(context: PaymentsContext, caller: Caller, order: RequestOrder) -> RequestBody:
    """Register a payment request of the caller's.

    Raises:
        ApiError: 400 for terms that cannot be met, 403 for a live wallet by a test key, 409 without any wallet.
    """
    token = await context.tokens.find(order.currency, order.mint)
    metadata = stored_json(order.metadata or {}, "metadata", _METADATA_BYTES_MAX)
    amount = token.base_units(order.amount)
    recipient = await _recipient(context, caller, order.recipient)
    made = await create_request(
        context.database,
        # Whose the money is: an admin may ask for it.
        user_id=recipient.user_id,
        recipient=recipient.address,
        mint=token.mint,
        currency=token.symbol,
        amount=amount,
        resource=order.resource,
        expires_at=dt.datetime.now(dt.UTC) + dt.timedelta(milliseconds=order.expires_in),
        reference=fresh_reference(),
        exact=order.scheme == "exact",
        proof_version=max(order.require_proof_version, caller.proof_version),
        final_only=order.final_only or caller.final_only or token.needs_finality(amount, context.final_from),
        environment=environment_of_payments(caller),
        wallet_environment=recipient.environment,
        metadata=metadata,
    )
    if made is None:
        raise conflict("The wallet was changed at this very moment; look at it again and ask anew.")
    return RequestBody(**request_fields(made, token, "open"))


async def _recipient(context: PaymentsContext, caller: Caller, named: str | None) -> Recipient:
    """The wallet to be paid: the one that is named, or the one that the caller registered first and may be paid to."""
    own = {one.recipient.address: one.recipient for one in await recipients_of(context.database, caller.user_id)}
    if named is not None:
        address = parse_address(named)
        recipient = own.get(address) if address else None
        if recipient is None and address and caller.is_admin:
            recipient = await find_recipient(context.database, address)
        if recipient is None or not recipient.is_active:
            raise invalid(
                "recipient is not a wallet of yours; register it with POST /recipients.", {"field": "recipient"}
            )
        check_may_trade(caller, recipient.environment, "The wallet")
        return recipient
    if not own:
        raise conflict("There is no wallet to be paid; register one with POST /recipients.")
    # A test key is paid to the first wallet for tests, and refused where there is none.
    chosen = next((one for one in own.values() if may_trade(caller, one.environment)), next(iter(own.values())))
    check_may_trade(caller, chosen.environment, "The wallet")
    return chosen


@router.get("", response_model=RequestPage, responses=errors(401, 403))
async def get_requests(
    context: Payments,
    caller: Reader,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
    limit: Annotated[int, Query(ge=1, le=_LIMIT_MAX)] = 50,
) -> Response:
    """List the caller's payment requests, newest first; an admin sees everybody's."""
    return answer(await requests_page(context, caller, cursor=cursor, limit=limit))


async def requests_page(context: PaymentsContext, caller: Caller, *, cursor: str | None, limit: int) -> RequestPage:
    """A page of the payment requests that the caller may see, newest first.

    Raises:
        ApiError: 400 for a cursor that no such page gave.
    """
    found = await page_of_requests(
        context.database,
        user_id=None if caller.is_admin else caller.user_id,
        after=_place(cursor) if cursor else None,
        limit=limit + 1,
    )
    page = found[:limit]
    return RequestPage(
        requests=[
            RequestBody(**request_fields(asked, await context.tokens.describe(asked.mint), standing_now(asked, claim)))
            for asked, claim in page
        ],
        next_cursor=_cursor(page[-1][0]) if len(found) > limit else None,
    )


def _cursor(last: PaymentRequest) -> str:
    microseconds = (last.created_at - _EPOCH) // dt.timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{microseconds}/{last.nonce}".encode()).decode().rstrip("=")


def _place(cursor: str) -> PlaceAmongRequests:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        text = ""
    if (found := re.fullmatch(r"([0-9]{1,17})/([^\0]{1,256})", text, re.DOTALL)) is None:
        raise invalid("cursor is not one that this list gave; start without it.", {"field": "cursor"})
    return PlaceAmongRequests(_EPOCH + dt.timedelta(microseconds=int(found[1])), found[2])


@router.get("/{nonce}", response_model=RequestStatus, responses=errors(401, 403, 404))
async def get_request(context: Payments, caller: Reader, nonce: Annotated[str, Path(max_length=256)]) -> Response:
    """Show a payment request: whether it was paid, and every transfer that was made for it."""
    return answer(await standing_of_request(context, caller, nonce))


async def standing_of_request(context: PaymentsContext, caller: Caller, nonce: str) -> RequestStatus:
    """A payment request of the caller's and what came of it. Raises ApiError 404 where there is none."""
    found = await find_request(context.database, nonce) if "\0" not in nonce else None
    if found is None or not caller.sees(found[0].user_id):
        raise not_found("The payment request")
    asked, claim = found
    token = await context.tokens.describe(asked.mint)
    named = await transfers_of_request(context.database, asked)
    received = received_for(asked, named, decimals=token.decimals)
    honoured = claim if claim is not None and claim.is_honoured else None
    return RequestStatus(
        **request_fields(asked, token, standing_now(asked, claim)),
        received=exact_amount(received.amount, token.decimals),
        received_base_units=str(received.amount),
        late=received.is_late,
        short=received.is_short,
        over=received.is_over,
        duplicate=received.is_duplicate,
        payer=honoured.payer if honoured else None,
        transaction_id=honoured.signature if honoured else None,
        transfers=[payment_body(one.transfer, await context.tokens.describe(one.transfer.mint)) for one in named],
    )
