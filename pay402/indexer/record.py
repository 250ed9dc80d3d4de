"""Write observations into the ledger, many at a time, each exactly once however often it comes."""

import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import msgspec
import structlog

from pay402.indexer.metrics import IndexerMetrics
from pay402.indexer.watchlist import Entry
from pay402.ledger.observation import BalanceChange, Movement, Observation

_log = structlog.get_logger(__name__)

# Failures of the database, not of what we asked of it: the same write will succeed later.
_DATABASE_AWAY: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # see DATABASE_AWAY
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    OSError,
    TimeoutError,
)


_ACQUIRE_SECONDS: Final = 10.0
_MAX_WAIT_SECONDS: Final = 0.01

# Planning the statement costs more than running it, so it is planned once, maybe on empty tables. Whatever the
# tables hold then or later, the right plan is the same: each row of a batch by its primary key.
_PLAN_ONCE: Final = """
    SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off;
    SET enable_bitmapscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
"""


class UnrecordableError(Exception):
    """The database refused one transaction's rows; the account's cursor must not move past it."""


@dataclass(slots=True)
class _Waiting:
    entry: Entry
    done: asyncio.Future[None]


class Recorder:
    """Groups what arrives into batches; each batch is one statement and one durable commit."""

    def __init__(self, pool: asyncpg.Pool, queries: Any, metrics: IndexerMetrics, batch_size: int) -> None:
        self._pool = pool
        self._queries = queries
        self._metrics = metrics
        self._batch_size = batch_size
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(maxsize=batch_size * 4)
        self._connection: Any = None
        self._coming = 0
        self._all_came = asyncio.Event()
        self._write_seconds = 0.0

    @contextlib.contextmanager
    def coming(self) -> Iterator[None]:
        """While a transaction is being fetched: a batch that is about to be written may wait for it a moment."""
        self._coming += 1
        self._all_came.clear()
        try:
            yield
        finally:
            self._coming -= 1
            if not self._coming:
                self._all_came.set()

    async def hand_over(self, entry: Entry) -> "asyncio.Future[None]":
        """Take `entry` as soon as there is room for it.

        Returns:
            Done when it is durably in the ledger; fails with UnrecordableError when the database will never take it.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._queue.put(_Waiting(entry, done))
        return done

    async def run(self) -> None:
        """Write batches until cancelled."""
        try:
            while True:
                batch = [await self._queue.get()]
                await self._wait_for_more()
                while len(batch) < self._batch_size and not self._queue.empty():
                    batch.append(self._queue.get_nowait())
                try:
                    await self._write(batch)
                finally:
                    for waiting in batch:
                        if not waiting.done.done():
                            waiting.done.cancel()
        finally:
            await self._let_go()

    async def _wait_for_more(self) -> None:
        """Wait for those that are nearly here, where they are most, at most half as long as the last write took.

        Payments come in bursts, all of a slot at once. If the first were written alone, the others would wait for
        its commit and then for their own.
        """
        if self._coming > self._queue.qsize():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(self._write_seconds / 2, _MAX_WAIT_SECONDS)):
                    await self._all_came.wait()

    async def warm_up(self) -> None:
        """Plan the statement before the first payment waits for it."""
        await self._write_once([])

    async def _held(self) -> Any:
        """The one connection that writes: taking a new one from the pool costs a round trip each time."""
        if self._connection is None:
            self._connection = connection = await self._pool.acquire(timeout=_ACQUIRE_SECONDS)
            await connection.execute(_PLAN_ONCE)
        return self._connection

    async def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # One that broke may be the pool's again already; what matters is that it is not ours any more.
            with contextlib.suppress(*_DATABASE_AWAY):
                await self._pool.release(connection, timeout=_ACQUIRE_SECONDS)

    async def _write(self, batch: list[_Waiting]) -> None:
        pause_seconds = 0.1
        while True:
            try:
                await self._write_once([waiting.entry for waiting in batch])
            except _DATABASE_AWAY as error:
                self._metrics.database_retries.inc()
                await self._let_go()
                _log.warning("database_away", error=str(error) or type(error).__name__, rows_waiting=len(batch))
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(pause_seconds * 2, 5.0)
            except (asyncpg.PostgresError, ValueError, OverflowError) as error:
                await self._isolate(batch, error)
                return
            else:
                for waiting in batch:
                    if not waiting.done.done():
                        waiting.done.set_result(None)
                return

    async def _isolate(self, batch: list[_Waiting], error: Exception) -> None:
        """One transaction that the database refuses must not take the others with it."""
        if len(batch) > 1:
            for waiting in batch:
                await self._write([waiting])
            return
        self._metrics.unrecordable.inc()
        signature = batch[0].entry.observation.signature
        _log.error("unrecordable", signature=signature, error=str(error))
        if not batch[0].done.done():
            batch[0].done.set_exception(UnrecordableError(f"{signature}: {error}"))

    async def _write_once(self, entries: Sequence[Entry]) -> None:
        # Within one statement a row can be written once only: of the same transaction the last word counts.
        unique = list({entry.observation.signature: entry for entry in entries}.values())
        started = time.monotonic()
        counts = await self._queries.record_batch(await self._held(), **_columns(unique))
        self._write_seconds = time.monotonic() - started
        self._metrics.transfers.inc(counts["new_transfers"])
        self._metrics.landed_again.inc(counts["landed_again"])
        self._metrics.unexplained.inc(sum(len(entry.observation.unexplained) for entry in unique))


def _columns(entries: Sequence[Entry]) -> dict[str, list[Any]]:
    """The batch as one array per column."""
    moves: list[tuple[Observation, Movement]] = [(e.observation, m) for e in entries for m in e.movements]
    now = time.monotonic()
    changes: list[tuple[Observation, BalanceChange, int]] = [
        (e.observation, change, unexplained) for e in entries for change, unexplained in e.changes
    ]
    opened = [(e.observation, account) for e in entries for account in e.opened]
    return {
        "signatures": [e.observation.signature for e in entries],
        "slots": [e.observation.slot for e in entries],
        "transfer_signature": [o.signature for o, _ in moves],
        "path": [m.path for _, m in moves],
        "transfer_slot": [o.slot for o, _ in moves],
        "transfer_time": [_time(o) for o, _ in moves],
        # As an age, so that the database's clock alone says what was early and what was late.
        "notified_seconds_ago": [
            None if e.notified_at is None else now - e.notified_at for e in entries for _ in e.movements
        ],
        "kind": [m.kind.value for _, m in moves],
        "program": [m.program for _, m in moves],
        "transfer_mint": [m.mint for _, m in moves],
        "source": [m.source for _, m in moves],
        "destination": [m.destination for _, m in moves],
        "source_owner": [m.source_owner for _, m in moves],
        "destination_owner": [m.destination_owner for _, m in moves],
        "authority": [m.authority for _, m in moves],
        "amount": [m.amount for _, m in moves],
        "fee": [m.fee for _, m in moves],
        "reference_keys": [" ".join(m.references) for _, m in moves],
        "memos": [_memos(o) for o, _ in moves],
        "change_signature": [o.signature for o, _, _ in changes],
        "account": [c.account for _, c, _ in changes],
        "change_slot": [o.slot for o, _, _ in changes],
        "change_time": [_time(o) for o, _, _ in changes],
        "owner": [c.owner for _, c, _ in changes],
        "change_mint": [c.mint for _, c, _ in changes],
        "change_program": [c.program for _, c, _ in changes],
        "decimals": [c.decimals for _, c, _ in changes],
        "pre": [c.pre for _, c, _ in changes],
        "post": [c.post for _, c, _ in changes],
        "unexplained": [unexplained for _, _, unexplained in changes],
        "existed": [c.existed for _, c, _ in changes],
        "exists_after": [c.exists for _, c, _ in changes],
        "opened_address": [a.address for _, a in opened],
        "opened_recipient": [a.wallet for _, a in opened],
        "opened_mint": [a.mint for _, a in opened],
        "opened_program": [a.program for _, a in opened],
        "opened_slot": [o.slot for o, _ in opened],
    }


def _time(observation: Observation) -> dt.datetime | None:
    seconds = observation.block_time_seconds
    return None if seconds is None else dt.datetime.fromtimestamp(seconds, dt.UTC)


def _memos(observation: Observation) -> str:
    """The memos as a JSON array. Postgres text holds every character but NUL."""
    return msgspec.json.encode([memo.replace("\0", "\N{REPLACEMENT CHARACTER}") for memo in observation.memos]).decode()
