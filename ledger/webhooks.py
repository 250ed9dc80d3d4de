"""Webhooks: addresses that are sent what happens, and the deliveries to them. This module owns `webhooks.sql`.

Deliveries are made in the transaction that publishes an entry of the feed, so none can be lost. Whoever sends them
leases them for a while; should it die, they are due again when that is over. So each entry arrives at least once, under
the same id. The functions take a database connection or pool.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from ledger.sql import Database, DatabaseConnection, load_queries

_queries = load_queries("ledger", "webhooks.sql")

WebhookStatus = Literal["active", "disabled"]
DeliveryStatus = Literal["pending", "delivered", "failed"]
RETRIED_MAX: Final = 10_000
"""How many entries one call of `retry_deliveries` sends again."""
SIGNING_KEYS_MAX: Final = 8
"""By how many keys a delivery is signed at most: their signatures share one header, and servers bound its length."""
PER_FAILING_MAX: Final = 2
"""How many deliveries may be under way at once to an address that fails; its first success lifts that."""


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """What the deliveries to an address are signed with.

    Attributes:
        secret: Of HMAC-SHA256, 32 bytes, which its receiver has too.
        signing_seed: Of ed25519, 32 bytes, which nobody else has.
        public_key: What belongs to `signing_seed`, 32 bytes.
    """

    secret: bytes
    signing_seed: bytes
    public_key: bytes


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """The same as the database holds it.

    Attributes:
        sealed_by: The name of the key that `secret` and `signing_seed` are sealed by; `None` if they are as they are.
    """

    secret: bytes
    signing_seed: bytes
    public_key: bytes
    sealed_by: str | None


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that is sent what happens to its user's money.

    Attributes:
        types: Which types of events; `None` is every one.
        disabled_reason: `asked`, `gone` (it answered 410) or `failing` (for days).
        failing_since: Since when no delivery has succeeded.
    """

    id: UUID
    user_id: str
    environment: str
    url: str
    types: list[str] | None
    description: str
    status: WebhookStatus
    disabled_reason: str | None
    failing_since: dt.datetime | None
    created_at: dt.datetime
    public_key: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """An entry of the feed that is sent to an address, and what the last try brought."""

    feed_id: int
    type: str
    status: DeliveryStatus
    tries: int
    created_at: dt.datetime
    next_try_at: dt.datetime
    answered_at: dt.datetime | None
    answer_status: int | None
    answer_start: str | None
    answer_ms: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery to be tried now. Its keys are the newest first, and those before while they are valid.

    `tries` counts this one; `age_seconds` is since it was first due.
    """

    webhook_id: UUID
    feed_id: int
    tries: int
    age_seconds: float
    url: str
    body: str
    keys: Sequence[StoredKeys]


@dataclass(frozen=True, slots=True)
class EndedTry:
    """What a try brought: `pending` is tried again after `pause_seconds`."""

    webhook_id: UUID
    feed_id: int
    status: DeliveryStatus
    pause_seconds: float
    answer_status: int | None
    answer_start: str | None
    answer_ms: int
    error: str | None
    is_ours: bool = False
    """Ended by a defect of ours: it says nothing about whether the receiver is well."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is to be sent: how much, since when, and how many addresses fail or were switched off for it."""

    pending: int
    oldest_due_seconds: float
    failing: int
    disabled: int


async def add_webhook(
    database: Database, *, webhook_id: UUID, user_id: str, environment: str, url: str, types: Sequence[str] | None,
    description: str, keys: StoredKeys, webhooks_max: int,
) -> Webhook | None:  # fmt: skip
    """Register an address; `None` where its user has `webhooks_max` already."""
    row = await _queries.add_webhook(
        database,
        id=webhook_id,
        user_id=user_id,
        environment=environment,
        url=url,
        types=_listed(types),
        description=description,
        webhooks_max=webhooks_max,
        secret=keys.secret,
        signing_seed=keys.signing_seed,
        public_key=keys.public_key,
        sealed_by=keys.sealed_by,
    )
    return None if row is None else _webhook(row)


async def webhooks_of(database: Database, user_id: str | None) -> list[Webhook]:
    """The addresses of a user, or of everybody, oldest first."""
    return [_webhook(row) async for row in _queries.webhooks_of(database, user_id=user_id, id=None)]


