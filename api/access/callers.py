"""Who calls, and what they may do. Limits on requests are per caller, so requests are counted here too."""

import dataclasses
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from ipaddress import ip_network
from typing import Annotated, Any, Final, Literal

import structlog
from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from api.access.caller import Caller
from api.access.context import AccessContext, access_context
from api.access.key_ring import DEMO_KEYS, DEMO_USER
from api.http.errors import ApiError, forbidden
from runtime.database_errors import DATABASE_ERRORS, is_defect

_log = structlog.get_logger(__name__)

_KEY_START: Final = "sk_"
_IPV6_PREFIX: Final = 64
# Where a request notes that it was counted.
_COUNTED: Final = "api.access.is_counted"

SESSION_COOKIE: Final = "pay402_session"
"""The cookie of a session, over plain HTTP; see `session_cookie`."""

Permission = Literal["read", "write", "admin"]

# For the documentation: what is sent is read from the headers below, whichever of the two carries it.
_key_header = APIKeyHeader(name="x-api-key", auto_error=False, description="An API key, `sk_…`")
_bearer = HTTPBearer(auto_error=False, description="An API key, or an access token of `POST /auth/token`")
SECURITY: Final = (Security(_key_header), Security(_bearer))


def unauthorized(sentence: str) -> ApiError:
    """401: the caller is not known."""
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
    return await holder_of(request, credential)


async def holder_of(request: Request, credential: str) -> Caller:
    """Who holds a key or token that `request` brings, wherever in it.

    Raises:
        ApiError: 401 for a key or token that is not good, which counts against the limit of its sender's address.
    """
    caller = await _holder(access_context(request), credential)
    if caller is None:
        # Guessing keys is limited like every request of somebody without one.
        await count_request(request, None)
        if credential in DEMO_KEYS:
            _log.warning("demo_key_refused", environment=access_context(request).environment)
            raise unauthorized("The demo key works in development only; create a key with `pay402 keys create`.")
        raise unauthorized("The API key is not known, has expired or was revoked; send a good one as x-api-key.")
    return caller


async def _holder(context: AccessContext, credential: str) -> Caller | None:
    if credential in DEMO_KEYS:
        return _demo_caller(context)
    if credential.startswith(_KEY_START):
        return await context.keys.by_key(credential)
    return await _bearer_of(context, credential)


def _demo_caller(context: AccessContext) -> Caller | None:
    if context.environment != "development":
        return None
    return Caller(DEMO_USER, frozenset({"read", "write"}), "test", "demo-key")


async def signed_in(request: Request) -> Caller | None:
    """Who is signed in at the console in the browser that sent `request`, or `None`.

    A session opens the console's pages and the stream of events, and no other route: what a browser sends by itself
    must not do anything that a page of somebody else's can ask for. It makes no keys, as a token makes none.
    """
    context = access_context(request)
    if (session := sent_session(request)) is None:
        return None
    if (prefix := await context.sessions.key_of(session)) is None:
        return None
    holder = _demo_caller(context) if prefix in DEMO_KEYS else await context.keys.by_prefix(prefix)
    return None if holder is None else dataclasses.replace(holder, by_token=True)


def is_by_tls(request: Request) -> bool:
    """True where the browser is taken to speak TLS: in production always, also where its proxy does not say so."""
    return request.url.scheme == "https" or access_context(request).environment == "production"


def session_cookie(request: Request) -> str:
    """The name of the cookie that holds a session. With TLS its prefix keeps other hosts from setting it."""
    return f"__Host-{SESSION_COOKIE}" if is_by_tls(request) else SESSION_COOKIE


def sent_session(request: Request) -> str | None:
    """The session that a browser sends, if any."""
    return request.cookies.get(session_cookie(request))


async def identify_browser(request: Request) -> Caller | None:
    """Who sent `request`, by a key or token, or else as who is signed in. Raises ApiError 401."""
    return await identify(request) if sent_credential(request) is not None else await signed_in(request)


async def reader_by_browser(request: Request, _key: Any = SECURITY[0], _token: Any = SECURITY[1]) -> Caller:
    """A dependency: a caller who may read, by a key, a token or a session."""
    caller = await identify_browser(request)
    await count_request(request, caller)
    return permitted(caller, "read")


