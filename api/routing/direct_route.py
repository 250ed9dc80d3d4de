"""Routes that are asked most often, served without FastAPI's solving of dependencies, which costs more than they do."""

import json
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.routing.route import ExactRequest, ExactRoute

_MISSING: Final = {"type": "missing", "loc": ("body",), "msg": "Field required", "input": None}


class DirectRoute(ExactRoute):
    """A route whose handler takes the request, contexts of rooms and one body, and answers with a `Response`.

    FastAPI documents it like any other. What is declared in `dependencies` is for the documentation alone: the handler
    identifies its caller itself.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        response = await self._serve(ExactRequest(scope, receive))
        await response(scope, receive, send)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's hook; what it gives is kept, since no layer of FastAPI's is needed around it."""
        self._serve = super().get_route_handler()
        return self._serve

    def _handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint, field, asked = self.endpoint, self.body_field, self.dependant
        contexts = {needed.name: needed.call for needed in asked.dependencies if needed.name is not None}
        others = asked.path_params + asked.query_params + asked.header_params + asked.cookie_params
        if others or field is None or len(asked.body_params) != 1 or asked.request_param_name is None:
            raise TypeError(f"{self.path}: a direct route takes the request, contexts of rooms, and one body")
        request_name, body_name = asked.request_param_name, asked.body_params[0].name

        async def handle(request: Request) -> Response:
            given = {name: await context_of(request) for name, context_of in contexts.items() if context_of}
            body, problems = field.validate(await _json(request), loc=("body",))
            if problems:
                raise RequestValidationError(problems)
            response: Response = await endpoint(**{request_name: request, body_name: body, **given})
            return response

        return handle


async def _json(request: Request) -> Any:
    """The JSON of a request; its layers have refused a body that says to be anything else.

    Raises:
        RequestValidationError: There is none, or it is no JSON.
        HTTPException: 400, its sender has hung up.
    """
    try:
        if await request.body():
            return await request.json()
    except json.JSONDecodeError as error:
        problem = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "JSON decode error", "input": {}}
        raise RequestValidationError([problem]) from error
    except ClientDisconnect:
        raise HTTPException(400) from None
    raise RequestValidationError([_MISSING])