async def find_webhook(database: Database, webhook_id: UUID) -> Webhook | None:
    """One address, whoever's it is."""
    found = [_webhook(row) async for row in _queries.webhooks_of(database, user_id=None, id=webhook_id)]
    return found[0] if found else None


async def change_webhook(
    database: Database, webhook_id: UUID, *, url: str | None = None, types: Sequence[str] | None = None,
    sets_types: bool = False, description: str | None = None, status: WebhookStatus | None = None,
) -> bool:  # fmt: skip
    """Change what is said about an address; `None` leaves it, but for `types` where `sets_types`. False: it is gone."""
    row = await _queries.change_webhook(
        database,
        id=webhook_id,
        url=url,
        types=_listed(types),
        sets_types=sets_types,
        description=description,
        status=status,
    )
    return row is not None


async def remove_webhook(database: Database, webhook_id: UUID) -> bool:
    """Forget an address with its deliveries; False if it is gone already."""
    return await _queries.remove_webhook(database, id=webhook_id) is not None


class TooManyKeysError(Exception):
    """Deliveries are signed by as many keys as they may be; the next rotation has to wait until an old one ends."""


async def rotate_keys(
    connection: DatabaseConnection, webhook_id: UUID, keys: StoredKeys, *, grace_seconds: float
) -> dt.datetime | None:
    """Sign with other keys from now on, and for `grace_seconds` with the old ones too; returns the end of that.

    The connection must be in a transaction.

    Raises:
        TooManyKeysError: Deliveries are signed by `SIGNING_KEYS_MAX` already.
    """
    until: dt.datetime | None = await _queries.retire_webhook_secret(
        connection, webhook_id=webhook_id, seconds=grace_seconds
    )
    if until is not None:
        if await _queries.signing_keys_in_use(connection, webhook_id=webhook_id) >= SIGNING_KEYS_MAX:
            raise TooManyKeysError
        await _queries.add_webhook_secret(
            connection,
            webhook_id=webhook_id,
            secret=keys.secret,
            signing_seed=keys.signing_seed,
            public_key=keys.public_key,
            sealed_by=keys.sealed_by,
        )
    return until


async def keys_sealed_otherwise(
    database: Database, newest: str, *, known: Sequence[str], limit: int
) -> list[tuple[UUID, StoredKeys]]:
    """Keys with their webhooks that are not sealed by `newest`: as they are, or by another of the `known` keys."""
    rows = _queries.keys_sealed_otherwise(database, newest=newest, known=list(known), limit=limit)
    return [(row["webhook_id"], _stored(row)) async for row in rows]


async def reseal_keys(database: Database, changes: Sequence[tuple[UUID, StoredKeys, StoredKeys]]) -> int:
    """Store keys sealed anew, each with its webhook and as it was before; returns how many were still so."""
    count: int = await _queries.reseal_keys(
        database,
        webhook_ids=[webhook_id for webhook_id, _, _ in changes],
        public_keys=[new.public_key for _, _, new in changes],
        secrets_before=[old.secret for _, old, _ in changes],
        secrets=[new.secret for _, _, new in changes],
        signing_seeds=[new.signing_seed for _, _, new in changes],
        sealed_bys=[new.sealed_by for _, _, new in changes],
    )
    return count


async def seals(database: Database) -> list[tuple[str | None, int]]:
    """By which keys webhooks' keys are sealed, `None` for those that are stored as they are, and how many each."""
    return [(row["sealed_by"], row["keys"]) async for row in _queries.seals(database)]


async def log_test(database: Database, webhook_id: UUID) -> bool:
    """Have a test sent to an address; False where it is switched off."""
    return await _queries.log_webhook_test(database, id=webhook_id) is not None


async def add_deliveries(connection: DatabaseConnection, feed_ids: Sequence[int]) -> None:
    """These entries were published: send them to whoever wants them."""
    await _queries.add_deliveries(connection, feed_ids=list(feed_ids))


async def retry_deliveries(database: Database, webhook_id: UUID, *, from_number: int, to_number: int) -> int:
    """Send the entries from one number to another to an address, again or for the first time; returns how many.

    At most `RETRIED_MAX` of them, the oldest.
    """
    count: int = await _queries.retry_deliveries(
        database, webhook_id=webhook_id, from_number=from_number, to_number=to_number, limit=RETRIED_MAX
    )
    return count


