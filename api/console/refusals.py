"""What people see where their request is refused: a page with the sentence, or the one that asks for their key."""

from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from fastapi import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Scope
from structlog.contextvars import get_contextvars

from api.console.context import ConsoleContext
from api.console.pages import PAGE_HEADERS
from api.console.sign_in_routes import SIGN_IN
from api.http.errors import ApiError

BELOW: Final = "/console"
"""Below this path refusals are pages."""


def refused(scope: Scope, error: ApiError) -> Response:
    """The page that says what `error` says; whoever is not signed in is led to where they can."""
    request = Request(scope)
    context: ConsoleContext = request.app.state.console
    if error.status == HTTPStatus.UNAUTHORIZED and request.method == "GET":
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"{SIGN_IN}?to={quote(wanted, safe='')}", 303, PAGE_HEADERS)
    return context.pages.page(
        request,
        "refused.html",
        caller=None,
        status=error.status,
        headers=error.headers,
        sentence=error.sentence,
        request_id=get_contextvars().get("request_id"),
    )
