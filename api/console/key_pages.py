"""API keys as pages: the list, making one, replacing one, revoking one.

A session makes no keys: whoever makes or replaces one shows a key of theirs once more. What is made is in one answer
alone, which nobody keeps: no address, no log, no cache.
"""

import time
from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

from fastapi import Path, Query, Request
from starlette.responses import RedirectResponse, Response

from api.access.caller import Caller
from api.access.callers import holder_of, permitted, sent_session
from api.access.context import access_context
from api.console.context import Console, ConsoleContext
from api.console.forms import order_of, posted_form
from api.console.pages import PAGE_HEADERS
from api.console.visitors import Visitor, WritingVisitor
from api.http.errors import ApiError, forbidden, invalid
from api.keys.key_routes import (
    KeyMade,
    KeyOrder,
    Rotation,
    key_seen_by,
    keys_page,
    make_key_for,
    replace_key_of,
    revoke_key_of,
)
from api.routing.route import new_router
from ledger.api_keys import PERMISSIONS

router = new_router("/console/keys", is_documented=False)

_SHOWN: Final = 50
_DAY_MS: Final = 86_400_000
_LIVES: Final = {"": "until it is revoked", "30": "30 days", "90": "90 days", "365": "1 year"}
_GRACES: Final = {"0": "at once", "60": "in 1 hour", "1440": "in 1 day", "10080": "in 7 days"}
_MINUTE_MS: Final = 60_000
_EMPTY: Final = {"name": "", "user": "", "environment": "", "days": "", "read": "yes", "write": "", "admin": "",
                 "final": "", "bound": ""}  # fmt: skip
KeyPrefix = Annotated[str, Path(max_length=64)]


@router.get("")
async def list_keys(
    request: Request,
    context: Console,
    caller: Visitor,
    show: Annotated[str, Query(pattern="^(all)?$")] = "",
    after: Annotated[str, Query(max_length=64, pattern="^[A-Za-z0-9_]*$")] = "",
) -> Response:
    """List keys, newest first."""
    found = await keys_page(context.keys, caller, include_revoked=show == "all", after=after or None, limit=_SHOWN + 1)
    keys = found[:_SHOWN]
    return context.pages.page(
        request,
        "keys.html",
        caller=caller,
        keys=keys,
        shows_all=show == "all",
        requests_a_minute=access_context(request).key_limit,
        first_link=_list_link(show, "") if after else None,
        next_link=_list_link(show, keys[-1].key_prefix) if len(found) > _SHOWN else None,
    )


def _list_link(show: str, after: str) -> str:
    query = urlencode({name: value for name, value in (("show", show), ("after", after)) if value})
    return f"/console/keys?{query}" if query else "/console/keys"


@router.get("/new")
async def new_key(request: Request, context: Console, caller: WritingVisitor) -> Response:
    """Ask what the key may do."""
    return _new_page(request, context, caller, {**_EMPTY, "environment": caller.environment})


@router.post("/new")
async def make_key(request: Request, context: Console, caller: WritingVisitor) -> Response:
    """Make a key, and show it this once."""
    form = await posted_form(request, sent_session(request))
    try:
        holder = await _holder(request, caller, form)
        made = await make_key_for(context.keys, holder, _order(form))
    except ApiError as error:
        if error.status >= 500:  # noqa: PLR2004 - a fault of ours is not one of the form
            raise
        return _new_page(request, context, caller, {name: form.get(name, "") for name in _EMPTY}, error)
    return _made_page(request, context, caller, made, None)


def _order(form: Mapping[str, str]) -> KeyOrder:
    """The key that a filled form means. Raises ApiError 400."""
    days = form.get("days", "")
    if days not in _LIVES:
        raise invalid("Choose how long the key is good.")
    wanted: dict[str, Any] = {
        "name": form.get("name", ""),
        "userId": form.get("user"),
        "environment": form.get("environment"),
        "permissions": [one for one in PERMISSIONS if form.get(one)],
        "expiresAt": time.time_ns() // 1_000_000 + int(days) * _DAY_MS if days else None,
        "finalOnly": bool(form.get("final")),
        "requireProofVersion": 2 if form.get("bound") else 1,
    }
    return order_of(KeyOrder, wanted)


