"""The wallets that are followed: whose they are, from when on, and what their owners sign to register them."""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ledger.sql import Database, DatabaseConnection, load_queries

_queries = load_queries("ledger", "recipients.sql")

RECIPIENTS_CHANNEL: Final = "recipients"
"""Notifies of wallets that were registered or removed."""

# A payment that was on its way while the wallet was being registered counts: about 13 seconds on mainnet.
_GRACE_SLOTS: Final = 32

RESERVED_START: Final = "402pay "
"""How every text begins that wallets sign for us. No nonce may, or one signature would be good for two things."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """A wallet that is paid. The ledger holds everything of it from `followed_from_slot` on.

    `environment` is that of the key which registered it: a test key changes no live wallet.
    """

    address: str
    user_id: str
    label: str | None
    followed_from_slot: int
    is_active: bool
    created_at: dt.datetime
    removed_at: dt.datetime | None
    environment: str


@dataclass(frozen=True, slots=True)
class FollowedRecipient:
    """A wallet that is followed, with the number of its token accounts that the ledger knows."""

    recipient: Recipient
    token_accounts: int


@dataclass(frozen=True, slots=True)
class RecordedRecipient:
    """A wallet, followed or not, with what the ledger holds of it; `heal_reason` says why it is healed."""

    recipient: Recipient
    token_accounts: int
    transfers: int
    heal_reason: str | None


@dataclass(frozen=True, slots=True)
class Registration:
    """A wallet as it stands after it was registered; `is_new` when it never was before."""

    recipient: Recipient
    is_new: bool


@dataclass(frozen=True, slots=True)
class MovedToTests:
    """What became of a live wallet or service that was to be for tests.

    Attributes:
        is_moved: It is for tests from now on; false where it was before, or stays live.
        held_by: What live depends on it, so that it stays live; `None` where it is for tests.
    """

    is_moved: bool
    held_by: str | None


def followed_from(newest_slot: int) -> int:
    """The first slot that counts for a wallet that is registered at `newest_slot`."""
    return max(newest_slot - _GRACE_SLOTS, 0)


def registration_text(address: str, user_id: str, signed_at_ms: int | None = None) -> str:
    """What the wallet `address` signs, with ed25519 over its UTF-8 bytes, to be followed for `user_id`.

    With the time of signing, in milliseconds since 1970, it is good for a wallet that was registered before, too.
    """
    text = f"{RESERVED_START}recipient {address} for {user_id}"
    return text if signed_at_ms is None else f"{text} at {signed_at_ms}"


async def register_wallet(
    database: Database,
    *,
    address: str,
    user_id: str,
    label: str | None,
    followed_from_slot: int,
    environment: str = "live",
    signed_at: dt.datetime | None = None,
    by_admin: bool = True,
) -> Registration | None:
    """Follow a wallet from a slot on, or go on following it; running indexers take it up at once.

    A wallet that was removed goes to whoever registers it anew, by a signature made after its removal or by an admin.
    What was paid to it before stays with the user it was paid to.

    Args:
        database: A connection or pool.
        address: The wallet.
        user_id: Whose it is to be.
        label: A name for people.
        followed_from_slot: The first slot that counts.
        environment: `live`, or `test` for what a test key registers.
        signed_at: When the wallet signed for it, if it did and said so.
        by_admin: It takes no signature.

    Returns:
        `None` when the wallet is another user's, was removed and not signed for since, is live where a test key asks,
        or would go to another user while jobs are paid to it.
    """
    row = await _queries.add_recipient(
        database,
        address=address,
        user_id=user_id,
        label=label,
        followed_from_slot=followed_from_slot,
        environment=environment,
        signed_at=signed_at,
        by_admin=by_admin,
    )
    return None if row is None else Registration(recipient_of_row(row), row["is_new"])


async def has_open_jobs(database: Database, address: str) -> bool:
    """True for a wallet to which jobs are paid that may still be funded, or whose money it holds."""
    found: bool = await _queries.has_open_jobs(database, address=address)
    return found


async def move_to_tests(connection: DatabaseConnection, address: str, *, late_seconds: float) -> MovedToTests | None:
    """Make a live wallet one for tests, unless something live depends on it; `None` for a wallet that is unknown.

    What keeps it live is `payments` that were honoured, `claims` that are pending, `requests` that can still be paid or
    have expired for less than `late_seconds`, within which a payment that was made in time may be recorded,
    `settlements` of x402 under way, or `jobs` that are paid to it. It takes a transaction of its own.
    """
    async with connection.transaction():
        await _queries.lock_recipient(connection, address=address)
        row = await _queries.move_to_tests(connection, address=address, late_seconds=late_seconds)
    return None if row is None else MovedToTests(row["is_moved"], row["held_by"])


async def stop_following(database: Database, address: str) -> bool:
    """Stop following a wallet; what the ledger holds of it stays. False when it was not followed."""
    return await _queries.remove_recipient(database, address=address) is not None


async def find_recipient(database: Database, address: str) -> Recipient | None:
    """The wallet, whoever's it is; `None` when nobody ever registered it."""
    row = await _queries.find_recipient(database, address=address)
    return None if row is None else recipient_of_row(row)


async def recipients_of(
    database: Database, user_id: str | None, *, after: str | None = None, limit: int | None = None
) -> list[FollowedRecipient]:
    """The wallets that are followed for a user, or for everybody, the one registered first coming first.

    `limit` bounds how many; they begin after the wallet `after`.
    """
    rows = _queries.recipients_of(database, user_id=user_id, after=after, limit=limit)
    return [FollowedRecipient(recipient_of_row(row), row["accounts"]) async for row in rows]


async def all_recipients(database: Database) -> list[RecordedRecipient]:
    """Every wallet that was ever registered, with what the ledger holds of it."""
    return [
        RecordedRecipient(recipient_of_row(row), row["accounts"], row["transfers"], row["heal_reason"])
        async for row in _queries.recipients(database)
    ]


async def is_any_followed(
    database: Database, *, wallets: Collection[str | None], token_accounts: Collection[str | None]
) -> bool:
    """True when one of these wallets, or the wallet of one of these token accounts, is followed."""
    found: bool = await _queries.any_followed(database, wallets=list(wallets), accounts=list(token_accounts))
    return found


def recipient_of_row(row: Mapping[str, Any]) -> Recipient:
    """A wallet as a statement returns it that selects every field of `Recipient`."""
    return Recipient(
        address=row["address"],
        user_id=row["user_id"],
        label=row["label"],
        followed_from_slot=row["followed_from_slot"],
        is_active=row["active"],
        created_at=row["created_at"],
        removed_at=row["removed_at"],
        environment=row["environment"],
    )
