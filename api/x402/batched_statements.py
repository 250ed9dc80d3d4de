"""Statements of the facilitator that run once for all who wait for the same meanwhile."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import asyncpg

from api.http.errors import busy
from ledger.sql import Database
from runtime.database_errors import is_defect

A = TypeVar("A")
R = TypeVar("R")

Statement = Callable[[Database, Sequence[A]], Awaitable[Sequence[R]]]
"""Takes a connection and what was asked for; returns a result for each, in their order."""

BATCH_MAX: Final = 64
"""What one statement is asked for at most."""
# A statement that gave way to another transaction has done nothing, and finds that one done when it runs again.
_ATTEMPTS: Final = 4


@dataclass(slots=True, eq=False)
class _Asked(Generic[A, R]):
    about: A
    done: "asyncio.Future[R]"


class BatchedStatement(Generic[A, R]):
    """A statement that answers many at once: who asks while it runs is served by the next run of it.

    `waiting_max` may wait; any more are refused at once, with `named` in the refusal.
    """

    def __init__(self, pool: "asyncpg.Pool[Any]", statement: Statement[A, R], *, waiting_max: int, named: str) -> None:
        self._pool = pool
        self._statement = statement
        self._waiting_max = waiting_max
        self._named = named
        self._queue: deque[_Asked[A, R]] = deque()
        self._more = asyncio.Event()

    async def ask(self, about: A) -> R:
        """What the statement says of `about`.

        Raises:
            DATABASE_ERRORS: See `trouble_of` for what each of them means.
            ApiError: 503, too many wait already.
        """
        if len(self._queue) >= self._waiting_max:
            raise busy(self._named)
        asked = _Asked[A, R](about, asyncio.get_running_loop().create_future())
        self._queue.append(asked)
        self._more.set()
        return await asked.done

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._more.wait()
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_MAX))]
            if not self._queue:
                self._more.clear()
            # Nobody waits for what a caller asked who has gone.
            if wanted := [asked for asked in batch if not asked.done.done()]:
                await self._serve(wanted)

    async def _results(self, batch: Sequence[_Asked[A, R]]) -> Sequence[R]:
        for _ in range(_ATTEMPTS - 1):
            with contextlib.suppress(asyncpg.DeadlockDetectedError):
                return await self._run_once(batch)
        return await self._run_once(batch)

    async def _run_once(self, batch: Sequence[_Asked[A, R]]) -> Sequence[R]:
        async with self._pool.acquire() as connection:
            return await self._statement(connection, [asked.about for asked in batch])

    async def _serve(self, batch: Sequence[_Asked[A, R]]) -> None:
        try:
            results = await self._results(batch)
        except asyncio.CancelledError:
            for asked in batch:
                asked.done.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - each caller answers for it
            if len(batch) > 1 and is_defect(error):
                # What the database refuses of one must not take the others with it.
                for asked in batch:
                    await self._serve([asked])
                return
            for asked in batch:
                if not asked.done.done():
                    asked.done.set_exception(error)
            return
        for asked, result in zip(batch, results, strict=True):
            if not asked.done.done():
                asked.done.set_result(result)