async def optional_caller(request: Request, _key: Any = SECURITY[0], _token: Any = SECURITY[1]) -> Caller | None:
    """A dependency: the caller, or `None`; counts the request against the caller's limit."""
    caller = await identify(request)
    await count_request(request, caller)
    return caller


async def count_request(request: Request, caller: Caller | None) -> None:
    """Count a request, once, against the limit of its key or its address. Raises ApiError 429."""
    if _is_first_count(request):
        context = access_context(request)
        if caller is None:
            await context.rates.hit("public", limited_address(request), context.public_limit)
        else:
            await context.rates.hit("auth", caller.key_prefix, context.key_limit)


async def count_verification(request: Request, caller: Caller | None) -> None:
    """Count a verification, once, against the limit of its key or its address. Raises ApiError 429."""
    if _is_first_count(request):
        context = access_context(request)
        subject = caller.key_prefix if caller else limited_address(request)
        await context.rates.hit("verify", subject, context.verify_limit)


Count = Callable[[Request, Caller | None], Awaitable[None]]
"""How requests of a route are counted."""


async def count_refused(request: Request, count: Count = count_request) -> None:
    """Count a request that is refused before its route has counted it: what is malformed counts too.

    Raises:
        ApiError: 429, which then is the answer.
    """
    if _COUNTED in request.scope:
        return
    try:
        caller = await identify(request)
    except ApiError as error:
        # Whoever guesses keys was counted there.
        if error.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise
        return
    except DATABASE_ERRORS as error:
        if is_defect(error):
            raise
        # That no key can be looked up does not make the request a good one.
        caller = None
    await count(request, caller)


def _is_first_count(request: Request) -> bool:
    """True the first time that this is asked about a request."""
    if _COUNTED in request.scope:
        return False
    request.scope[_COUNTED] = True
    return True


def client_address(request: Request) -> str:
    """The address that the request came from, as the load balancer says where one is trusted."""
    return request.client.host if request.client else "unknown"


def limited_address(request: Request) -> str:
    """The address that limits count by; an IPv6 client, who can use any address of its /64 network, counts as that."""
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
    """`caller`, who must be somebody. Raises ApiError 401."""
    if caller is None:
        raise unauthorized("This needs an API key; send one as x-api-key.")
    return caller


def permitted(caller: Caller | None, permission: Permission) -> Caller:
    """`caller`, who must be somebody and have `permission`. Raises ApiError 401 or 403."""
    caller = known(caller)
    if not caller.is_admin and permission not in caller.permissions:
        raise forbidden(f"This needs a key with the permission {permission}; use another key.")
    return caller


Reader = Annotated[Caller, Depends(require("read"))]
"""What a handler asks for that is for callers who may read."""

ReaderByBrowser = Annotated[Caller, Depends(reader_by_browser)]
"""What a handler asks for that is for callers who may read, also those who are signed in at the console."""

Writer = Annotated[Caller, Depends(require("write"))]
"""What a handler asks for that is for callers who may write."""

Admin = Annotated[Caller, Depends(require("admin"))]
"""What a handler asks for that is for admins."""

AnyCaller = Annotated[Caller, Depends(any_caller)]
"""What a handler asks for that is for everybody with a good key or token."""

OptionalCaller = Annotated[Caller | None, Depends(optional_caller)]
"""What a handler asks for that is for everybody; a key that is sent must be good all the same."""


async def _bearer_of(context: AccessContext, token: str) -> Caller | None:
    """The holder of an access token: no more than the key it was made with may do now."""
    claims = context.tokens.read(token)
    if claims is None:
        return None
    is_demo = claims.key_prefix in DEMO_KEYS
    holder = _demo_caller(context) if is_demo else await context.keys.by_prefix(claims.key_prefix)
    if holder is None or holder.user_id != claims.user_id:
        return None
    permissions = claims.permissions if holder.is_admin else claims.permissions & holder.permissions
    return dataclasses.replace(holder, permissions=permissions, by_token=True)
