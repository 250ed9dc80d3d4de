"""API keys over HTTP: made, listed, revoked, rotated. Everybody's are their own; an admin's are all."""

import datetime as dt
import hmac
import time
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import Path, Query, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import (
    SECURITY,
    Reader,
    Writer,
    count_request,
    identify,
    permitted,
    sent_credential,
    unauthorized,
)
from api.access.environments import check_may_change
from api.access.key_ring import NewKey, make_key
from api.http.errors import conflict, errors, forbidden, invalid, not_found
from api.http.fields import EpochMs, ShortText, time_sent
from api.http.json import AnswerShape, Shape, answer
from api.keys.context import Keys, KeysContext
from api.routing.idempotency import SECRET_HEADERS
from api.routing.route import new_router
from ledger.api_keys import (
    PERMISSIONS,
    ApiKey,
    NewApiKey,
    OnlyFirst,
    add_key,
    any_key_exists,
    find_key,
    hold_key,
    list_keys,
    replace_key,
    revoke_key,
)
from ledger.sql import DatabaseConnection, planned_for_its_values
from ledger.times import epoch_ms

router = new_router(prefix="/api-keys", tags=["Keys"])

_BOOTSTRAP_USER: Final = "admin"
_GRACE_MS: Final = 60 * 60 * 1000
_GRACE_MS_MAX: Final = 7 * 24 * 60 * 60 * 1000
Prefix = Annotated[str, Path(max_length=64, description="The public beginning of the key")]
Permissions = Annotated[list[Literal["read", "write", "admin"]], Field(min_length=1, max_length=3)]


class KeyOrder(Shape):
    """A key to be made."""

    name: ShortText
    user_id: ShortText | None = Field(None, description="Whose key it is; another's only for admins")
    environment: Literal["live", "test"] | None = None
    permissions: Permissions | None = Field(None, description="`read` and `write` unless others are asked for")
    expires_at: EpochMs | None = None
    final_only: bool = Field(False, description="Its claims are honoured by finalized payments only")
    require_proof_version: Literal[1, 2] = Field(
        1, description="2 accepts only proofs whose signature names recipient and transaction"
    )


class KeyMade(AnswerShape):
    """A key, shown this once."""

    api_key: str
    key_prefix: str
    name: str
    user_id: str
    permissions: list[str]
    environment: str
    created_at: EpochMs
    expires_at: EpochMs | None
    message: str


class KeyRotated(KeyMade):
    """A key in place of another, shown this once."""

    replaced_key_prefix: str = Field(description="The key that is revoked at the end of its grace period")
    replaced_key_good_until: EpochMs = Field(description="The end of that grace period")
    warning: str = Field(description="What becomes of the old key, and when")


class KeyListed(AnswerShape):
    """A key as it is listed; nobody can see the key itself again."""

    key_prefix: str
    name: str
    user_id: str
    environment: str
    permissions: list[str]
    final_only: bool = Field(description="Its claims are honoured by finalized payments only")
    require_proof_version: int = Field(description="The least version of a proof that it accepts")
    last_used: EpochMs | None
    created_at: EpochMs
    expires_at: EpochMs | None = Field(description="When it ends: of a key that was replaced, with its grace period")
    grace_ends_at: EpochMs | None = Field(description="The end of its grace period, of a key that was replaced")
    revoked: bool


class KeyList(AnswerShape):
    """The caller's keys."""

    api_keys: list[KeyListed]
    total: int


class KeyRevoked(AnswerShape):
    """What was done."""

    message: str
    key_prefix: str


class Rotation(Shape):
    """How a key is replaced."""

    model_config = ConfigDict(**{**Shape.model_config, "extra": "forbid"})
    grace_ms: int = Field(_GRACE_MS, ge=0, le=_GRACE_MS_MAX, description="How long the old key stays good")


@router.post("", response_model=KeyMade, status_code=201, responses=errors(401, 403, 409), dependencies=SECURITY)
async def post_key(request: Request, context: Keys, order: KeyOrder) -> Response:
    """Make a key. The very first admin key is made with the BOOTSTRAP_TOKEN as Bearer, once.

    In development an empty table lets the first call through.
    """
    only_first, caller = await _who_may_make(request, context)
    return answer(await make_key_for(context, caller, order, only_first=only_first), 201, SECRET_HEADERS)


