"""Webhooks and their deliveries as JSON."""

import uuid
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator

from api.http.fields import EpochMs
from api.http.json import AnswerShape, StrictShape
from ledger.feed import entry_id
from ledger.feed_entries import FEED_TYPES
from ledger.times import epoch_ms
from ledger.webhooks import Delivery, Webhook
from runtime.receiver_addresses import URL_CHARACTERS_MAX
from runtime.webhook_signatures import public_key_text

Url = Annotated[str, StringConstraints(min_length=1, max_length=URL_CHARACTERS_MAX)]
Description = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
EventName = Annotated[str, StringConstraints(pattern=r"^evt_[0-9]{1,18}$")]


def _known(types: Sequence[str] | None) -> Sequence[str] | None:
    if types is not None and (unknown := sorted(set(types) - set(FEED_TYPES))):
        raise ValueError(f"there is no type of events {unknown[0][:64]!r}")
    return types


Types = Annotated[list[str], Field(min_length=1, max_length=len(FEED_TYPES))]


class WebhookOrder(StrictShape):
    """An address to be sent what happens."""

    url: Url
    types: Types | None = Field(None, description="Which types of events; without it, every one")
    description: Description = ""

    _types = field_validator("types")(_known)


class WebhookChange(StrictShape):
    """What is to be different; what is left out stays. `types` of null is every type."""

    url: Url | None = None
    types: Types | None = None
    description: Description | None = None
    status: Literal["active", "disabled"] | None = None

    _types = field_validator("types")(_known)


class RangeOrder(StrictShape):
    """Which events are sent again: from one to another, both included; without an end, to the newest."""

    first: EventName = Field(alias="from")
    last: EventName | None = Field(None, alias="to")


class WebhookBody(AnswerShape):
    """An address that is sent what happens."""

    id: uuid.UUID
    url: str
    types: list[str] | None
    description: str
    status: Literal["active", "disabled"]
    disabled_reason: str | None = Field(description="asked, gone (it answered 410) or failing (for five days)")
    failing_since: EpochMs | None
    environment: Literal["live", "test"]
    user_id: str
    public_key: str = Field(description="Verifies v1a signatures: `whpk_` and the base64 of an ed25519 key")
    created_at: EpochMs


class WebhookMade(WebhookBody):
    """An address with the secret of its v1 signatures, shown this once."""

    secret: str
    message: str


class WebhookRotated(WebhookMade):
    """The same, with other keys; deliveries are signed by both until the old ones end."""

    old_keys_good_until: EpochMs


class WebhookList(AnswerShape):
    """The caller's webhooks."""

    webhooks: list[WebhookBody]
    total: int


class WebhookMessage(AnswerShape):
    """What was done."""

    id: uuid.UUID
    message: str


class RetryBody(WebhookMessage):
    """How many events are sent again."""

    deliveries: int


class DeliveryBody(AnswerShape):
    """An event that is sent to an address, and what the last try brought."""

    event_id: str
    type: str
    status: Literal["pending", "delivered", "failed"]
    tries: int
    created_at: EpochMs
    next_try_at: EpochMs | None
    answered_at: EpochMs | None
    answer_status: int | None
    answer_start: str | None = Field(description="The first 1,024 bytes of the answer")
    answer_ms: int | None
    error: str | None


class DeliveryPage(AnswerShape):
    """Deliveries, newest first."""

    deliveries: list[DeliveryBody]
    cursor: str | None = Field(description="What to send as `before` for the next page; null on the last")


def webhook_body(webhook: Webhook) -> WebhookBody:
    """A webhook as it is shown."""
    return WebhookBody(
        id=webhook.id,
        url=webhook.url,
        types=webhook.types,
        description=webhook.description,
        status=webhook.status,
        disabled_reason=webhook.disabled_reason,
        failing_since=epoch_ms(webhook.failing_since),
        environment="test" if webhook.environment == "test" else "live",
        user_id=webhook.user_id,
        public_key=public_key_text(webhook.public_key),
        created_at=epoch_ms(webhook.created_at),
    )


def delivery_body(delivery: Delivery) -> DeliveryBody:
    """A delivery as it is shown."""
    return DeliveryBody(
        event_id=entry_id(delivery.feed_id),
        type=delivery.type,
        status=delivery.status,
        tries=delivery.tries,
        created_at=epoch_ms(delivery.created_at),
        next_try_at=epoch_ms(delivery.next_try_at) if delivery.status == "pending" else None,
        answered_at=epoch_ms(delivery.answered_at),
        answer_status=delivery.answer_status,
        answer_start=delivery.answer_start,
        answer_ms=delivery.answer_ms,
        error=delivery.error,
    )
