"""Passes over the ledger or the chain that are made again and again: a failure is counted, and the next one is made.

The loops of indexer and worker that do their work in passes use `repeat`, and the worker's schedule, which has a clock
of its own, `note_failure`. A loop that serves a queue, or that has to end its process, is none of these.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum
from typing import Final, NamedTuple

import structlog

from chain.rpc import RpcError
from runtime.database_errors import DATABASE_ERRORS, DatabaseTrouble, DatabaseTroubles, trouble_of

_log = structlog.get_logger(__name__)


class Outcome(StrEnum):
    """How a pass has ended."""

    OK = "ok"
    CHAIN_AWAY = "chain_away"
    DATABASE_AWAY = "database_away"
    DATABASE_REFUSED = "database_refused"
    DEFECT = "defect"


_OF_DATABASE: Final = {
    DatabaseTrouble.AWAY: Outcome.DATABASE_AWAY,
    DatabaseTrouble.REFUSED: Outcome.DATABASE_REFUSED,
    DatabaseTrouble.DEFECT: Outcome.DEFECT,
}


class Failure(NamedTuple):
    """What a failed pass means."""

    outcome: Outcome
    pause_seconds: float
    """For how long it is of no use to try again; 0 where only the usual interval is to be kept."""


def note_failure(
    troubles: DatabaseTroubles,
    during: str,
    error: Exception,
    *,
    chain_event: str = "chain_away",
    **context: object,
) -> Failure:
    """Count and log what a pass failed by: the nodes, the database, or a defect of ours.

    Args:
        troubles: Where failures are counted, those of nodes excepted, which their own metrics count.
        during: What could not be done, in a few words.
        error: Whatever the pass raised.
        chain_event: What the log calls it when the nodes did not answer.
        context: What else the line carries.
    """
    if isinstance(error, RpcError):
        _log.warning(chain_event, error=str(error), **context)
        return Failure(Outcome.CHAIN_AWAY, 0.0)
    if isinstance(error, DATABASE_ERRORS):
        return Failure(_OF_DATABASE[trouble_of(error)], troubles.note(during, error, **context))
    return Failure(Outcome.DEFECT, troubles.note_defect(during, error, **context))


async def repeat(
    work: Callable[[], Awaitable[bool | None]],
    during: str,
    *,
    every_seconds: float | Callable[[], float],
    troubles: DatabaseTroubles,
    succeeded: Callable[[], None] | None = None,
    woken: asyncio.Event | None = None,
    at_once: bool = True,
    chain_event: str = "chain_away",
) -> None:
    """Make pass after pass until cancelled, which ends a pass that is under way or a wait at once.

    No failure ends it: a defect in one loop must not end the others of its process. After one, the next pass waits for
    as long as `note_failure` says, whoever wakes it.

    Args:
        work: One pass; it returns true when the next one has something to do already.
        during: What a pass does, in a few words, for the log.
        every_seconds: How long after a pass the next one is made, or what says so each time.
        troubles: Where failures are counted.
        succeeded: Called after each pass that did not fail.
        woken: When it is set, the next pass is made without waiting. What sets it during a pass is not missed.
        at_once: False where the first pass waits as all others do.
        chain_event: What the log calls it when the nodes did not answer.
    """
    woken = woken or asyncio.Event()
    if not at_once:
        await _wait(woken, _seconds(every_seconds))
    while True:
        # Cleared first: what is asked for during the pass must not wait for the next interval, and a wait for an event
        # that is still set would not let others run.
        woken.clear()
        pause_seconds = 0.0
        try:
            is_more_ready = True
            while is_more_ready:
                is_more_ready = bool(await work())
                if succeeded is not None:
                    succeeded()
        except Exception as error:  # noqa: BLE001 - see above: it is counted and logged for what it is
            pause_seconds = note_failure(troubles, during, error, chain_event=chain_event).pause_seconds
            await asyncio.sleep(pause_seconds)
        await _wait(woken, max(_seconds(every_seconds) - pause_seconds, 0.0))


def _seconds(every_seconds: float | Callable[[], float]) -> float:
    return every_seconds() if callable(every_seconds) else every_seconds


async def _wait(woken: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await woken.wait()
