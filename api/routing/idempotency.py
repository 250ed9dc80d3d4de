"""Requests with an Idempotency-Key are carried out once: for 24 hours a repeated one gets the first one's answer.

A key belongs to the request that used it first; any other request with it is refused, after those 24 hours too.
"""

import datetime as dt
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from starlette.responses import Response

from api.access.caller import Caller
from api.access.callers import Count, client_address, identify, sent_credential
from api.http.errors import ApiError, conflict, invalid, refusal
from api.routing.context import routing_context
from api.routing.masked_answers import Masked, mask, unmask
from ledger.sql import load_queries

_queries = load_queries("api.routing", "idempotency.sql")

_CHARACTERS_MAX: Final = 255
# Nobody works on one request for so long: who began it has died.
_ABANDONED_SECONDS: Final = 60
_SERVER_ERROR: Final = 500
# Beside the headers of a masked answer stands what undoes it.
_SALT: Final = "mask-salt"
_TAG: Final = "mask-tag"
SECRET_HEADERS: Final = {"Cache-Control": "no-store"}
"""Headers of an answer that holds a secret: it is kept for whoever has the credential it was asked with."""
KEPT_FOR: Final = dt.timedelta(hours=24)
"""How long the first answer is given to the same request again."""
_KEPT_HEADERS: Final = ("content-type", "retry-after", "location", "www-authenticate")


async def answer_once(
    request: Request, key: str, handle: Callable[[Request], Awaitable[Response]], count: Count
) -> Response:
    """Answer as the first request of this key was answered, or be the first; `count` counts either like any other.

    Raises:
        ApiError: 400 for an unusable key, 409 for another request with the same key or while the first is answered,
            429 for one too many.
    """
    if not 1 <= len(key) <= _CHARACTERS_MAX or not key.isprintable() or not key.isascii():
        raise invalid(f"Idempotency-Key must be 1 to {_CHARACTERS_MAX} printable ASCII characters; send another.")
    database = routing_context(request).database
    try:
        known = await identify(request)
    except ApiError:
        # Refused by the route, in its own order; whoever sends no good key leaves nothing behind.
        return await handle(request)
    await count(request, known)
    caller = _caller_hash(request, known)
    request_hash = await _request_hash(request)
    begun = await _queries.begin_answer(
        database, caller=caller, key=key, request_hash=request_hash, abandoned_seconds=_ABANDONED_SECONDS
    )
    if begun is None:
        return await _kept(request, caller, key, request_hash)
    try:
        response = await handle(request)
    except ApiError as error:
        response = refusal(request.scope, error)
    except BaseException:
        await _queries.drop_answer(database, caller=caller, key=key)
        raise
    if response.status_code >= _SERVER_ERROR or "retry-after" in response.headers:
        await _queries.drop_answer(database, caller=caller, key=key)
    else:
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        body = bytes(response.body)
        if response.headers.get("cache-control") == "no-store":
            masked = mask(body, sent_credential(request) or secrets.token_hex())
            body, headers = masked.body, {**headers, **SECRET_HEADERS, _SALT: masked.salt, _TAG: masked.tag}
        await _queries.keep_answer(
            database, caller=caller, key=key, status=response.status_code, headers=headers, body=body
        )
    return response


@dataclass(frozen=True, slots=True)
class RepeatableRequest:
    """A request that carried an Idempotency-Key: the hash of the key and its caller, and the hash of the request."""

    key_hash: str
    request_hash: str


async def repeatable_request(request: Request, caller: Caller | None) -> RepeatableRequest | None:
    """What identifies `request` when it is repeated, or `None` when it carries no Idempotency-Key.

    For rooms that store with a row of theirs which request made it.
    """
    if (key := request.headers.get("idempotency-key")) is None:
        return None
    key_hash = hashlib.sha256(f"{_caller_hash(request, caller)} {key}".encode()).hexdigest()
    return RepeatableRequest(key_hash, await _request_hash(request))


async def _request_hash(request: Request) -> str:
    digest = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    digest.update(await request.body())
    return digest.hexdigest()


def _caller_hash(request: Request, caller: Caller | None) -> str:
    """Whose Idempotency-Keys these are: a user's, with the same rights; a rotated key of theirs has them too."""
    if caller is None:
        name = f"address {client_address(request)}"
    else:
        name = f"user {caller.user_id} {caller.environment} {' '.join(sorted(caller.permissions))}"
    return hashlib.sha256(name.encode()).hexdigest()


def key_of_another_request() -> ApiError:
    """409: the key was used for another request before."""
    return conflict("This Idempotency-Key was used for another request; send another key.")


async def _kept(request: Request, caller: str, key: str, request_hash: str) -> Response:
    row = await _queries.kept_answer(routing_context(request).database, caller=caller, key=key)
    if row is not None and row["request_hash"] != request_hash:
        raise key_of_another_request()
    if row is None or row["status"] is None:
        raise ApiError(
            409,
            "CONFLICT",
            "A request with this Idempotency-Key is being answered; repeat it in a moment.",
            headers={"Retry-After": "1"},
        )
    headers, body = row["headers"], row["body"]
    if (salt := headers.pop(_SALT, None)) is not None:
        body = unmask(Masked(body, salt, headers.pop(_TAG)), sent_credential(request) or "")
        if body is None:
            raise conflict(
                "The first request was answered with a secret, for the very key it was sent with; send that."
            )
    return Response(body, row["status"], {**headers, "Idempotent-Replayed": "true"})
