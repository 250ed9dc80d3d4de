"""How every route reads its request: JSON with exact numbers, and each POST at most once for an Idempotency-Key."""

from collections.abc import Callable, Coroutine, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request, params
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.access.callers import Count, count_refused, count_request
from api.http.broken_json import BrokenJsonError, find_fault
from api.http.errors import ApiError, errors_of, invalid
from api.routing.idempotency import answer_once

_NUMBER_CHARACTERS_MAX: Final = 64
_EXPONENT_MAX: Final = 308


def _exactly(text: str) -> Decimal:
    """A number of JSON. One like 1e9999999 would cost minutes as soon as somebody wants it as an integer."""
    number = Decimal(text) if len(text) <= _NUMBER_CHARACTERS_MAX else None
    if number is None or abs(number.adjusted()) > _EXPONENT_MAX:
        raise ValueError("a number is out of all bounds")
    return number


_decode = msgspec.json.Decoder(float_hook=_exactly).decode


class ExactRequest(Request):
    """A request whose JSON numbers never pass through a binary float."""

    async def json(self) -> Any:
        """The body. Raises BrokenJsonError for whatever is no JSON, however deep or long it is."""
        if not hasattr(self, "_json"):
            body = await self.body()
            try:
                self._json = _decode(body)
            except (msgspec.DecodeError, ValueError, RecursionError) as error:
                raise BrokenJsonError(find_fault(body, error)) from None
        return self._json


class ExactRoute(APIRoute):
    """A route of ours. Its documentation names the errors that every such route may answer."""

    @classmethod
    def count(cls) -> Count:
        """How requests are counted that are refused before the handler counts them."""
        return count_request

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        known = errors_of(options.get("methods") or ("GET",))
        options["responses"] = {**known, **(options.get("responses") or {})}
        options["operation_id"] = endpoint.__name__
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, with our request and our promise about repeated ones."""
        handle = self._handler()

        async def read_exactly(request: Request) -> Response:
            exact = ExactRequest(request.scope, request.receive)
            try:
                if request.method == "POST" and (key := request.headers.get("idempotency-key")) is not None:
                    return await answer_once(exact, key, handle, self.count())
                return await handle(exact)
            except (RequestValidationError, HTTPException, ApiError):
                await count_refused(exact, self.count())
                raise

        return read_exactly

    def _handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What reads the body and calls the handler."""
        return super().get_route_handler()


def new_router(
    prefix: str = "",
    tags: list[Any] | None = None,
    *,
    dependencies: Sequence[params.Depends] = (),
    count: Count = count_request,
    is_documented: bool = True,
    kind: type[ExactRoute] = ExactRoute,
) -> APIRouter:
    """A router whose routes are ours.

    Args:
        prefix: How their paths begin.
        tags: Under which name they are documented.
        dependencies: What all of them depend on.
        count: How their requests are counted.
        is_documented: False for pages, which are no part of the API that programs call.
        kind: What its routes are.
    """
    counted = type(kind.__name__, (kind,), {"count": classmethod(lambda _: count)})
    return APIRouter(
        prefix=prefix,
        tags=tags,
        route_class=counted,
        dependencies=list(dependencies),
        include_in_schema=is_documented,
    )


async def _refuse_unknown_parameters(request: Request) -> None:
    """Refuse a query that names what the route does not know: a filter that is ignored answers another question."""
    known = set(_query_parameters(request.scope["route"].dependant))
    if unknown := sorted(set(request.query_params) - known):
        named = ", ".join(sorted(known))
        raise invalid(
            f"There is no parameter {unknown[0][:64]!r} here; send one of {named}."
            if known
            else f"There is no parameter {unknown[0][:64]!r} here; send none.",
            {"field": unknown[0][:64]},
        )


def _query_parameters(dependant: Dependant) -> Iterator[str]:
    """The names of the query parameters of a route and of what it depends on."""
    yield from (parameter.alias for parameter in dependant.query_params)
    for needed in dependant.dependencies:
        yield from _query_parameters(needed)


KNOWN_PARAMETERS_ONLY: Final = Depends(_refuse_unknown_parameters)
"""A dependency of routers whose query parameters are filters."""
