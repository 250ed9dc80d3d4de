"""Webhooks over HTTP: registered, changed, tried, and what became of their deliveries."""

import uuid
from typing import Annotated, Final, Literal

from fastapi import Path, Query
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import Reader, Writer
from api.access.environments import check_may_change
from api.http.errors import conflict, errors, invalid, not_found
from api.http.fields import parse_id
from api.http.json import answer
from api.routing.idempotency import SECRET_HEADERS
from api.routing.route import new_router
from api.webhooks.bodies import (
    DeliveryPage,
    EventName,
    RangeOrder,
    RetryBody,
    WebhookBody,
    WebhookChange,
    WebhookList,
    WebhookMade,
    WebhookMessage,
    WebhookOrder,
    WebhookRotated,
    delivery_body,
    webhook_body,
)
from api.webhooks.context import Webhooks, WebhooksContext
from ledger.feed import entry_id, entry_number
from ledger.times import epoch_ms
from ledger.webhooks import (
    TooManyKeysError,
    Webhook,
    add_webhook,
    change_webhook,
    deliveries_page,
    find_webhook,
    log_test,
    remove_webhook,
    retry_deliveries,
    rotate_keys,
    webhooks_of,
)
from runtime.receiver_addresses import ForbiddenReceiverError, check_receiver
from runtime.webhook_signatures import new_signing_keys, secret_text

router = new_router(prefix="/webhooks", tags=["Webhooks"])

WEBHOOKS_MAX: Final = 20
"""How many webhooks a user may have."""
ROTATION_SECONDS: Final = 86_400.0
"""For how long deliveries are signed by the old keys too."""
_LIMIT_MAX: Final = 500
_NEWEST: Final = 2**62
_KEEP: Final = "Store the secret now; it is not shown again."

WebhookId = Annotated[str, Path(max_length=64)]


@router.post("", response_model=WebhookMade, status_code=201, responses=errors(401, 403, 409))
async def post_webhook(context: Webhooks, caller: Writer, order: WebhookOrder) -> Response:
    """Have what happens sent to an address from now on. Its secret is shown this once."""
    await _check_receiver(context, order.url)
    webhook_id, keys = uuid.uuid4(), new_signing_keys()
    webhook = await add_webhook(
        context.database,
        webhook_id=webhook_id,
        user_id=caller.user_id,
        environment=caller.environment,
        url=order.url,
        types=order.types,
        description=order.description,
        keys=context.seal.seal(webhook_id, keys),
        webhooks_max=WEBHOOKS_MAX,
    )
    if webhook is None:
        raise conflict(f"You have {WEBHOOKS_MAX} webhooks already; delete one, or change it.")
    made = WebhookMade(**webhook_body(webhook).model_dump(), secret=secret_text(keys), message=_KEEP)
    return answer(made, 201, SECRET_HEADERS)


@router.get("", response_model=WebhookList, responses=errors(401, 403))
async def get_webhooks(context: Webhooks, caller: Reader) -> Response:
    """List the caller's webhooks; an admin sees everybody's."""
    return answer(await webhooks_seen_by(context, caller))


async def webhooks_seen_by(context: WebhooksContext, caller: Caller) -> WebhookList:
    """The webhooks that the caller may see."""
    found = await webhooks_of(context.database, None if caller.is_admin else caller.user_id)
    return WebhookList(webhooks=[webhook_body(one) for one in found], total=len(found))


@router.get("/{webhook_id}", response_model=WebhookBody, responses=errors(401, 403, 404))
async def get_webhook(context: Webhooks, caller: Reader, webhook_id: WebhookId) -> Response:
    """Show one webhook."""
    return answer(await webhook_seen_by(context, caller, webhook_id))


async def webhook_seen_by(context: WebhooksContext, caller: Caller, webhook_id: str) -> WebhookBody:
    """A webhook that the caller may see. Raises ApiError 404 where there is none."""
    return webhook_body(await _found(context, caller, webhook_id))


@router.patch("/{webhook_id}", response_model=WebhookBody, responses=errors(401, 403, 404))
async def patch_webhook(context: Webhooks, caller: Writer, webhook_id: WebhookId, change: WebhookChange) -> Response:
    """Change a webhook, or switch it off or on again."""
    webhook = await _own(context, caller, webhook_id)
    if change.url is not None:
        await _check_receiver(context, change.url)
    await change_webhook(
        context.database,
        webhook.id,
        url=change.url,
        types=change.types,
        sets_types="types" in change.model_fields_set,
        description=change.description,
        status=change.status,
    )
    return answer(webhook_body(await _found(context, caller, webhook_id)))


@router.delete("/{webhook_id}", response_model=WebhookMessage, responses=errors(401, 403, 404))
async def delete_webhook(context: Webhooks, caller: Writer, webhook_id: WebhookId) -> Response:
    """Forget a webhook and its deliveries. The feed keeps what happened."""
    webhook = await _own(context, caller, webhook_id)
    await remove_webhook(context.database, webhook.id)
    return answer(WebhookMessage(id=webhook.id, message="The webhook is deleted; nothing more is sent to it."))


