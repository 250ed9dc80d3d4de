"""The feed: what happened, as merchants see it. This module owns `feed.sql`.

Events are rows of `events`, whose ids are drawn before they are committed. A reader that goes on from the highest id
it has seen skips what commits late. So one writer at a time, which holds the row of `feed_position`, takes what is
committed, makes entries of it (`ledger.feed_entries`) and numbers them; readers go on from the highest number and skip
nothing. Ids that were passed before they were committed are kept in `feed_gaps`, with the transactions that may still
commit them.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ledger.feed_entries import FeedEvent, LoggedEvent, feed_events
from ledger.sql import Database, DatabaseConnection, load_queries
from ledger.times import epoch_ms

_queries = load_queries("ledger", "feed.sql")

FEED_CHANNEL: Final = "feed"
"""Notified with the number of the newest entry."""
FEED_VERSION: Final = 1
"""The version of the entries' JSON. Fields may be added to it; what changes otherwise raises it."""
_ID_PREFIX: Final = "evt_"
_ID_DIGITS_MAX: Final = 18


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """An entry as every reader gets it: `body` is its JSON, byte by byte the same for all of them."""

    number: int
    type: str
    user_id: str
    body: str


@dataclass(frozen=True, slots=True)
class Published:
    """What one pass has published.

    Attributes:
        events: How many events were read, whatever became of them.
        entries: What was published, in order.
        is_behind: True where more is waiting.
    """

    events: int
    entries: Sequence[FeedEntry]
    is_behind: bool


@dataclass(frozen=True, slots=True)
class FeedEnds:
    """The number of the newest entry there ever was, and of the newest that was removed for its age; 0 for none."""

    newest: int
    pruned: int


def entry_id(number: int) -> str:
    """How an entry is named to its readers: its `id`, its cursor, and the `webhook-id` of its deliveries."""
    return f"{_ID_PREFIX}{number}"


def entry_number(text: str) -> int | None:
    """The number of the entry of this name, or `None` for a text that names none."""
    digits = text.removeprefix(_ID_PREFIX)
    is_id = text.startswith(_ID_PREFIX) and digits.isascii() and digits.isdigit() and len(digits) <= _ID_DIGITS_MAX
    return int(digits) if is_id else None


async def publish_events(
    connection: DatabaseConnection, *, events_max: int, then: Callable[[Sequence[FeedEntry]], Awaitable[None]]
) -> Published | None:
    """Publish the next events, at most about `events_max`; returns `None` while somebody else publishes.

    `then` is called with the entries in the same transaction, for what must follow from each of them.
    """
    async with connection.transaction():
        position = await _queries.hold_feed_position(connection)
        if position is None:
            return None
        after: int = position["event_id"]
        upto: int = await _queries.last_event_of_batch(connection, event_id=after, limit=events_max) or after
        # In this order: whoever is no writer any more when this is asked has committed before what follows is read.
        writers: list[str] = await _queries.event_writers(connection)
        events = [_logged(row) async for row in _queries.committed_events(connection, after=after, upto=upto)]
        made = await feed_events(connection, events)
        entries = [_entry(position["feed_id"] + n, event) for n, event in enumerate(made, start=1)]
        if entries:
            await _add(connection, made, entries)
            await then(entries)
        await _queries.move_feed_position(
            connection,
            after=after,
            upto=upto,
            published=[event.id for event in events],
            writers=writers,
            feed_id=position["feed_id"] + len(entries),
        )
        return Published(len(events), entries, is_behind=len(events) >= events_max)


async def page_of_feed(
    database: Database, *, after: int, user_id: str | None, types: Sequence[str] | None = None, limit: int
) -> list[FeedEntry]:
    """The entries after number `after` of a user, or of everybody, oldest first; `types` of `None` is every type."""
    rows = _queries.feed_page(
        database, after=after, user_id=user_id, types=None if types is None else list(types), limit=limit
    )
    return [FeedEntry(row["id"], row["type"], row["user_id"], row["body"]) async for row in rows]


async def feed_ends(database: Database) -> FeedEnds:
    """Where the feed begins and ends."""
    row = await _queries.feed_ends(database)
    return FeedEnds(row["newest"], row["pruned"])


async def anything_to_publish(database: Database) -> bool:
    """Whether an event is committed that the feed has not passed, or one that it has passed may still come."""
    return bool(await _queries.anything_to_publish(database))


async def prune_feed(database: Database, *, keep_seconds: float, limit: int) -> int:
    """Remove entries older than `keep_seconds`, at most `limit`; returns how many."""
    count: int = await _queries.prune_feed(database, keep_seconds=keep_seconds, limit=limit)
    return count


async def _add(connection: DatabaseConnection, made: Sequence[FeedEvent], entries: Sequence[FeedEntry]) -> None:
    await _queries.add_feed_entries(
        connection,
        ids=[entry.number for entry in entries],
        event_ids=[event.event_id for event in made],
        types=[event.type for event in made],
        user_ids=[event.user_id for event in made],
        environments=[event.environment for event in made],
        ats=[event.at for event in made],
        bodies=[entry.body for entry in entries],
    )


def _entry(number: int, event: FeedEvent) -> FeedEntry:
    body = {
        "id": entry_id(number),
        "version": FEED_VERSION,
        "type": event.type,
        "timestamp": epoch_ms(event.at),
        "userId": event.user_id,
        "environment": event.environment,
        "data": event.data,
    }
    return FeedEntry(number, event.type, event.user_id, msgspec.json.encode(body).decode())


def _logged(row: Mapping[str, Any]) -> LoggedEvent:
    return LoggedEvent(row["id"], row["type"])
