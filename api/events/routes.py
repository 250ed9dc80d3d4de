"""The feed over HTTP: by pages, and as Server-Sent Events."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated, Final

import orjson
from fastapi import Header, Query, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api.access.caller import Caller
from api.access.callers import Reader, ReaderByBrowser, identify_browser
from api.events.bodies import EventPage
from api.events.context import Events, EventsContext
from api.events.streams import Subscription
from api.http.errors import ApiError, busy, errors, invalid
from api.routing.route import KNOWN_PARAMETERS_ONLY, new_router
from ledger.feed import FeedEnds, FeedEntry, entry_id, entry_number, feed_ends, page_of_feed
from ledger.feed_entries import matching_types
from runtime.database_errors import DATABASE_ERRORS, is_defect

router = new_router(prefix="/events", tags=["Events"], dependencies=[KNOWN_PARAMETERS_ONLY])

_LIMIT_MAX: Final = 1_000
_TYPES_MAX: Final = 2_000
_HEARTBEAT_SECONDS: Final = 10.0
# A key that is revoked opens nothing any more after 5 seconds, a stream that it has opened included.
_KEY_CHECK_SECONDS: Final = 2.0
_CATCH_UP_PAGE: Final = 500
_BEGIN: Final = b"retry: 1000\n\n"
_HEARTBEAT: Final = b": still here\n\n"
_STREAMED: Final = {
    "schema": {"type": "string"},
    "example": 'retry: 1000\n\nid: evt_42\nevent: request.paid\ndata: {"id":"evt_42","type":"request.paid"}\n\n',
}

After = Annotated[
    str | None, Query(max_length=32, description="The id of the last event that is known; without it, from the oldest")
]
Types = Annotated[
    str | None,
    Query(alias="type", max_length=_TYPES_MAX, description="Types of events, comma-separated; a whole family as job.*"),
]


@router.get("", response_model=EventPage, responses=errors(401, 403, 410))
async def get_events(
    context: Events,
    caller: Reader,
    after: After = None,
    wanted: Types = None,
    limit: Annotated[int, Query(ge=1, le=_LIMIT_MAX)] = 100,
) -> Response:
    """List what happened to the caller's money, oldest first; an admin sees everybody's.

    Going on from `cursor` skips nothing and repeats nothing, however many write at the same time. Events are kept for a
    month at least.
    """
    types = _types(wanted)
    # Asked first: whatever is published afterwards comes after this end.
    ends = await feed_ends(context.database)
    place = _place(after, ends)
    found = await page_of_feed(context.database, after=place, user_id=_whose(caller), types=types, limit=limit + 1)
    page, is_more = found[:limit], len(found) > limit
    cursor = page[-1].number if is_more else max([ends.newest, *(entry.number for entry in page[-1:])])
    body = {
        "events": [orjson.Fragment(entry.body) for entry in page],
        "cursor": entry_id(cursor),
        "hasMore": is_more,
    }
    return Response(orjson.dumps(body), media_type="application/json")


@router.get(
    "/stream",
    response_class=StreamingResponse,
    responses={**errors(401, 403, 410), 200: {"content": {"text/event-stream": _STREAMED}}},
)
async def stream_events(
    context: Events,
    caller: ReaderByBrowser,
    request: Request,
    after: After = None,
    wanted: Types = None,
    last_event_id: Annotated[str | None, Header(max_length=32)] = None,
) -> Response:
    """Stream what happens to the caller's money: Server-Sent Events, as they happen.

    It begins after `Last-Event-ID`, which browsers send by themselves when they connect again, or after `after`, or
    with what happens from now on. A reader that is too slow is cut off, and misses nothing when it comes again.
    """
    named, types = last_event_id or after, _types(wanted)
    ends = await feed_ends(context.database)
    place = _place(named, ends) if named else ends.newest
    stack = ExitStack()
    subscription = stack.enter_context(context.streams.subscribed(caller.user_id, _whose(caller), types))
    if subscription is None:
        raise busy("streams")
    chunks = _chunks(context, _Reader(caller, request, types, place), subscription)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return _Stream(chunks, stack, headers)


class _Stream(StreamingResponse):
    """Gives its place back however it ends, also where its reader is gone before it begins."""

    def __init__(self, content: AsyncIterator[bytes], place: ExitStack, headers: Mapping[str, str]) -> None:
        super().__init__(content, headers=headers, media_type="text/event-stream")
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place:
            await super().__call__(scope, receive, send)


@dataclass(slots=True)
class _Reader:
    """One reader of a stream: which events are theirs, and after which the next one comes."""

    caller: Caller
    request: Request
    types: Sequence[str] | None
    place: int

    def chunk(self, entries: Sequence[FeedEntry]) -> bytes:
        """These entries as they are sent, without those that were sent before."""
        fresh = [entry for entry in entries if entry.number > self.place]
        if fresh:
            self.place = fresh[-1].number
        return b"".join(map(_event, fresh))


async def _chunks(context: EventsContext, reader: _Reader, subscription: Subscription) -> AsyncIterator[bytes]:
    """What a reader is sent: first what it has missed, then what comes."""
    yield _BEGIN
    try:
        async for chunk in _missed(context, reader, subscription):
            yield chunk
        async for chunk in _coming(reader, subscription):
            yield chunk
    except DATABASE_ERRORS as error:
        # An answer that has begun can only end; its reader comes again.
        context.metrics.troubles.note("a stream of events", error)


async def _missed(context: EventsContext, reader: _Reader, subscription: Subscription) -> AsyncIterator[bytes]:
    whose = _whose(reader.caller)
    # What comes is kept only once little is missed any more; what came until then is read once more.
    while True:
        page = await page_of_feed(
            context.database, after=reader.place, user_id=whose, types=reader.types, limit=_CATCH_UP_PAGE
        )
        if page:
            yield reader.chunk(page)
        if len(page) < _CATCH_UP_PAGE:
            if subscription.is_live:
                return
            subscription.is_live = True


async def _coming(reader: _Reader, subscription: Subscription) -> AsyncIterator[bytes]:
    sent_at = checked_at = time.monotonic()
    while not subscription.is_ended:
        entries = await subscription.next_entries(wait_seconds=_KEY_CHECK_SECONDS)
        now = time.monotonic()
        if now - checked_at >= _KEY_CHECK_SECONDS:
            if not await _is_still_good(reader.request):
                return
            checked_at = now
        chunk = reader.chunk(entries)
        if not chunk and now - sent_at >= _HEARTBEAT_SECONDS:
            chunk = _HEARTBEAT
        if chunk:
            sent_at = now
            yield chunk


async def _is_still_good(request: Request) -> bool:
    try:
        return await identify_browser(request) is not None
    except ApiError:
        return False
    except DATABASE_ERRORS as error:
        if is_defect(error):
            raise
        return True  # nothing can be read meanwhile either


def _event(entry: FeedEntry) -> bytes:
    return f"id: {entry_id(entry.number)}\nevent: {entry.type}\ndata: {entry.body}\n\n".encode()


def _whose(caller: Caller) -> str | None:
    return None if caller.is_admin else caller.user_id


def _place(after: str | None, ends: FeedEnds) -> int:
    """The number of the event after which to read on.

    Raises:
        ApiError: 400 for what is no event, 410 where what came next has been removed for its age.
    """
    if after is None:
        return 0
    number = entry_number(after)
    if number is None or number > ends.newest:
        raise invalid("after is the id of no event of this ledger; send one as this list gave it.", {"field": "after"})
    if number < ends.pruned:
        raise ApiError(
            410,
            "GONE",
            "What came after that event was removed for its age; begin without `after`, and compare with /payments.",
        )
    return number


def _types(wanted: str | None) -> list[str] | None:
    """The types that a filter names, families spelled out.

    Raises:
        ApiError: 400 for a type that there is not.
    """
    if wanted is None:
        return None
    found: list[str] = []
    for name in filter(None, map(str.strip, wanted.split(","))):
        if not (matching := matching_types(name)):
            raise invalid(f"There is no type of events {name[:64]!r}; see docs/events.md.", {"field": "type"})
        found += matching
    return found
