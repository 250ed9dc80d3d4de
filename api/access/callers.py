"""Who calls, and what they may do. Every limit on requests is counted here too, for it is per caller."""

import dataclasses
import secrets
import time
from collections.abc import Awaitable, Callable
from ipaddress import ip_network
from typing import Any, Final, Literal

import jwt
import structlog
from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from api.access.key_ring import DEMO_KEYS, DEMO_USER, Caller
from api.http.errors import ApiError, forbidden
from api.resources import Resources, resources
from api.settings import SECRET_CHARACTERS

_log = structlog.get_logger(__name__)

TOKEN_SECONDS: Final = 15 * 60
_ALGORITHM: Final = "HS256"
_AUDIENCE: Final = "402pay"
_KEY_START: Final = "sk_"
_IPV6_PREFIX: Final = 64

Permission = Literal["read", "write", "admin"]

# For the documentation: what is sent is read from the headers below, whichever of the two carries it.
_key_header = APIKeyHeader(name="x-api-key", auto_error=False, description="An API key, `sk_…`")
_bearer = HTTPBearer(auto_error=False, description="An API key, or an access token of `POST /auth/token`")
SECURITY: Final = (Security(_key_header), Security(_bearer))


def unauthorized(sentence: str) -> ApiError:
    """401: nobody we know."""
    return ApiError(401, "INVALID_API_KEY", sentence, headers={"WWW-Authenticate": "Bearer"})


def sent_credential(request: Request) -> str | None:
    """The key or token that a request carries, if any."""
    if key := request.headers.get("x-api-key"):
        return key.strip()
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" and credential.strip() else None


async def identify(request: Request) -> Caller | None:
    """Who sent `request`; `None` for somebody without a key.

    Raises:
        ApiError: 401 for a key or token that is not good.
    """
    if (credential := sent_credential(request)) is None:
        return None
    parts = resources(request)
    caller = await _holder(parts, credential)
    if caller is None:
        # Guessing keys is limited like every request of somebody without one.
        await count_request(request, None)
        if credential in DEMO_KEYS:
            _log.warning("demo_key_refused", environment=parts.settings.app_env)
            raise unauthorized("The demo key works in development only; create a key with `pay402 keys create`.")
        raise unauthorized("The API key is not known, has expired or was revoked; send a good one as x-api-key.")
    return caller


async def _holder(parts: Resources, credential: str) -> Caller | None:
    if credential in DEMO_KEYS:
        return _demo_caller(parts)
    if credential.startswith(_KEY_START):
        return await parts.keys.by_key(credential)
    return await _bearer_of(parts, credential)


def _demo_caller(parts: Resources) -> Caller | None:
    if parts.settings.app_env != "development":
        return None
    return Caller(DEMO_USER, frozenset({"read", "write"}), "test", "demo-key")


async def optional_caller(request: Request, _key: Any = SECURITY[0], _token: Any = SECURITY[1]) -> Caller | None:
    """A dependency: the caller, or `None`; counts the request against the caller's limit."""
    caller = await identify(request)
    await count_request(request, caller)
    return caller


async def count_request(request: Request, caller: Caller | None) -> None:
    """Count a request against the limit of its key or its address. Raises ApiError 429."""
    parts = resources(request)
    if caller is None:
        await parts.rates.hit("public", limited_address(request), parts.settings.public_rate_limit)
    else:
        await parts.rates.hit("auth", caller.key_prefix, parts.settings.auth_rate_limit)


def client_address(request: Request) -> str:
    """The address that the request came from, as the load balancer tells it where one is trusted."""
    return request.client.host if request.client else "unknown"


def limited_address(request: Request) -> str:
    """What limits count as one client: of IPv6 a whole network, for whoever has one address of it has them all."""
    address = client_address(request)
    try:
        return str(ip_network((address, _IPV6_PREFIX), strict=False)) if ":" in address else address
    except ValueError:
        return address[:64]


def require(permission: Permission) -> Callable[..., Awaitable[Caller]]:
    """A dependency: a caller who has `permission`. Admins have every one."""

    async def caller_with_permission(request: Request, _key: Any = SECURITY[0], _token: Any = SECURITY[1]) -> Caller:
        caller = await identify(request)
        await count_request(request, caller)
        return permitted(caller, permission)

    return caller_with_permission


async def any_caller(request: Request, _key: Any = SECURITY[0], _token: Any = SECURITY[1]) -> Caller:
    """A dependency: a caller, whatever they may do."""
    caller = await identify(request)
    await count_request(request, caller)
    return known(caller)


def known(caller: Caller | None) -> Caller:
    """`caller`, who must be somebody."""
    if caller is None:
        raise unauthorized("This needs an API key; send one as x-api-key.")
    return caller


def permitted(caller: Caller | None, permission: Permission) -> Caller:
    """`caller`, who must be somebody and have `permission`."""
    caller = known(caller)
    if not caller.is_admin and permission not in caller.permissions:
        raise forbidden(f"This needs a key with the permission {permission}; use another key.")
    return caller


def signing_key(secret: str | None) -> str:
    """What signs tokens: `secret`, or where none is set one of this process alone.

    A secret that is short, which production refuses, is filled up with zeros as HMAC does itself: it signs the same,
    and the library need not warn of each token.
    """
    return secrets.token_hex(32) if secret is None else secret.ljust(SECRET_CHARACTERS, "\0")


def make_token(secret: str, caller: Caller, permissions: frozenset[str], seconds: int) -> tuple[str, int]:
    """An access token and when it expires, in seconds since 1970."""
    now = int(time.time())
    claims = {
        "sub": caller.user_id,
        "aud": _AUDIENCE,
        "iat": now,
        "exp": now + seconds,
        "key": caller.key_prefix,
        "permissions": sorted(permissions),
    }
    return jwt.encode(claims, secret, algorithm=_ALGORITHM), now + seconds


async def _bearer_of(parts: Resources, token: str) -> Caller | None:
    """The holder of an access token: no more than the key it was made with may do now."""
    try:
        claims = jwt.decode(
            token,
            parts.signing_key,
            algorithms=[_ALGORITHM],
            audience=_AUDIENCE,
            options={"require": ["exp", "sub", "aud", "iat"]},
        )
    except (jwt.PyJWTError, ValueError):
        return None
    prefix = str(claims.get("key"))
    holder = _demo_caller(parts) if prefix in DEMO_KEYS else await parts.keys.by_prefix(prefix)
    if holder is None or holder.user_id != claims["sub"]:
        return None
    permissions = frozenset(claims.get("permissions", ()))
    if not holder.is_admin:
        permissions &= holder.permissions
    return dataclasses.replace(holder, permissions=permissions, by_token=True)
