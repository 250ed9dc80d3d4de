"""Write observations into the ledger, many at a time, each exactly once however often it comes."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Final

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy
from msgspec import Struct

from chain.backoff import Backoff
from indexer.metrics import IndexerMetrics
from indexer.rows import Rows, array_of, rows_of
from indexer.watchlist import Entry
from ledger.sql import load_queries
from runtime.database_connection import at_the_database
from runtime.database_errors import DATABASE_ERRORS, is_defect

_log = structlog.get_logger(__name__)

_queries = load_queries("indexer", "record.sql")

_WRITERS: Final = 2
_PART_FOR_A_SECOND_WRITER: Final = 4  # a quarter of a batch
_ACQUIRE_SECONDS: Final = 10.0
_WAIT_MAX_SECONDS: Final = 0.01
_BACKOFF: Final = Backoff(0.1, 5.0)

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


class _Waiting(Struct):
    rows: Rows
    done: asyncio.Future[None]


class _Coming:
    """How many transactions are being fetched, as a context that any number may be in at once."""

    def __init__(self) -> None:
        self.count = 0
        self.all_came = asyncio.Event()

    def __enter__(self) -> None:
        self.count += 1
        self.all_came.clear()

    def __exit__(self, *_: object) -> None:
        self.count -= 1
        if not self.count:
            self.all_came.set()


class _HeldConnection:
    """A connection that stays with its writer: taking one from the pool costs a round trip each time."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._connection: PoolConnectionProxy[asyncpg.Record] | None = None

    async def get(self) -> "PoolConnectionProxy[asyncpg.Record]":
        if self._connection is None:
            with at_the_database():
                self._connection = connection = await self._pool.acquire(timeout=_ACQUIRE_SECONDS)
            await connection.execute(_PLAN_ONCE)
        return self._connection

    async def let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # One that broke may be the pool's again already; what matters is that it is not ours any more.
            with contextlib.suppress(*DATABASE_ERRORS):
                await self._pool.release(connection, timeout=_ACQUIRE_SECONDS)