async def make_key_for(
    context: KeysContext, caller: Caller | None, order: KeyOrder, *, only_first: OnlyFirst = "no"
) -> KeyMade:
    """Make a key of which `caller` may hand out the rights; `None` is whoever makes the first key.

    Raises:
        ApiError: 400 for an end that has passed, 403 for more than the caller may give, 401 or 409 where it is not the
            first key.
    """
    if order.expires_at is not None and order.expires_at <= time.time_ns() // 1_000_000:
        raise invalid("expiresAt is in the past; send a time to come.", {"field": "expiresAt"})
    permissions = order.permissions or (PERMISSIONS if caller is None else ("read", "write"))
    environment = order.environment or (caller.environment if caller else "live")
    user_id = order.user_id or (caller.user_id if caller else _BOOTSTRAP_USER)
    _check_rights(caller, user_id, permissions, environment)
    wanted_end = None if order.expires_at is None else time_sent(order.expires_at, "expiresAt")
    made = make_key(environment)
    new = NewApiKey(
        key_prefix=made.prefix,
        key_hash=made.hash,
        user_id=user_id,
        name=order.name,
        environment=environment,
        permissions=sorted(set(permissions), key=PERMISSIONS.index),
        final_only=order.final_only or (caller is not None and caller.final_only and not caller.is_admin),
        proof_version=max(order.require_proof_version, caller.proof_version if caller and not caller.is_admin else 1),
        expires_at=_end(caller, wanted_end),
    )
    async with context.database.acquire() as connection, connection.transaction():
        stored = await add_key(connection, new, only_first=only_first)
    if stored is None:
        if only_first == "any":
            raise unauthorized("This needs an API key; send one as x-api-key.")
        raise conflict("The first admin key was made already; use it, or make another with `pay402 keys create`.")
    return KeyMade(**_shown_once(stored, made), message="Store this key now; it is not shown again.")


async def _who_may_make(request: Request, context: KeysContext) -> tuple[OnlyFirst, Caller | None]:
    """Who makes a key: a caller, or without one somebody who may make the first key, or the first admin key."""
    credential = sent_credential(request) or request.headers.get("x-bootstrap-token")
    token = context.bootstrap_token
    if credential and token and hmac.compare_digest(credential.encode(), token.encode()):
        await count_request(request, None)
        return "admin", None
    if credential is None and context.needs_no_first_key:
        await count_request(request, None)
        if not await any_key_exists(context.database):
            return "any", None
    caller = await identify(request)
    if credential is not None:
        await count_request(request, caller)
    return "no", permitted(caller, "write")


def _check_rights(caller: Caller | None, user_id: str, permissions: Sequence[str], environment: str) -> None:
    if caller is not None and caller.by_token:
        # A token that leaks is good for minutes; a key that was made with it would be good for ever.
        raise forbidden("Keys are made with a key, not with an access token; send the API key.")
    if caller is not None:
        check_may_change(caller, environment, "The key")
    if caller is None or caller.is_admin:
        return
    if user_id != caller.user_id:
        raise forbidden("Keys of other users are made by admins; leave userId out or use an admin key.")
    if not caller.may_hand_out(permissions):
        raise forbidden("A key cannot be given permissions that yours lacks; ask for fewer.")
    if environment != caller.environment:
        raise forbidden(f"A {caller.environment} key makes {caller.environment} keys only; use another key.")


def _end(caller: Caller | None, wanted: dt.datetime | None) -> dt.datetime | None:
    """When a new key ends: not after the key it is made with, which may be in its last hour for a reason."""
    if caller is None or caller.is_admin or caller.valid_until is None:
        return wanted
    return caller.valid_until if wanted is None else min(wanted, caller.valid_until)


def _shown_once(stored: ApiKey, made: NewKey) -> dict[str, Any]:
    """The fields that every answer has in which a key is shown."""
    return {
        "api_key": made.key,
        "key_prefix": stored.key_prefix,
        "name": stored.name,
        "user_id": stored.user_id,
        "permissions": stored.permissions,
        "environment": stored.environment,
        "created_at": epoch_ms(stored.created_at),
        "expires_at": epoch_ms(stored.expires_at),
    }


@router.get("", response_model=KeyList, responses=errors(401, 403))
async def get_keys(
    context: Keys,
    caller: Reader,
    user_id: Annotated[ShortText | None, Query(alias="userId", description="For admins: only this user's")] = None,
    include_revoked: Annotated[
        bool, Query(alias="includeRevoked", description="Those too that are revoked or expired")
    ] = False,
) -> Response:
    """List the caller's keys that are good; an admin sees everybody's."""
    whose = user_id if caller.is_admin else caller.user_id
    found = await list_keys(context.database, whose, include_revoked=include_revoked)
    return answer(KeyList(api_keys=[_listed(key) for key in found], total=len(found)))


