"""Webhooks as pages: the addresses that are sent what happens, what became of each delivery, and sending it again."""

from typing import Annotated, Final, Literal
from urllib.parse import quote, urlencode

from fastapi import Path, Query, Request
from starlette.responses import RedirectResponse, Response

from api.access.callers import sent_session
from api.console.context import Console
from api.console.forms import posted_form
from api.console.pages import PAGE_HEADERS
from api.console.visitors import Visitor, WritingVisitor
from api.http.errors import invalid
from api.routing.route import new_router
from api.webhooks.routes import (
    deliveries_of_webhook,
    retry_delivery,
    test_webhook,
    webhook_seen_by,
    webhooks_seen_by,
)
from ledger.feed import entry_number

router = new_router("/console/webhooks", is_documented=False)

_SHOWN: Final = 50
WebhookId = Annotated[str, Path(max_length=64)]
StatusChosen = Literal["", "pending", "delivered", "failed"]


@router.get("")
async def list_webhooks(request: Request, context: Console, caller: Visitor) -> Response:
    """List webhooks."""
    found = await webhooks_seen_by(context.webhooks, caller)
    return context.pages.page(request, "webhooks.html", caller=caller, webhooks=found.webhooks)


@router.get("/{webhook_id}")
async def show_webhook(
    request: Request,
    context: Console,
    caller: Visitor,
    webhook_id: WebhookId,
    status: StatusChosen = "",
    before: Annotated[str, Query(max_length=32)] = "",
) -> Response:
    """Show a webhook and its deliveries, newest first."""
    if before and entry_number(before) is None:
        raise invalid("before is the id of no event; start without it.", {"field": "before"})
    webhook = await webhook_seen_by(context.webhooks, caller, webhook_id)
    page = await deliveries_of_webhook(
        context.webhooks, caller, webhook_id, status=status or None, before=before or None, limit=_SHOWN
    )
    here = _address(webhook_id)
    older = {"status": status, "before": page.cursor} if status else {"before": page.cursor}
    return context.pages.page(
        request,
        "webhook.html",
        caller=caller,
        webhook=webhook,
        deliveries=page.deliveries,
        chosen=status,
        first_link=here if before else None,
        next_link=f"{here}?{urlencode(older)}" if page.cursor else None,
    )


@router.post("/{webhook_id}/test")
async def try_webhook(request: Request, context: Console, caller: WritingVisitor, webhook_id: WebhookId) -> Response:
    """Send a test."""
    await posted_form(request, sent_session(request))
    await test_webhook(context.webhooks, caller, webhook_id)
    return RedirectResponse(_address(webhook_id), 303, PAGE_HEADERS)


@router.post("/{webhook_id}/deliveries/{event_id}/retry")
async def send_again(
    request: Request,
    context: Console,
    caller: WritingVisitor,
    webhook_id: WebhookId,
    event_id: Annotated[str, Path(max_length=32)],
) -> Response:
    """Send one event again."""
    await posted_form(request, sent_session(request))
    await retry_delivery(context.webhooks, caller, webhook_id, event_id)
    return RedirectResponse(_address(webhook_id), 303, PAGE_HEADERS)


def _address(webhook_id: str) -> str:
    return f"/console/webhooks/{quote(webhook_id, safe='')}"
