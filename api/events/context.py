"""What the routes of events work with."""

from dataclasses import dataclass
from typing import Annotated

import asyncpg
from fastapi import Depends, Request

from api.events.streams import FeedStreams
from api.metrics import ApiMetrics


@dataclass(frozen=True, slots=True)
class EventsContext:
    """The ledger, and the streams that are open."""

    database: asyncpg.Pool
    streams: FeedStreams
    metrics: ApiMetrics


async def events_context(request: Request) -> EventsContext:
    """The context of the process that serves `request`."""
    context: EventsContext = request.app.state.events
    return context


Events = Annotated[EventsContext, Depends(events_context)]
"""What a handler of this room asks for."""