class Recorder:
    """Groups what arrives into batches; each batch is one statement and one durable commit.

    A second writer helps where the first is busy and many wait for it; never with a transaction that the
    first is writing: of what is reported twice the last report counts.
    """

    def __init__(
        self,
        database: asyncpg.Pool,
        metrics: IndexerMetrics,
        batch_size: int,
        *,
        to_witness: asyncio.Event | None = None,
    ) -> None:
        """`to_witness` is set when something was recorded that awaits a witness; without it, nothing does."""
        self._held = [_HeldConnection(database) for _ in range(_WRITERS)]
        self._metrics = metrics
        self._batch_size = batch_size
        self._to_witness = to_witness
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(maxsize=batch_size * 4)
        self._turn = asyncio.Lock()
        self._being_written: set[str] = set()
        self._nobody_writes = asyncio.Event()
        self._worth_writing = asyncio.Event()
        self.coming = _Coming()
        """Entered while a transaction is fetched: a batch that is about to be written may wait for it a moment."""
        self._write_seconds = 0.0

    async def hand_over(self, entry: Entry) -> "asyncio.Future[None]":
        """Take `entry` as soon as there is room for it.

        Returns:
            Done when it is durably in the ledger; fails with UnrecordableError when the database will never take it.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Encoded here, while the batch before is being written: the database waits for nothing but the batch.
        await self._queue.put(_Waiting(rows_of(entry), done))
        self._consider()
        return done

    async def run(self) -> None:
        """Write batches until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for held in self._held:
                    group.create_task(self._write_batches(held))
        finally:
            for held in self._held:
                await held.let_go()

    async def _write_batches(self, held: _HeldConnection) -> None:
        while True:
            batch: list[_Waiting] = []
            try:
                async with self._turn:
                    await self._fill(batch)
                    signatures = {waiting.rows.signature for waiting in batch}
                    if not self._being_written.isdisjoint(signatures):
                        await self._nobody_writes.wait()
                    self._being_written |= signatures
                    self._consider()
                try:
                    await self._write(held, batch)
                finally:
                    self._being_written -= signatures
                    self._consider()
            finally:
                for waiting in batch:
                    if not waiting.done.done():
                        waiting.done.cancel()

    async def _fill(self, batch: list[_Waiting]) -> None:
        batch.append(await self._queue.get())
        self._consider()
        await self._worth_writing.wait()
        await self._wait_for_more()
        while len(batch) < self._batch_size and not self._queue.empty():
            batch.append(self._queue.get_nowait())

    def _consider(self) -> None:
        """Let a batch be written when nobody writes, when many wait, or when no more are coming to share its commit."""
        if not self._being_written:
            self._nobody_writes.set()
            self._worth_writing.set()
            return
        self._nobody_writes.clear()
        if self._queue.qsize() >= self._batch_size // _PART_FOR_A_SECOND_WRITER or not self.coming.count:
            self._worth_writing.set()
        else:
            self._worth_writing.clear()

    async def _wait_for_more(self) -> None:
        """Wait for transactions under way if they outnumber those waiting here, half as long as the last write at most.

        Payments come in bursts, all of a slot at once. If the first were written alone, the others would wait for
        its commit and then for their own.
        """
        if self.coming.count > self._queue.qsize():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(self._write_seconds / 2, _WAIT_MAX_SECONDS)):
                    await self.coming.all_came.wait()

    async def warm_up(self) -> None:
        """Plan the statement before the first payment waits for it."""
        for held in self._held:
            await self._write_once(held, ())

    async def _write(self, held: _HeldConnection, batch: list[_Waiting]) -> None:
        pauses = iter(_BACKOFF)
        while True:
            try:
                await self._write_once(held, batch)
            except (*DATABASE_ERRORS, ValueError, OverflowError) as error:
                if is_defect(error):
                    await self._isolate(held, batch, error)
                    return
                # The same write will succeed later: nothing of it is given up.
                self._metrics.database_retries.inc()
                await held.let_go()
                self._metrics.troubles.note("recording", error, rows_waiting=len(batch))
                await asyncio.sleep(next(pauses))
            else:
                for waiting in batch:
                    if not waiting.done.done():
                        waiting.done.set_result(None)
                return

    async def _isolate(self, held: _HeldConnection, batch: list[_Waiting], error: Exception) -> None:
        """One transaction that the database refuses must not take the others with it."""
        if len(batch) > 1:
            for waiting in batch:
                await self._write(held, [waiting])
            return
        self._metrics.unrecordable.inc()
        signature = batch[0].rows.signature
        _log.error("unrecordable", signature=signature, error=str(error))
        self._metrics.troubles.note("recording", error)
        if not batch[0].done.done():
            batch[0].done.set_exception(UnrecordableError(f"{signature}: {error}"))

    async def _write_once(self, held: _HeldConnection, batch: Sequence[_Waiting]) -> None:
        # Within one statement a row can be written once only: of the same transaction the last report counts.
        unique = {waiting.rows.signature: waiting for waiting in batch}.values()
        connection = await held.get()
        started = time.monotonic()
        counts = await _queries.record_batch(
            connection,
            landed=array_of([waiting.rows.landed for waiting in unique]),
            moved=array_of([waiting.rows.moved for waiting in unique]),
            changed=array_of([waiting.rows.changed for waiting in unique]),
            opened=array_of([waiting.rows.opened for waiting in unique]),
            now=started,
            needs_witness=self._to_witness is not None,
        )
        self._write_seconds = time.monotonic() - started
        if self._to_witness is not None:
            self._to_witness.set()
        self._metrics.transfers.inc(counts["new_transfers"])
        self._metrics.landed_again.inc(counts["landed_again"])
        self._metrics.unexplained.inc(sum(waiting.rows.unexplained for waiting in unique))