async def _holder(request: Request, caller: Caller, form: Mapping[str, str]) -> Caller:
    """Whose key was entered in a form of the caller's. Raises ApiError 401, 403 or 429."""
    try:
        holder = await holder_of(request, form.get("key", ""))
    except ApiError as error:
        if error.status != 401:  # noqa: PLR2004 - a key that is not good is named beside its field
            raise
        raise forbidden(
            "The key that you entered is not known, has expired or was revoked; enter a good one."
        ) from None
    if holder.user_id != caller.user_id:
        raise forbidden("The key you entered is another user's; enter one of yours, or sign in with that one.")
    return permitted(holder, "write")


@router.get("/{key_prefix}/rotate")
async def ask_to_replace(request: Request, context: Console, caller: WritingVisitor, key_prefix: KeyPrefix) -> Response:
    """Ask how a key is to be replaced."""
    return await _change_page(request, context, caller, key_prefix, "key_rotate.html")


@router.post("/{key_prefix}/rotate")
async def replace_key(request: Request, context: Console, caller: WritingVisitor, key_prefix: KeyPrefix) -> Response:
    """Replace a key, and show the new one this once."""
    form = await posted_form(request, sent_session(request))
    try:
        holder = await _holder(request, caller, form)
        if (grace := form.get("grace", "")) not in _GRACES:
            raise invalid("Choose when the old key ends.")
        rotation = order_of(Rotation, {"graceMs": int(grace) * _MINUTE_MS})
        made = await replace_key_of(context.keys, holder, key_prefix, rotation)
    except ApiError as error:
        if error.status >= 500 or error.status == 404:  # noqa: PLR2004 - neither is a fault of the form
            raise
        return await _change_page(request, context, caller, key_prefix, "key_rotate.html", error)
    return _made_page(request, context, caller, made, made.warning)


@router.get("/{key_prefix}/revoke")
async def ask_to_revoke(request: Request, context: Console, caller: WritingVisitor, key_prefix: KeyPrefix) -> Response:
    """Ask whether a key is to be revoked."""
    return await _change_page(request, context, caller, key_prefix, "key_revoke.html")


@router.post("/{key_prefix}/revoke")
async def revoke_key(request: Request, context: Console, caller: WritingVisitor, key_prefix: KeyPrefix) -> Response:
    """Revoke a key."""
    await posted_form(request, sent_session(request))
    await revoke_key_of(context.keys, caller, key_prefix)
    return RedirectResponse("/console/keys", 303, PAGE_HEADERS)


def _new_page(
    request: Request,
    context: ConsoleContext,
    caller: Caller,
    filled: Mapping[str, str],
    error: ApiError | None = None,
) -> Response:
    return context.pages.page(
        request,
        "key_new.html",
        caller=caller,
        status=error.status if error else 200,
        headers=error.headers if error else None,
        filled=filled,
        lives=_LIVES,
        permissions=[one for one in PERMISSIONS if caller.may_hand_out([one])],
        problem=error.sentence if error else None,
    )


async def _change_page(
    request: Request,
    context: ConsoleContext,
    caller: Caller,
    key_prefix: str,
    template: str,
    error: ApiError | None = None,
) -> Response:
    key = await key_seen_by(context.keys, caller, key_prefix)
    return context.pages.page(
        request,
        template,
        caller=caller,
        status=error.status if error else 200,
        headers=error.headers if error else None,
        key=key,
        here_address=f"/console/keys/{quote(key.key_prefix, safe='')}",
        graces=_GRACES,
        problem=error.sentence if error else None,
    )


def _made_page(
    request: Request, context: ConsoleContext, caller: Caller, made: KeyMade, warning: str | None
) -> Response:
    return context.pages.page(request, "key_made.html", caller=caller, status=201, made=made, warning=warning)