async def keys_page(
    context: KeysContext, caller: Caller, *, include_revoked: bool, after: str | None, limit: int
) -> list[KeyListed]:
    """The caller's keys, or everybody's for an admin, newest first, after the key of prefix `after`."""
    async with planned_for_its_values(context.database) as connection:
        found = await list_keys(
            connection,
            None if caller.is_admin else caller.user_id,
            include_revoked=include_revoked,
            after=after,
            limit=limit,
        )
    return [_listed(key) for key in found]


async def key_seen_by(context: KeysContext, caller: Caller, key_prefix: str) -> KeyListed:
    """A key that the caller may see. Raises ApiError 404 where there is none."""
    found = await find_key(context.database, key_prefix) if "\0" not in key_prefix else None
    if found is None or not caller.sees(found.user_id):
        raise not_found("The key")
    return _listed(found)


def _listed(key: ApiKey) -> KeyListed:
    return KeyListed(
        key_prefix=key.key_prefix,
        name=key.name,
        user_id=key.user_id,
        environment=key.environment,
        permissions=list(key.permissions),
        final_only=key.final_only,
        require_proof_version=key.proof_version,
        last_used=epoch_ms(key.last_used),
        created_at=epoch_ms(key.created_at),
        expires_at=epoch_ms(min(filter(None, (key.expires_at, key.revoked_at)), default=None)),
        grace_ends_at=epoch_ms(key.revoked_at) if key.replaced_by is not None else None,
        revoked=key.revoked,
    )


@router.delete("/{key_prefix}", response_model=KeyRevoked, responses=errors(401, 403, 404))
async def delete_key(context: Keys, caller: Writer, key_prefix: Prefix) -> Response:
    """Revoke a key. Every replica refuses it within 5 seconds."""
    return answer(await revoke_key_of(context, caller, key_prefix))


async def revoke_key_of(context: KeysContext, caller: Caller, key_prefix: str) -> KeyRevoked:
    """Revoke a key of the caller's. Raises ApiError 403 where it may do more than theirs, 404 where there is none."""
    async with context.database.acquire() as connection, connection.transaction():
        old = await _own_key(connection, caller, key_prefix)
        check_may_change(caller, old.environment, "The key")
        if key_prefix != caller.key_prefix and not caller.may_hand_out(old.permissions):
            raise forbidden("A key with more permissions than yours is revoked by an admin; use an admin key.")
        await revoke_key(connection, key_prefix, dt.datetime.now(dt.UTC))
    context.key_ring.forget()
    return KeyRevoked(message="The key is revoked.", key_prefix=key_prefix)


@router.post("/{key_prefix}/rotate", response_model=KeyRotated, status_code=201, responses=errors(401, 403, 404, 409))
async def rotate_key(context: Keys, caller: Writer, key_prefix: Prefix, rotation: Rotation | None = None) -> Response:
    """Make a key like this one; the old one lives on for the grace period, then is revoked."""
    made = await replace_key_of(context, caller, key_prefix, rotation or Rotation())
    return answer(made, 201, SECRET_HEADERS)


async def replace_key_of(context: KeysContext, caller: Caller, key_prefix: str, rotation: Rotation) -> KeyRotated:
    """Make a key in place of one of the caller's.

    Raises:
        ApiError: 403 for rights that the caller may not give, 404 where there is no such key, 409 where it is not good.
    """
    grace = dt.timedelta(milliseconds=rotation.grace_ms)
    async with context.database.acquire() as connection, connection.transaction():
        old = await _own_key(connection, caller, key_prefix)
        _check_rights(caller, old.user_id, old.permissions, old.environment)
        if old.revoked or old.revoked_at is not None:
            raise conflict("The key is revoked or replaced already; make a new one with POST /api-keys.")
        if not old.is_good:
            raise conflict("The key has expired, and one like it would be expired too; make one with POST /api-keys.")
        made = make_key(old.environment)
        ends = dt.datetime.now(dt.UTC) + grace
        stored = await replace_key(
            connection, old, made.prefix, made.hash, expires_at=_end(caller, old.expires_at), old_until=ends
        )
    context.key_ring.forget()
    return KeyRotated(
        **_shown_once(stored, made),
        message="Store this key now; it is not shown again.",
        replaced_key_prefix=key_prefix,
        replaced_key_good_until=epoch_ms(ends),
        warning=f"The old key {key_prefix} is refused from {ends.isoformat(timespec='seconds')} on; replace it before.",
    )


async def _own_key(connection: DatabaseConnection, caller: Caller, key_prefix: str) -> ApiKey:
    """A key of the caller's, held until the transaction ends. Raises ApiError 404."""
    found = await hold_key(connection, key_prefix) if "\0" not in key_prefix else None
    if found is None or not caller.sees(found.user_id):
        raise not_found("The key")
    return found