async def deliveries_page(
    database: Database, webhook_id: UUID, *, status: DeliveryStatus | None, before: int | None, limit: int
) -> list[Delivery]:
    """Deliveries to an address before number `before`, newest first."""
    rows = _queries.deliveries_page(database, webhook_id=webhook_id, status=status, before=before, limit=limit)
    return [Delivery(**row) async for row in rows]


async def take_deliveries(
    database: Database, *, busy: Mapping[UUID, int], quick: Collection[UUID], per_webhook_max: int, per_quick_max: int,
    limit: int, lease_seconds: float, seals_known: Sequence[str],
) -> list[DueDelivery]:  # fmt: skip
    """Lease deliveries that are due.

    `busy` says how many this process has leased for which address, and `quick` which addresses answer at once, so that
    `per_quick_max` may be leased for them. A lease that a crash of the database forgets is made again.

    What is to be signed with a key under another seal than `seals_known` stays due, until that seal is known again.
    """
    rows = _queries.take_deliveries(
        database,
        busy_ids=list(busy),
        busy_counts=list(busy.values()),
        per_webhook_max=per_webhook_max,
        per_failing_max=PER_FAILING_MAX,
        quick_ids=list(quick),
        per_quick_max=per_quick_max,
        limit=limit,
        lease_seconds=lease_seconds,
        seals_known=list(seals_known),
    )
    return [_due(row) async for row in rows]


async def end_tries(connection: DatabaseConnection, tries: Sequence[EndedTry]) -> None:
    """Write down what tries brought, and which addresses answer well or fail, in the transaction of `connection`.

    Its commit does not wait for the disk: what a crash of the database forgets is sent once more.
    """
    await connection.execute("SET LOCAL synchronous_commit = off")
    await _queries.end_tries(
        connection,
        webhook_ids=[one.webhook_id for one in tries],
        feed_ids=[one.feed_id for one in tries],
        statuses=[one.status for one in tries],
        pauses_seconds=[one.pause_seconds for one in tries],
        answer_statuses=[one.answer_status for one in tries],
        answer_starts=[one.answer_start for one in tries],
        answer_mss=[one.answer_ms for one in tries],
        errors=[one.error for one in tries],
    )
    await _queries.note_webhook_health(
        connection,
        healthy_ids=list({one.webhook_id for one in tries if one.status == "delivered"}),
        failing_ids=list({one.webhook_id for one in tries if one.status != "delivered" and not one.is_ours}),
    )


async def disable_webhooks(
    database: Database, *, gone: Collection[tuple[UUID, str]] = (), failing_seconds_max: float
) -> int:
    """Switch off addresses that are gone, or have failed for longer than `failing_seconds_max`; returns how many.

    `gone` are webhooks with the URLs that said so: a webhook that has another URL by now is not meant.
    """
    count: int = await _queries.disable_webhooks(
        database,
        gone_ids=[webhook_id for webhook_id, _ in gone],
        gone_urls=[url for _, url in gone],
        failing_seconds_max=failing_seconds_max,
    )
    return count


async def delivery_backlog(database: Database, *, count_max: int) -> Backlog:
    """What is to be sent; no more than `count_max` are counted."""
    return Backlog(**await _queries.delivery_backlog(database, count_max=count_max))


async def prune_deliveries(database: Database, *, keep_seconds: float, limit: int) -> int:
    """Remove deliveries that ended more than `keep_seconds` ago, at most `limit`; returns how many."""
    count: int = await _queries.prune_deliveries(database, keep_seconds=keep_seconds, limit=limit)
    return count


async def prune_secrets(database: Database) -> int:
    """Remove secrets that sign nothing any more; returns how many."""
    count: int = await _queries.prune_webhook_secrets(database)
    return count


def _listed(types: Sequence[str] | None) -> list[str] | None:
    return None if types is None else list(types)


def _stored(row: Mapping[str, Any]) -> StoredKeys:
    return StoredKeys(row["secret"], row["signing_seed"], row["public_key"], row["sealed_by"])


def _due(row: Mapping[str, Any]) -> DueDelivery:
    fields = dict(row)
    columns = [fields.pop(name) for name in ("secrets", "signing_seeds", "public_keys", "sealed_bys")]
    return DueDelivery(**fields, keys=[StoredKeys(*one) for one in zip(*columns, strict=True)])


def _webhook(row: Mapping[str, Any]) -> Webhook:
    return Webhook(**row)
