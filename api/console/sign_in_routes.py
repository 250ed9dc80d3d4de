"""Signing in with an API key, and out. The key is looked at once and kept nowhere; the browser gets a session."""

import re
import secrets
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Query, Request
from starlette.responses import RedirectResponse, Response

from api.access.callers import (
    count_request,
    holder_of,
    is_by_tls,
    permitted,
    sent_session,
    session_cookie,
    signed_in,
)
from api.access.context import access_context
from api.access.sessions import SESSION_SECONDS
from api.console.context import Console, ConsoleContext
from api.console.forms import form_token, posted_form
from api.console.pages import PAGE_HEADERS
from api.http.errors import ApiError, forbidden
from api.routing.route import new_router

router = new_router("/console", is_documented=False)

OVERVIEW: Final = "/console"
SIGN_IN: Final = "/console/sign-in"
# A page of the console and nothing else: no host, no backslash, no step upwards, no control character.
_OUR_PAGE: Final = re.compile(r"/console(?:/[A-Za-z0-9_~-]{1,128}){0,4}(?:\?[A-Za-z0-9_.~%=&+-]{0,512})?", re.ASCII)
_FORM_COOKIE: Final = "pay402_form"
_FORM_SECONDS: Final = 60 * 60
_FORM_BYTES: Final = 32


def our_page(wanted: str | None) -> str:
    """`wanted` where it is a page of the console, or else the overview: nobody is led elsewhere."""
    is_ours = wanted is not None and _OUR_PAGE.fullmatch(wanted) is not None
    return wanted if wanted is not None and is_ours else OVERVIEW


@router.get("/sign-in")
async def get_sign_in(
    request: Request, context: Console, to: Annotated[str | None, Query(max_length=1024)] = None
) -> Response:
    """Ask for an API key."""
    caller = await signed_in(request)
    await count_request(request, caller)
    if caller is not None:
        return RedirectResponse(our_page(to), 303, PAGE_HEADERS)
    return _sign_in_page(request, context, to)


@router.post("/sign-in")
async def post_sign_in(request: Request, context: Console) -> Response:
    """Begin a session with an API key that may read."""
    form = await posted_form(request, request.cookies.get(_form_cookie(request)))
    to = form.get("to")
    try:
        caller = await holder_of(request, form.get("key", ""))
        await count_request(request, caller)
        if caller.by_token:
            raise forbidden("An access token does not sign in; use the API key that it was made with.")
        permitted(caller, "read")
    except ApiError as error:
        if error.status not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise
        sentence = error.sentence
        if error.status == HTTPStatus.UNAUTHORIZED:
            sentence = "This key is not known, has expired or was revoked; enter a good one."
        return _sign_in_page(request, context, to, problem=sentence, status=error.status)
    sessions = access_context(request).sessions
    # Whatever session the browser came with, it leaves with a new one that nobody else can know.
    if (before := sent_session(request)) is not None:
        await sessions.end(before)
    response = RedirectResponse(our_page(to), 303, PAGE_HEADERS)
    _set_cookie(request, response, session_cookie(request), await sessions.begin(caller.key_prefix), SESSION_SECONDS)
    _set_cookie(request, response, _form_cookie(request), "", 0)
    return response


@router.post("/sign-out")
async def post_sign_out(request: Request) -> Response:
    """End the session."""
    session = sent_session(request)
    await count_request(request, await signed_in(request))
    if session is not None:
        await posted_form(request, session)
        await access_context(request).sessions.end(session)
    response = RedirectResponse(SIGN_IN, 303, {**PAGE_HEADERS, "Clear-Site-Data": '"cache"'})
    _set_cookie(request, response, session_cookie(request), "", 0)
    return response


def _sign_in_page(
    request: Request, context: ConsoleContext, to: str | None, *, problem: str | None = None, status: int = 200
) -> Response:
    cookie = request.cookies.get(_form_cookie(request)) or secrets.token_urlsafe(_FORM_BYTES)
    response = context.pages.page(
        request,
        "sign_in.html",
        caller=None,
        status=status,
        has_navigation=False,
        sign_in_token=form_token(cookie),
        to=our_page(to),
        problem=problem,
        # A browser sends no session with what another site's link opens; it does with the next click.
        is_from_elsewhere=request.headers.get("sec-fetch-site") == "cross-site",
    )
    _set_cookie(request, response, _form_cookie(request), cookie, _FORM_SECONDS)
    return response


def _form_cookie(request: Request) -> str:
    return f"__Host-{_FORM_COOKIE}" if is_by_tls(request) else _FORM_COOKIE


def _set_cookie(request: Request, response: Response, name: str, value: str, seconds: int) -> None:
    """Set a cookie that only this host gets, with its own pages' requests alone, and that no script can read."""
    same_site: Final = "strict"
    response.set_cookie(
        name, value, max_age=seconds, path="/", secure=is_by_tls(request), httponly=True, samesite=same_site
    )