@router.post(
    "/{webhook_id}/rotate", response_model=WebhookRotated, status_code=201, responses=errors(401, 403, 404, 409)
)
async def rotate_webhook(context: Webhooks, caller: Writer, webhook_id: WebhookId) -> Response:
    """Sign with new keys. For a day deliveries are signed by the old ones too."""
    webhook = await _own(context, caller, webhook_id)
    keys = new_signing_keys()
    async with context.database.acquire() as connection, connection.transaction():
        sealed = context.seal.seal(webhook.id, keys)
        try:
            until = await rotate_keys(connection, webhook.id, sealed, grace_seconds=ROTATION_SECONDS)
        except TooManyKeysError:
            raise conflict(
                "The keys were replaced so often that older ones sign still; replace them when a day has passed."
            ) from None
    if until is None:
        raise not_found("The webhook")
    shown = webhook_body(await _found(context, caller, webhook_id)).model_dump()
    made = WebhookRotated(**shown, secret=secret_text(keys), message=_KEEP, old_keys_good_until=epoch_ms(until))
    return answer(made, 201, SECRET_HEADERS)


@router.post("/{webhook_id}/test", response_model=WebhookMessage, status_code=202, responses=errors(401, 403, 404))
async def test_webhook(context: Webhooks, caller: Writer, webhook_id: WebhookId) -> Response:
    """Send a test to this webhook alone: an event of type webhook.test; its deliveries show what came of it."""
    webhook = await _own(context, caller, webhook_id)
    if not await log_test(context.database, webhook.id):
        raise conflict("The webhook is switched off; set its status to active first.")
    return answer(WebhookMessage(id=webhook.id, message="A test is on its way; see the deliveries."), 202)


@router.get("/{webhook_id}/deliveries", response_model=DeliveryPage, responses=errors(401, 403, 404))
async def get_deliveries(
    context: Webhooks,
    caller: Reader,
    webhook_id: WebhookId,
    status: Literal["pending", "delivered", "failed"] | None = None,
    before: Annotated[EventName | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=_LIMIT_MAX)] = 50,
) -> Response:
    """List deliveries, newest first: what was sent or is to be, with what the last try brought."""
    return answer(await deliveries_of_webhook(context, caller, webhook_id, status=status, before=before, limit=limit))


async def deliveries_of_webhook(
    context: WebhooksContext,
    caller: Caller,
    webhook_id: str,
    *,
    status: Literal["pending", "delivered", "failed"] | None,
    before: str | None,
    limit: int,
) -> DeliveryPage:
    """A page of the deliveries of a webhook that the caller may see. Raises ApiError 404 where there is none."""
    webhook = await _found(context, caller, webhook_id)
    place = None if before is None else entry_number(before)
    found = await deliveries_page(context.database, webhook.id, status=status, before=place, limit=limit + 1)
    page = found[:limit]
    cursor = entry_id(page[-1].feed_id) if len(found) > limit else None
    return DeliveryPage(deliveries=[delivery_body(one) for one in page], cursor=cursor)


@router.post(
    "/{webhook_id}/deliveries/retry", response_model=RetryBody, status_code=202, responses=errors(401, 403, 404)
)
async def retry_range(context: Webhooks, caller: Writer, webhook_id: WebhookId, order: RangeOrder) -> Response:
    """Send a range of events again: those too that the webhook missed while it was switched off."""
    webhook = await _own(context, caller, webhook_id)
    first, last = entry_number(order.first), _NEWEST if order.last is None else entry_number(order.last)
    count = await retry_deliveries(context.database, webhook.id, from_number=first or 0, to_number=last or 0)
    return answer(RetryBody(id=webhook.id, message="These events are sent again.", deliveries=count), 202)


@router.post(
    "/{webhook_id}/deliveries/{event_id}/retry",
    response_model=RetryBody,
    status_code=202,
    responses=errors(401, 403, 404),
)
async def retry_delivery(
    context: Webhooks, caller: Writer, webhook_id: WebhookId, event_id: Annotated[str, Path(max_length=32)]
) -> Response:
    """Send one event again, whatever became of it."""
    webhook = await _own(context, caller, webhook_id)
    number = entry_number(event_id)
    count = 0
    if number is not None:
        count = await retry_deliveries(context.database, webhook.id, from_number=number, to_number=number)
    if not count:
        raise not_found("The event")
    return answer(RetryBody(id=webhook.id, message="The event is sent again.", deliveries=count), 202)


async def _found(context: WebhooksContext, caller: Caller, webhook_id: str) -> Webhook:
    """The webhook of this id, which the caller may see. Raises ApiError 404."""
    webhook = await find_webhook(context.database, parse_id(webhook_id, "The webhook"))
    if webhook is None or not caller.sees(webhook.user_id):
        raise not_found("The webhook")
    return webhook


async def _own(context: WebhooksContext, caller: Caller, webhook_id: str) -> Webhook:
    """The same, which the caller may change. Raises ApiError 403 for a test key and a live webhook."""
    webhook = await _found(context, caller, webhook_id)
    check_may_change(caller, webhook.environment, "The webhook")
    return webhook


async def _check_receiver(context: WebhooksContext, url: str) -> None:
    try:
        await check_receiver(url, context.policy)
    except ForbiddenReceiverError as error:
        raise invalid(str(error), {"field": "url"}) from None
