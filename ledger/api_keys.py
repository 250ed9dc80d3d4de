"""API keys as they are stored: only the SHA-256 of a key is, never the key. This module owns the table `api_keys`.

The functions take a database connection or pool.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from ledger.sql import Database, DatabaseConnection, load_queries

_queries = load_queries("ledger", "api_keys.sql")

KEYS_CHANNEL: Final = "api_keys"
"""Notifies of keys that were changed."""

PERMISSIONS: Final = ("read", "write", "admin")

OnlyFirst = Literal["no", "admin", "any"]
"""Whether a key is made only where none was made before: no key of an admin, or no key at all."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret.

    Attributes:
        final_only: Its claims are honoured by finalized payments only.
        proof_version: The least version of a proof that it accepts.
        revoked: True when it is revoked by now.
        revoked_at: When it was revoked, or the end of its grace period where it was replaced.
        replaced_by: The prefix of the key that replaces it.
        is_good: True while it opens anything: neither revoked nor expired.
    """

    key_prefix: str
    user_id: str
    name: str
    environment: str
    permissions: tuple[str, ...]
    final_only: bool
    proof_version: int
    created_at: dt.datetime
    expires_at: dt.datetime | None
    last_used: dt.datetime | None
    revoked: bool
    revoked_at: dt.datetime | None
    replaced_by: str | None
    is_good: bool


@dataclass(frozen=True, slots=True)
class GoodKey:
    """A key that is good now, with the hash that its holder's key must have; `valid_until` is when it ends."""

    key_prefix: str
    key_hash: str
    user_id: str
    permissions: frozenset[str]
    environment: str
    final_only: bool
    proof_version: int
    valid_until: dt.datetime | None


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key to be stored; `key_hash` is its SHA-256 in hexadecimal."""

    key_prefix: str
    key_hash: str
    user_id: str
    name: str
    environment: str
    permissions: Sequence[str]
    final_only: bool = False
    expires_at: dt.datetime | None = None
    proof_version: int = 1


async def find_good_key(database: Database, hash_or_prefix: str) -> GoodKey | None:
    """The key of this hash or prefix, or `None` when there is none, or it is revoked or expired."""
    row = await _queries.find_good_key(database, name=hash_or_prefix)
    if row is None:
        return None
    return GoodKey(
        key_prefix=row["key_prefix"],
        key_hash=row["key"],
        user_id=row["user_id"],
        permissions=frozenset(row["permissions"]),
        environment=row["environment"],
        final_only=row["final_only"],
        proof_version=row["proof_version"],
        valid_until=row["valid_until"],
    )


async def add_key(connection: DatabaseConnection, new: NewApiKey, *, only_first: OnlyFirst = "no") -> ApiKey | None:
    """Store a key; `None` when `only_first` asks for the first one and there is one already.

    With `only_first` the connection must be in a transaction: whoever else makes a first key waits for its end.
    """
    if only_first != "no":
        # A statement of its own: what the next one sees is what is there once the lock is held.
        await _queries.lock_first_key(connection)
    row = await _queries.add_key(
        connection,
        key_prefix=new.key_prefix,
        key=new.key_hash,
        user_id=new.user_id,
        name=new.name,
        environment=new.environment,
        permissions=list(new.permissions),
        final_only=new.final_only,
        proof_version=new.proof_version,
        expires_at=new.expires_at,
        only_first=only_first,
    )
    return None if row is None else _api_key(row)


async def any_key_exists(database: Database) -> bool:
    """True when any key was ever made."""
    return bool(await _queries.any_key_exists(database))


async def list_keys(
    database: Database,
    user_id: str | None,
    *,
    include_revoked: bool = True,
    after: str | None = None,
    limit: int | None = None,
) -> list[ApiKey]:
    """The keys of a user, or of everybody for `None`, newest first; those that are not good any more if asked for.

    `limit` bounds how many; they begin after the key of prefix `after`.
    """
    rows = _queries.list_keys(database, user_id=user_id, include_revoked=include_revoked, after=after, limit=limit)
    return [_api_key(row) async for row in rows]


async def find_key(database: Database, key_prefix: str) -> ApiKey | None:
    """A key of anybody's; `None` when there is none of this prefix."""
    row = await _queries.find_key(database, key_prefix=key_prefix)
    return None if row is None else _api_key(row)


async def hold_key(connection: DatabaseConnection, key_prefix: str) -> ApiKey | None:
    """A key of anybody's, which nobody else changes before this transaction ends; `None` when there is none."""
    row = await _queries.hold_key(connection, key_prefix=key_prefix)
    return None if row is None else _api_key(row)


async def revoke_key(database: Database, key_prefix: str, at: dt.datetime, *, replaced_by: str | None = None) -> bool:
    """Revoke a key now or at a time to come, log the event and notify every replica; False when there is no such key.

    A key that is revoked stays revoked, and one that ends earlier already keeps its end.
    """
    row = await _queries.revoke_key(database, key_prefix=key_prefix, at=at, replaced_by=replaced_by)
    return row is not None


async def replace_key(
    connection: DatabaseConnection,
    old: ApiKey,
    key_prefix: str,
    key_hash: str,
    *,
    expires_at: dt.datetime | None,
    old_until: dt.datetime,
) -> ApiKey:
    """Store a key that may do what `old` may, which is good until `old_until` and not longer.

    `old` is a key that this transaction holds, good and not replaced yet; see `hold_key`.
    """
    new = NewApiKey(
        key_prefix=key_prefix,
        key_hash=key_hash,
        user_id=old.user_id,
        name=old.name,
        environment=old.environment,
        permissions=old.permissions,
        final_only=old.final_only,
        proof_version=old.proof_version,
        expires_at=expires_at,
    )
    stored = await add_key(connection, new)
    assert stored is not None
    await revoke_key(connection, old.key_prefix, old_until, replaced_by=key_prefix)
    return stored


async def note_key_use(database: Database, used: Mapping[str, dt.datetime]) -> None:
    """Write down when keys, by their prefixes, were last used; a later time that is known already stays."""
    await _queries.note_key_use(database, prefixes=list(used), times=list(used.values()))


def _api_key(row: Mapping[str, Any]) -> ApiKey:
    return ApiKey(
        key_prefix=row["key_prefix"],
        user_id=row["user_id"],
        name=row["name"],
        environment=row["environment"],
        permissions=tuple(row["permissions"]),
        final_only=row["final_only"],
        proof_version=row["proof_version"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used=row["last_used"],
        revoked=row["is_revoked"],
        revoked_at=row["revoked_at"],
        replaced_by=row["replaced_by"],
        is_good=row["is_good"],
    )
