"""Reads of the ledger for payments that are verified at once: one statement for all that wait meanwhile."""

import asyncio
from collections import deque
from dataclasses import dataclass

import asyncpg

from api.http.errors import busy
from ledger.payment_standings import PAYMENTS_MAX, PaymentStanding, payment_standings


@dataclass(slots=True, eq=False)
class _Asked:
    wallet: str
    message_hash: bytes
    done: asyncio.Future[PaymentStanding]


class StandingReads:
    """Reads the standing of payments, many by one statement; `waiting_max` may wait, any more are refused at once."""

    def __init__(self, pool: asyncpg.Pool, *, waiting_max: int) -> None:
        self._pool = pool
        self._waiting_max = waiting_max
        self._queue: deque[_Asked] = deque()
        self._more = asyncio.Event()

    async def read(self, wallet: str, message_hash: bytes) -> PaymentStanding:
        """The standing of a payment to `wallet` by the message with this SHA-256.

        Raises:
            DATABASE_ERRORS: See `trouble_of` for what each of them means.
            ApiError: 503, too many wait already.
        """
        if len(self._queue) >= self._waiting_max:
            raise busy("payments to verify")
        asked = _Asked(wallet, message_hash, asyncio.get_running_loop().create_future())
        self._queue.append(asked)
        self._more.set()
        return await asked.done

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._more.wait()
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), PAYMENTS_MAX))]
            if not self._queue:
                self._more.clear()
            # Whoever hung up need not be read for.
            await self._serve([asked for asked in batch if not asked.done.done()])

    async def _serve(self, batch: list[_Asked]) -> None:
        try:
            async with self._pool.acquire() as connection:
                found = await payment_standings(connection, [(asked.wallet, asked.message_hash) for asked in batch])
        except asyncio.CancelledError:
            for asked in batch:
                asked.done.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - each caller answers for it
            for asked in batch:
                if not asked.done.done():
                    asked.done.set_exception(error)
            return
        for asked, standing in zip(batch, found, strict=True):
            if not asked.done.done():
                asked.done.set_result(standing)
