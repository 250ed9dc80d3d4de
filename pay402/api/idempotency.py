"""The first answer to a request that carries an Idempotency-Key is every later one's answer too, for 24 hours."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import Request
from starlette.responses import Response

from pay402.api.auth import client_address, identify
from pay402.api.errors import ApiError, conflict, invalid
from pay402.api.resources import Resources, resources
from pay402.runtime.sql import load_queries

_queries = load_queries("pay402.api", "idempotency.sql")

_MAX_CHARACTERS: Final = 255
# Nobody works on one request for so long: who began it has died.
_ABANDONED_SECONDS: Final = 60
_SERVER_ERROR: Final = 500
# What is shown once must not lie in a table for a day.
SECRET_HEADERS: Final = {"Cache-Control": "no-store"}
"""Headers of an answer that holds a secret: it is never kept."""
_KEPT_HEADERS: Final = ("content-type", "retry-after", "location", "www-authenticate")


async def answer_once(request: Request, key: str, handle: Callable[[Request], Awaitable[Response]]) -> Response:
    """Answer as the first request of this key was answered, or be the first.

    Raises:
        ApiError: 400 for an unusable key, 409 for another request with the same key or while the first is answered.
    """
    if not 1 <= len(key) <= _MAX_CHARACTERS or not key.isprintable() or not key.isascii():
        raise invalid(f"Idempotency-Key must be 1 to {_MAX_CHARACTERS} printable ASCII characters; send another.")
    parts = resources(request)
    try:
        caller = await _caller(request)
    except ApiError:
        # Refused by the route, in its own order; whoever sends no good key leaves nothing behind.
        return await handle(request)
    request.state.asked_with = hashlib.sha256(f"{caller} {key}".encode()).hexdigest()
    digest = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    digest.update(await request.body())
    request_hash = digest.hexdigest()
    begun = await _queries.begin_answer(
        parts.database, caller=caller, key=key, request_hash=request_hash, abandoned_seconds=_ABANDONED_SECONDS
    )
    if begun is None:
        return await _kept(parts, caller, key, request_hash)
    try:
        response = await handle(request)
    except ApiError as error:
        response = error.response()
    except BaseException:
        await _queries.drop_answer(parts.database, caller=caller, key=key)
        raise
    if response.status_code >= _SERVER_ERROR or "retry-after" in response.headers:
        await _queries.drop_answer(parts.database, caller=caller, key=key)
    else:
        kept = _SHOWN_ONCE.response() if response.headers.get("cache-control") == "no-store" else response
        headers = {name: kept.headers[name] for name in _KEPT_HEADERS if name in kept.headers}
        await _queries.keep_answer(
            parts.database, caller=caller, key=key, status=kept.status_code, headers=headers, body=kept.body
        )
    return response


_SHOWN_ONCE: Final = conflict(
    "The first request with this Idempotency-Key was answered with a secret, which is shown once; "
    "revoke what it made and send another Idempotency-Key."
)


async def _caller(request: Request) -> str:
    """Whose Idempotency-Keys these are: a user's, with the same rights; another key of theirs, a rotated one, will do.

    Raises:
        ApiError: 401 for a key that is not good.
    """
    caller = await identify(request)
    if caller is None:
        name = f"address {client_address(request)}"
    else:
        name = f"user {caller.user_id} {caller.environment} {' '.join(sorted(caller.permissions))}"
    return hashlib.sha256(name.encode()).hexdigest()


async def _kept(parts: Resources, caller: str, key: str, request_hash: str) -> Response:
    row = await _queries.kept_answer(parts.database, caller=caller, key=key)
    if row is not None and row["request_hash"] != request_hash:
        raise conflict("This Idempotency-Key was used for another request; send another key.")
    if row is None or row["status"] is None:
        raise ApiError(
            409,
            "CONFLICT",
            "A request with this Idempotency-Key is being answered; repeat it in a moment.",
            headers={"Retry-After": "1"},
        )
    return Response(row["body"], row["status"], {**row["headers"], "Idempotent-Replayed": "true"})
