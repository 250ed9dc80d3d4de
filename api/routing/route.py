"""How every route reads its request: JSON with exact numbers, and each POST at most once for an Idempotency-Key."""

import json
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from api.http.errors import errors_of
from api.routing.idempotency import answer_once

_MAX_NUMBER_CHARACTERS: Final = 64
_MAX_EXPONENT: Final = 308


def _exactly(text: str) -> Decimal:
    """A number of JSON. One like 1e9999999 would cost minutes as soon as somebody wants it as an integer."""
    number = Decimal(text) if len(text) <= _MAX_NUMBER_CHARACTERS else None
    if number is None or abs(number.adjusted()) > _MAX_EXPONENT:
        raise ValueError("a number is out of all bounds")
    return number


_decode = msgspec.json.Decoder(float_hook=_exactly).decode


class ExactRequest(Request):
    """A request whose JSON numbers never pass through a binary float."""

    async def json(self) -> Any:
        """The body. Raises JSONDecodeError for whatever is no JSON, however deep or long it is."""
        if not hasattr(self, "_json"):
            try:
                self._json = _decode(await self.body())
            except (msgspec.DecodeError, ValueError, RecursionError) as error:
                raise json.JSONDecodeError(str(error), "", 0) from None
        return self._json


class ExactRoute(APIRoute):
    """A route of ours. Its documentation tells of the errors that every such route may answer."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        known = errors_of(options.get("methods") or ("GET",))
        options["responses"] = {**known, **(options.get("responses") or {})}
        options["operation_id"] = endpoint.__name__
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, with our request and our promise about repeated ones."""
        handle = super().get_route_handler()

        async def read_exactly(request: Request) -> Response:
            exact = ExactRequest(request.scope, request.receive)
            if request.method == "POST" and (key := request.headers.get("idempotency-key")) is not None:
                return await answer_once(exact, key, handle)
            return await handle(exact)

        return read_exactly


def new_router(prefix: str = "", tags: list[Any] | None = None) -> APIRouter:
    """A router whose routes are ours."""
    return APIRouter(prefix=prefix, tags=tags, route_class=ExactRoute)
