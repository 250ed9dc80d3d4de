"""Signs of life: that a process lives and, of one that follows the chain, up to where the ledger is complete."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final, NamedTuple

import asyncpg

from ledger import heartbeats
from runtime.database_errors import DATABASE_ERRORS, DatabaseTrouble, DatabaseTroubles, trouble_of
from runtime.liveness import Liveness
from runtime.passes import repeat
from runtime.process import instance_name, working

_FAREWELL_SECONDS: Final = 2.0
_LOOP: Final = "heartbeat"
_INTERVALS: Final = 5
_LIMIT_SECONDS_MIN: Final = 60.0


class SeenSlots(NamedTuple):
    """How far a process that follows the chain has come."""

    seen: int | None
    """The newest slot it has heard of."""
    recorded: int | None
    """The slot up to which everything it has heard of is in the ledger."""
    accounts_waiting: int = 0
    """Empty token accounts of strangers that it does not follow until they are paid."""


def no_slots() -> SeenSlots:
    """For a process that does not follow the chain."""
    return SeenSlots(None, None)


@asynccontextmanager
async def signs_of_life(
    database: asyncpg.Pool,
    role: str,
    every_seconds: float,
    troubles: DatabaseTroubles,
    *,
    liveness: Liveness | None = None,
    slots: Callable[[], SeenSlots] = no_slots,
    take_back: bool = False,
) -> AsyncIterator[None]:
    """Write a sign of life every `every_seconds` while the context is open.

    Args:
        database: The ledger.
        role: `indexer` or `worker`.
        every_seconds: How often.
        troubles: Where failures are counted; none of them ends the process.
        liveness: Where it is shown that signs are written.
        slots: How far the process has come, asked each time.
        take_back: Remove the sign at the end, so that nobody counts on a process that has ended well.
    """
    instance = instance_name()
    if liveness is not None:
        liveness.expect(_LOOP, within_seconds=max(_INTERVALS * every_seconds, _LIMIT_SECONDS_MIN))

    async def beat() -> None:
        try:
            seen, recorded, waiting = slots()
            await heartbeats.beat(
                database, role, instance, seen_slot=seen, recorded_slot=recorded, accounts_waiting=waiting
            )
        except DATABASE_ERRORS as error:
            if trouble_of(error) is DatabaseTrouble.REFUSED:
                # A server that was failed over stays read-only: the address may lead to the new primary by now.
                await database.expire_connections()
            raise

    beats = repeat(
        beat,
        "a sign of life",
        every_seconds=every_seconds,
        troubles=troubles,
        succeeded=None if liveness is None else partial(liveness.succeeded, _LOOP),
    )
    async with working(beats):
        yield
    if take_back:
        with suppress(*DATABASE_ERRORS, TimeoutError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await heartbeats.stop_beating(database, role, instance)
