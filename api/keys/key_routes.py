"""API keys over HTTP: made, listed, revoked, rotated. Everybody's are their own; an admin's are all."""

import datetime as dt
import hmac
import time
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Path, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from api.access.callers import SECURITY, count_request, identify, permitted, require, sent_credential, unauthorized
from api.access.key_ring import PERMISSIONS, Caller, allowed_permissions, make_key
from api.http.errors import conflict, errors, forbidden, invalid, not_found
from api.http.fields import EpochMs, ShortText
from api.http.json import Shape, answer, epoch_ms
from api.resources import Resources, resources
from api.routing.idempotency import SECRET_HEADERS
from api.routing.route import new_router

router = new_router(prefix="/api-keys", tags=["Keys"])

_BOOTSTRAP_USER: Final = "admin"
_GRACE_MS: Final = 60 * 60 * 1000
_MAX_GRACE_MS: Final = 7 * 24 * 60 * 60 * 1000
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


class KeyMade(Shape):
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


class KeyListed(Shape):
    """A key as it is listed; nobody can see the key itself again."""

    key_prefix: str
    name: str
    user_id: str
    environment: str
    permissions: list[str]
    last_used: EpochMs | None
    created_at: EpochMs
    expires_at: EpochMs | None
    revoked: bool


class KeyList(Shape):
    """The caller's keys."""

    api_keys: list[KeyListed]
    total: int


class KeyRevoked(Shape):
    """What was done."""

    message: str
    key_prefix: str


class Rotation(Shape):
    """How a key is replaced."""

    model_config = ConfigDict(**{**Shape.model_config, "extra": "forbid"})
    grace_ms: int = Field(_GRACE_MS, ge=0, le=_MAX_GRACE_MS, description="How long the old key stays good")


@router.post("", response_model=KeyMade, status_code=201, responses=errors(401, 403, 409), dependencies=SECURITY)
async def post_key(request: Request, order: KeyOrder) -> Response:
    """Make a key. The very first admin key is made with the BOOTSTRAP_TOKEN as Bearer, once.

    In development an empty table lets the first call through.
    """
    parts = resources(request)
    only_first, caller = await _who_may_make(request, parts)
    if order.expires_at is not None and order.expires_at <= time.time_ns() // 1_000_000:
        raise invalid("expiresAt is in the past; send a time to come.", {"field": "expiresAt"})
    permissions = order.permissions or (PERMISSIONS if caller is None else ["read", "write"])
    environment = order.environment or (caller.environment if caller else "live")
    user_id = order.user_id or (caller.user_id if caller else _BOOTSTRAP_USER)
    _check_rights(caller, user_id, permissions, environment)
    new = make_key(environment)
    columns = {
        "key_prefix": new.prefix,
        "key": new.hash,
        "user_id": user_id,
        "name": order.name,
        "environment": environment,
        "permissions": sorted(set(permissions), key=PERMISSIONS.index),
        "final_only": order.final_only or (caller is not None and caller.final_only and not caller.is_admin),
        "expires_at": _end(caller, _time(order.expires_at)),
        "only_first": only_first,
    }
    async with parts.database.acquire() as connection, connection.transaction():
        if only_first != "no":
            await parts.queries.lock_first_key(connection)
        row = await parts.queries.add_key(connection, **columns)
    if row is None:
        if only_first == "any":
            raise unauthorized("This needs an API key; send one as x-api-key.")
        raise conflict("The first admin key was made already; use it, or make another with `pay402 keys create`.")
    return answer(_made(row, new.key), 201, SECRET_HEADERS)


async def _who_may_make(request: Request, parts: Resources) -> tuple[str, Caller | None]:
    """The caller, or the right to make the first key without being anybody."""
    credential = sent_credential(request) or request.headers.get("x-bootstrap-token")
    token = parts.settings.bootstrap_token
    if credential and token and hmac.compare_digest(credential.encode(), token.get_secret_value().encode()):
        await count_request(request, None)
        return "admin", None
    if credential is None and parts.settings.app_env == "development":
        await count_request(request, None)
        if not await parts.queries.any_key(parts.database):
            return "any", None
    caller = await identify(request)
    if credential is not None:
        await count_request(request, caller)
    return "no", permitted(caller, "write")


def _check_rights(caller: Caller | None, user_id: str, permissions: Any, environment: str) -> None:
    if caller is not None and caller.by_token:
        # A token that leaks is good for minutes; a key that was made with it would be good for ever.
        raise forbidden("Keys are made with a key, not with an access token; send the API key.")
    if caller is None or caller.is_admin:
        return
    if user_id != caller.user_id:
        raise forbidden("Keys of other users are made by admins; leave userId out or use an admin key.")
    if not allowed_permissions(permissions, caller):
        raise forbidden("A key cannot be given permissions that yours lacks; ask for fewer.")
    if environment != caller.environment:
        raise forbidden(f"A {caller.environment} key makes {caller.environment} keys only; use another key.")


