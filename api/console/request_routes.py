"""Payment requests as pages: the list, one to be made, and one with its code to scan, until it is paid."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final
from urllib.parse import quote, urlencode

from fastapi import Path, Query, Request
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from api.access.caller import Caller
from api.access.callers import sent_session
from api.console.codes import code_to_scan
from api.console.context import Console, ConsoleContext
from api.console.forms import posted_form
from api.console.pages import PAGE_HEADERS
from api.console.visitors import Visitor, WritingVisitor
from api.http.errors import ApiError, invalid
from api.payments.bodies import RequestOrder, RequestStatus
from api.payments.request_routes import request_payment, requests_page, standing_of_request
from api.routing.route import new_router
from ledger.amounts import AmountError, ungrouped
from ledger.recipients import recipients_of

router = new_router("/console/requests", is_documented=False)

_SHOWN: Final = 50
_MINUTE_MS: Final = 60_000
_MINUTES: Final = {"15": "15 minutes", "60": "1 hour", "1440": "1 day", "10080": "7 days", "43200": "30 days"}
_EMPTY: Final = {"amount": "", "currency": "USDC", "resource": "", "recipient": "", "minutes": "15", "exact": ""}

Nonce = Annotated[str, Path(max_length=256)]


@router.get("")
async def list_requests(
    request: Request, context: Console, caller: Visitor, cursor: Annotated[str, Query(max_length=400)] = ""
) -> Response:
    """List payment requests, newest first."""
    page = await requests_page(context.payments, caller, cursor=cursor or None, limit=_SHOWN)
    next_link = f"/console/requests?{urlencode({'cursor': page.next_cursor})}" if page.next_cursor else None
    return context.pages.page(
        request,
        "requests.html",
        caller=caller,
        requests=page.requests,
        first_link="/console/requests" if cursor else None,
        next_link=next_link,
    )


@router.get("/new")
async def new_request(request: Request, context: Console, caller: WritingVisitor) -> Response:
    """Ask for the terms of a payment request."""
    return await _form_page(request, context, caller, _EMPTY)


@router.post("/new")
async def make_request(request: Request, context: Console, caller: WritingVisitor) -> Response:
    """Register a payment request, and show it."""
    form = await posted_form(request, sent_session(request))
    try:
        made = await request_payment(context.payments, caller, _order(form))
    except ApiError as error:
        if error.status >= 500:  # noqa: PLR2004 - a fault of ours is not one of the form
            raise
        filled = {**_EMPTY, **{name: form.get(name, "") for name in _EMPTY}}
        return await _form_page(request, context, caller, filled, error)
    return RedirectResponse(f"/console/requests/{quote(made.nonce, safe='')}", 303, PAGE_HEADERS)


async def _form_page(
    request: Request,
    context: ConsoleContext,
    caller: Caller,
    filled: Mapping[str, str],
    error: ApiError | None = None,
) -> Response:
    own = await recipients_of(context.payments.database, caller.user_id)
    return context.pages.page(
        request,
        "request_new.html",
        caller=caller,
        status=error.status if error else 200,
        filled=filled,
        currencies=sorted({token.symbol for token in context.payments.tokens.listed()} | {"SOL"}),
        minutes=_MINUTES,
        wallets=[one.recipient for one in own if one.recipient.is_active],
        problem=error.sentence if error else None,
    )


def _order(form: Mapping[str, str]) -> RequestOrder:
    """The order that a filled form means. Raises ApiError 400."""
    minutes = form.get("minutes", "")
    if minutes not in _MINUTES:
        raise invalid("Choose how long the request stands.")
    try:
        amount = ungrouped(form.get("amount", ""))
    except AmountError as error:
        raise invalid(f"Amount {error}.", {"field": "amount"}) from None
    try:
        return RequestOrder.model_validate(
            {
                "amount": amount,
                "currency": form.get("currency"),
                "recipient": form.get("recipient"),
                "resource": form.get("resource"),
                "expiresIn": int(minutes) * _MINUTE_MS,
                "scheme": "exact" if form.get("exact") else "minimum",
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise invalid(f"{str(first['loc'][0]).capitalize()}: {first['msg']}; correct it.") from None


@router.get("/{nonce}")
async def show_request(request: Request, context: Console, caller: Visitor, nonce: Nonce) -> Response:
    """Show a payment request: how to pay it, and what came in for it."""
    standing = await standing_of_request(context.payments, caller, nonce)
    return context.pages.page(
        request,
        "request.html",
        caller=caller,
        asked=standing,
        missing=_missing(standing),
        code_address=f"/console/requests/{quote(standing.nonce, safe='')}/code",
    )


def _missing(standing: RequestStatus) -> Decimal:
    """What is still to be paid, in units of the token."""
    return max(Decimal(0), standing.amount - standing.received)


@router.get("/{nonce}/code")
async def show_code(context: Console, caller: Visitor, nonce: Nonce) -> Response:
    """Draw the code that a wallet scans to pay the request."""
    standing = await standing_of_request(context.payments, caller, nonce)
    return code_to_scan(standing.solana_pay_url)
