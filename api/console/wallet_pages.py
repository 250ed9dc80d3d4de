"""Wallets as pages: those that are followed, registering one with its signature, and letting one go."""

import time
from collections.abc import Mapping
from typing import Annotated, Final
from urllib.parse import quote, urlencode

from fastapi import Path, Query, Request
from starlette.responses import RedirectResponse, Response

from api.access.caller import Caller
from api.access.callers import sent_session
from api.console.context import Console, ConsoleContext
from api.console.forms import order_of, posted_form
from api.console.pages import PAGE_HEADERS
from api.console.visitors import Visitor, WritingVisitor
from api.http.errors import ApiError
from api.payments.bodies import RecipientOrder
from api.payments.recipient_routes import (
    missing_token_accounts,
    recipient_seen_by,
    recipients_page,
    register_recipient,
    remove_recipient,
)
from api.routing.route import new_router
from chain.addresses import parse_address
from ledger.recipients import registration_text
from ledger.times import epoch_ms

router = new_router("/console/wallets", is_documented=False)

_SHOWN: Final = 50
_EMPTY: Final = {"address": "", "label": "", "user": "", "signature": ""}
Text = Annotated[str, Query(max_length=256)]
Wallet = Annotated[str, Path(max_length=64)]


@router.get("")
async def list_wallets(
    request: Request,
    context: Console,
    caller: Visitor,
    after: Annotated[str, Query(max_length=64, pattern="^[A-Za-z0-9]*$")] = "",
) -> Response:
    """List the wallets that are followed, the one registered first coming first."""
    found = await recipients_page(context.payments, caller, after=after or None, limit=_SHOWN + 1)
    wallets = found[:_SHOWN]
    more = f"/console/wallets?{urlencode({'after': wallets[-1].address})}" if len(found) > _SHOWN else None
    return context.pages.page(
        request,
        "wallets.html",
        caller=caller,
        wallets=wallets,
        final_from=context.payments.final_from,
        first_link="/console/wallets" if after else None,
        next_link=more,
    )


@router.get("/new")
async def new_wallet(
    request: Request, context: Console, caller: WritingVisitor, address: Text = "", label: Text = "", user: Text = ""
) -> Response:
    """Ask for a wallet, and then for its signature over the text that is shown."""
    filled = {**_EMPTY, "address": address.strip(), "label": label.strip(), "user": user.strip()}
    return _new_page(request, context, caller, filled)


@router.post("/new")
async def register_wallet(request: Request, context: Console, caller: WritingVisitor) -> Response:
    """Register a wallet, and show it."""
    form = await posted_form(request, sent_session(request))
    wanted = {
        "address": form.get("address", ""),
        "label": form.get("label"),
        "signature": form.get("signature"),
        "signedAt": form.get("signed_at") if form.get("signature") else None,
        "userId": form.get("user"),
    }
    try:
        registered = await register_recipient(context.payments, caller, order_of(RecipientOrder, wanted))
    except ApiError as error:
        if error.status >= 500:  # noqa: PLR2004 - a fault of ours is not one of the form
            raise
        return _new_page(request, context, caller, {name: form.get(name, "") for name in _EMPTY}, error)
    return RedirectResponse(_address(registered.address), 303, PAGE_HEADERS)


@router.get("/{address}")
async def show_wallet(request: Request, context: Console, caller: Visitor, address: Wallet) -> Response:
    """Show a wallet, and in which tokens it cannot be paid yet."""
    wallet = await recipient_seen_by(context.payments, caller, address)
    return context.pages.page(
        request,
        "wallet.html",
        caller=caller,
        wallet=wallet,
        since=epoch_ms(wallet.created_at),
        missing=await missing_token_accounts(context.payments, wallet.address),
        final_from=context.payments.final_from,
        here_address=_address(wallet.address),
    )


@router.get("/{address}/remove")
async def ask_to_remove(request: Request, context: Console, caller: WritingVisitor, address: Wallet) -> Response:
    """Ask whether a wallet is to be let go."""
    wallet = await recipient_seen_by(context.payments, caller, address)
    return context.pages.page(
        request, "wallet_remove.html", caller=caller, wallet=wallet, here_address=_address(wallet.address)
    )


@router.post("/{address}/remove")
async def remove_wallet(request: Request, context: Console, caller: WritingVisitor, address: Wallet) -> Response:
    """Follow a wallet no longer."""
    await posted_form(request, sent_session(request))
    await remove_recipient(context.payments, caller, address)
    return RedirectResponse("/console/wallets", 303, PAGE_HEADERS)


def _new_page(
    request: Request,
    context: ConsoleContext,
    caller: Caller,
    filled: Mapping[str, str],
    error: ApiError | None = None,
) -> Response:
    """The form for a wallet; once its address is known, with the text that it signs."""
    address = parse_address(filled["address"])
    signed_at = time.time_ns() // 1_000_000
    whose = filled["user"] if filled["user"] and caller.is_admin else caller.user_id
    problem = error.sentence if error else None
    if error is None and filled["address"] and address is None:
        problem = "This is not a Solana address; enter the wallet's, in base58."
    return context.pages.page(
        request,
        "wallet_new.html",
        caller=caller,
        status=error.status if error else 400 if problem else 200,
        headers=error.headers if error else None,
        filled=filled,
        address=address,
        signed_at=signed_at,
        text=registration_text(address, whose, signed_at) if address is not None else None,
        problem=problem,
    )


def _address(wallet: str) -> str:
    return f"/console/wallets/{quote(wallet, safe='')}"