def _end(caller: Caller | None, wanted: dt.datetime | None) -> dt.datetime | None:
    """When a new key ends: not after the key it is made with, which may be in its last hour for a reason."""
    if caller is None or caller.is_admin or caller.valid_until is None:
        return wanted
    return caller.valid_until if wanted is None else min(wanted, caller.valid_until)


def _made(row: Any, key: str) -> dict[str, Any]:
    return {
        "apiKey": key,
        "keyPrefix": row["key_prefix"],
        "name": row["name"],
        "userId": row["user_id"],
        "permissions": row["permissions"],
        "environment": row["environment"],
        "createdAt": epoch_ms(row["created_at"]),
        "expiresAt": epoch_ms(row["expires_at"]),
        "message": "Store this key now; it is not shown again.",
    }


@router.get("", response_model=KeyList, responses=errors(401, 403))
async def get_keys(
    request: Request,
    caller: Annotated[Caller, Depends(require("read"))],
    userId: ShortText | None = None,  # noqa: N803
) -> Response:
    """List the caller's keys; an admin sees everybody's."""
    parts = resources(request)
    whose = userId if caller.is_admin else caller.user_id
    rows = [row async for row in parts.queries.keys(parts.database, user_id=whose)]
    listed = [
        {
            "keyPrefix": row["key_prefix"],
            "name": row["name"],
            "userId": row["user_id"],
            "environment": row["environment"],
            "permissions": row["permissions"],
            "lastUsed": epoch_ms(row["last_used"]),
            "createdAt": epoch_ms(row["created_at"]),
            "expiresAt": epoch_ms(row["expires_at"]),
            "revoked": row["revoked"],
        }
        for row in rows
    ]
    return answer({"apiKeys": listed, "total": len(listed)})


@router.delete("/{key_prefix}", response_model=KeyRevoked, responses=errors(401, 403, 404))
async def delete_key(
    request: Request, caller: Annotated[Caller, Depends(require("write"))], key_prefix: Prefix
) -> Response:
    """Revoke a key. Every replica refuses it within 5 seconds."""
    parts = resources(request)
    old = await _own_key(parts.database, parts, caller, key_prefix)
    if key_prefix != caller.key_prefix and not allowed_permissions(old["permissions"], caller):
        raise forbidden("A key with more permissions than yours is revoked by an admin; use an admin key.")
    now = dt.datetime.now(dt.UTC)
    await parts.queries.revoke_key(parts.database, key_prefix=key_prefix, at=now, replaced_by=None)
    parts.keys.forget()
    return answer({"message": "The key is revoked.", "keyPrefix": key_prefix})


@router.post("/{key_prefix}/rotate", response_model=KeyMade, status_code=201, responses=errors(401, 403, 404, 409))
async def rotate_key(
    request: Request,
    caller: Annotated[Caller, Depends(require("write"))],
    key_prefix: Prefix,
    rotation: Rotation | None = None,
) -> Response:
    """Make a key like this one; the old one lives on for the grace period, then is revoked."""
    parts = resources(request)
    grace_ms = (rotation or Rotation()).grace_ms
    async with parts.database.acquire() as connection, connection.transaction():
        old = await _own_key(connection, parts, caller, key_prefix)
        _check_rights(caller, old["user_id"], old["permissions"], old["environment"])
        if old["is_ending"]:
            raise conflict("The key is revoked or replaced already; make a new one with POST /api-keys.")
        new = make_key(old["environment"])
        kept = {name: old[name] for name in ("user_id", "name", "environment", "permissions", "final_only")}
        row = await parts.queries.add_key(
            connection,
            key_prefix=new.prefix,
            key=new.hash,
            expires_at=_end(caller, old["expires_at"]),
            only_first="no",
            **kept,
        )
        ends = dt.datetime.now(dt.UTC) + dt.timedelta(milliseconds=grace_ms)
        await parts.queries.revoke_key(connection, key_prefix=key_prefix, at=ends, replaced_by=new.prefix)
    parts.keys.forget()
    message = f"Store this key now; it is not shown again. The old key is good until {ends.isoformat()}."
    made = {**_made(row, new.key), "message": message, "replacedKeyPrefix": key_prefix}
    return answer(made, 201, SECRET_HEADERS)


async def _own_key(database: Any, parts: Resources, caller: Caller, key_prefix: str) -> Any:
    row = await parts.queries.key_of_prefix(database, key_prefix=key_prefix) if "\0" not in key_prefix else None
    if row is None or not caller.sees(row["user_id"]):
        raise not_found("The key")
    return row


def _time(milliseconds: int | None) -> dt.datetime | None:
    if milliseconds is None:
        return None
    try:
        return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
    except (ValueError, OverflowError, OSError):
        raise invalid("expiresAt is no time; send milliseconds since 1970.", {"field": "expiresAt"}) from None
