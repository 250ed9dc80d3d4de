"""Payments as pages: the list with its filters, what a search finds, and one payment with its time line."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Final, Literal
from urllib.parse import quote, urlencode

from fastapi import Path, Query, Request
from starlette.responses import RedirectResponse, Response

from api.access.caller import Caller
from api.console.context import Console, ConsoleContext
from api.console.pages import PAGE_HEADERS
from api.console.payment_exports import ExportFormat, export_payments, file_of_payments
from api.console.search import LOOKED_THROUGH, Found, find
from api.console.timeline import timeline_of
from api.console.visitors import Visitor
from api.http.errors import ApiError
from api.http.fields import Base58Signature
from api.payments.bodies import PaymentBody
from api.payments.transfer_routes import finalities_wanted, payments_of_transaction, payments_page
from api.routing.route import new_router
from chain.addresses import parse_address
from ledger.transfers import TransferFilter

router = new_router("/console/payments", is_documented=False)

_SHOWN: Final = 50
_TEXT_MAX: Final = 256
# The explorers know these clusters; a localnet is nobody's business but its own.
_EXPLORED: Final[Mapping[str, str]] = {
    "mainnet-beta": "",
    "testnet": "?cluster=testnet",
    "devnet": "?cluster=devnet",
}

Text = Annotated[str, Query(max_length=_TEXT_MAX)]
StatusChosen = Literal["", "confirmed", "finalized", "reversed"]


@router.get("")
async def list_payments(
    request: Request,
    context: Console,
    caller: Visitor,
    q: Text = "",
    recipient: Text = "",
    payer: Text = "",
    currency: Text = "",
    status: StatusChosen = "",
    cursor: Annotated[str, Query(max_length=400)] = "",
) -> Response:
    """List payments, newest first, or show what a search finds."""
    if text := q.strip():
        return await _search(request, context, caller, text)
    chosen = {"recipient": recipient.strip(), "payer": payer.strip(), "currency": currency.strip(), "status": status}
    problem, wanted = None, TransferFilter()
    page_of, next_link = None, None
    try:
        wanted = await _filter(context, chosen)
        page_of = await payments_page(context.payments, caller, wanted, cursor=cursor or None, limit=_SHOWN)
    except ApiError as error:
        if error.status != 400:  # noqa: PLR2004 - a filter that says nothing is said beside the filters
            raise
        problem = error.sentence
    if page_of is not None and page_of.next_cursor is not None:
        next_link = _link({**chosen, "cursor": page_of.next_cursor})
    return context.pages.page(
        request,
        "payments.html",
        caller=caller,
        status=400 if problem else 200,
        payments=page_of.payments if page_of else [],
        chosen=chosen,
        currencies=sorted({token.symbol for token in context.payments.tokens.listed()}),
        is_filtered=any(chosen.values()),
        first_link=_link(chosen) if cursor else None,
        next_link=next_link,
        problem=problem,
        searched=None,
        export_link=_export_link(chosen) if page_of and page_of.payments else None,
        looked_through=LOOKED_THROUGH,
    )


async def _filter(context: ConsoleContext, chosen: Mapping[str, str]) -> TransferFilter:
    token = await context.payments.tokens.find(chosen["currency"], None) if chosen["currency"] else None
    return TransferFilter(
        recipient=_address(chosen["recipient"], "Recipient"),
        payer=_address(chosen["payer"], "Payer"),
        mint=None if token is None else token.mint,
        finalities=finalities_wanted(_status(chosen["status"]), None),
    )


def _status(chosen: str) -> Literal["pending", "confirmed", "finalized", "reversed"] | None:
    for known in ("pending", "confirmed", "finalized", "reversed"):
        if chosen == known:
            return known
    return None


def _address(text: str, name: str) -> str | None:
    if not text:
        return None
    if (address := parse_address(text)) is None:
        raise ApiError(400, "VALIDATION_ERROR", f"{name} is no Solana address; enter a wallet's, in base58.")
    return address


async def _search(request: Request, context: ConsoleContext, caller: Caller, text: str) -> Response:
    found = await _find(context, caller, text)
    if found is not None and found.signature is not None:
        return _lead(f"/console/payments/{found.signature}")
    if found is not None and found.nonce is not None:
        return _lead(f"/console/requests/{quote(found.nonce, safe='')}")
    if found is not None and (found.recipient or found.payer):
        return _lead(_link({"recipient": found.recipient or "", "payer": found.payer or ""}))
    return context.pages.page(
        request,
        "payments.html",
        caller=caller,
        payments=await _found_payments(context, caller, found),
        chosen={"recipient": "", "payer": "", "currency": "", "status": ""},
        currencies=sorted({token.symbol for token in context.payments.tokens.listed()}),
        is_filtered=True,
        first_link=None,
        next_link=None,
        problem=None,
        searched=text,
        export_link=_export_link({"q": text}),
        looked_through=LOOKED_THROUGH,
    )


async def _find(context: ConsoleContext, caller: Caller, text: str) -> Found | None:
    return await find(context.payments, caller, text) if "\0" not in text else None


async def _found_payments(context: ConsoleContext, caller: Caller, found: Found | None) -> list[PaymentBody]:
    """The payments of the transactions that were found, as far as the caller may see them."""
    payments: list[PaymentBody] = []
    for signature in found.signatures if found is not None else ():
        try:
            payments += (await payments_of_transaction(context.payments, caller, signature)).payments
        except ApiError:
            continue  # it paid another, or the wallet before it was theirs
    return payments


@router.get("/export")
async def export_list(
    context: Console,
    caller: Visitor,
    form: Annotated[ExportFormat, Query(alias="format")],
    q: Text = "",
    recipient: Text = "",
    payer: Text = "",
    currency: Text = "",
    status: StatusChosen = "",
) -> Response:
    """Download what the list shows, all pages of it, by the same filters or the same search."""
    if text := q.strip():
        return file_of_payments(
            _one_page(await _found_payments(context, caller, await _find(context, caller, text))), form
        )
    chosen = {"recipient": recipient.strip(), "payer": payer.strip(), "currency": currency.strip(), "status": status}
    return await export_payments(context.payments, caller, await _filter(context, chosen), form)


async def _one_page(payments: Sequence[PaymentBody]) -> AsyncIterator[Sequence[PaymentBody]]:
    yield payments


@router.get("/{signature}")
async def show_payment(
    request: Request, context: Console, caller: Visitor, signature: Annotated[Base58Signature, Path()]
) -> Response:
    """Show what one transaction paid, to whom, and what became of it."""
    payments = (await payments_of_transaction(context.payments, caller, signature)).payments
    return context.pages.page(
        request,
        "payment.html",
        caller=caller,
        signature=signature,
        payments=payments,
        moments=await timeline_of(context.payments.database, signature, payments),
        explorer=explorer_link(context.network, signature),
    )


def explorer_link(network: str, signature: str) -> str | None:
    """Where the public explorer shows a transaction; `None` for a chain that it does not know."""
    if (cluster := _EXPLORED.get(network)) is None:
        return None
    return f"https://explorer.solana.com/tx/{signature}{cluster}"


def _link(parameters: Mapping[str, str]) -> str:
    query = urlencode({name: value for name, value in parameters.items() if value})
    return f"/console/payments?{query}" if query else "/console/payments"


def _export_link(parameters: Mapping[str, str]) -> str:
    """Where the list is downloaded; its format is to be added."""
    query = urlencode({name: value for name, value in parameters.items() if value})
    return f"/console/payments/export?{query}&" if query else "/console/payments/export?"


def _lead(path: str) -> Response:
    return RedirectResponse(path, 303, PAGE_HEADERS)
