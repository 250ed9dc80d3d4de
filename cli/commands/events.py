"""`pay402 events`: the feed of what happened."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Final

import asyncpg
import typer

from cli.help_style import PLAIN_HELP
from cli.running import run_to_end, settings_for, with_connection
from ledger.feed import FeedEntry, entry_number, feed_ends, page_of_feed
from ledger.feed_entries import FEED_TYPES, matching_types
from migrations.status import check_current
from runtime.database import open_connection
from runtime.embedded.servers import database_address
from runtime.errors import OperatorError
from runtime.settings import DatabaseSettings

app = typer.Typer(help="What happened, as merchants see it: list, tail.", no_args_is_help=True, **PLAIN_HELP)

_PAGE: Final = 500
_POLL_SECONDS: Final = 0.5

User = Annotated[str | None, typer.Option(help="Of one user alone")]
Type = Annotated[list[str] | None, typer.Option("--type", help="Of one type, or of a family as job.*; may be repeated")]


@app.command("list")
def list_(
    user: User = None,
    types: Type = None,
    after: Annotated[str | None, typer.Option(help="The event after which to begin, as evt_42")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most")] = 100,
) -> None:
    """Print events, oldest first, a line of JSON each.

    Example: pay402 events list --type payment.received --limit 10
    """
    place, wanted = _place(after), _wanted(types)

    async def work(connection: asyncpg.Connection) -> list[FeedEntry]:
        return await page_of_feed(connection, after=place, user_id=user, types=wanted, limit=limit)

    for entry in with_connection(work):
        typer.echo(entry.body)


@app.command()
def tail(
    user: User = None,
    types: Type = None,
    after: Annotated[str | None, typer.Option(help="Begin after this event instead of with the next")] = None,
) -> None:
    """Print events as they happen. A line of JSON each, until it is stopped.

    Example: pay402 events tail --user merchant
    """
    settings = settings_for(DatabaseSettings, level="error")
    named, wanted = None if after is None else _place(after), _wanted(types)

    async def main(stop: asyncio.Event) -> None:
        async with database_address(settings) as dsn:
            await check_current(dsn)
            async with open_connection(dsn) as connection:
                place = (await feed_ends(connection)).newest if named is None else named
                await _follow(connection, stop, place, user, wanted, typer.echo)

    run_to_end(main)


async def _follow(
    connection: asyncpg.Connection,
    stop: asyncio.Event,
    place: int,
    user: str | None,
    types: list[str] | None,
    show: Callable[[str], None],
) -> None:
    while not stop.is_set():
        page = await page_of_feed(connection, after=place, user_id=user, types=types, limit=_PAGE)
        for entry in page:
            show(entry.body)
            place = entry.number
        if not page:
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await stop.wait()


def _place(after: str | None) -> int:
    if after is None:
        return 0
    if (number := entry_number(after)) is None:
        raise OperatorError(f"{after!r} names no event; give one as evt_42.")
    return number


def _wanted(types: list[str] | None) -> list[str] | None:
    if not types:
        return None
    found = [matching_types(name) for name in types]
    for name, matching in zip(types, found, strict=True):
        if not matching:
            raise OperatorError(f"There is no type of events {name!r}; give one of {', '.join(FEED_TYPES)}.")
    return [one for matching in found for one in matching]
