"""Write observations into the ledger, many at a time, each exactly once however often it comes."""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import msgspec
import structlog

from pay402.indexer.metrics import IndexerMetrics
from pay402.indexer.watchlist import Entry

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
    rows: "_Rows"
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
        # Encoded while the batch before is being written: what the database waits for is spent twice.
        await self._queue.put(_Waiting(entry, _rows(entry), done))
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
        await self._write_once(())

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
                await self._write_once(batch)
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

    async def _write_once(self, batch: Sequence[_Waiting]) -> None:
        # Within one statement a row can be written once only: of the same transaction the last word counts.
        unique = {waiting.entry.observation.signature: waiting for waiting in batch}.values()
        started = time.monotonic()
        counts = await self._queries.record_batch(
            await self._held(),
            landed=[waiting.rows.landed for waiting in unique],
            moved=[row for waiting in unique for row in waiting.rows.moved],
            changed=[row for waiting in unique for row in waiting.rows.changed],
            opened=[row for waiting in unique for row in waiting.rows.opened],
            now=started,
        )
        self._write_seconds = time.monotonic() - started
        self._metrics.transfers.inc(counts["new_transfers"])
        self._metrics.landed_again.inc(counts["landed_again"])
        self._metrics.unexplained.inc(sum(len(waiting.entry.observation.unexplained) for waiting in unique))


class _Rows(msgspec.Struct, frozen=True, gc=False):
    """What one transaction writes: JSON objects by the columns of `record_batch`, much cheaper than arrays."""

    landed: msgspec.Raw
    moved: list[msgspec.Raw]
    changed: list[msgspec.Raw]
    opened: list[msgspec.Raw]


def _rows(entry: Entry) -> _Rows:
    observation = entry.observation
    signature, slot, block_seconds = observation.signature, observation.slot, observation.block_time_seconds
    # Postgres text holds every character but NUL.
    memos = [memo.replace("\0", "\N{REPLACEMENT CHARACTER}") for memo in observation.memos]
    return _Rows(
        landed=_json({"signature": signature, "slot": slot}),
        moved=[
            _json(
                {
                    "signature": signature,
                    "path": movement.path,
                    "slot": slot,
                    "block_seconds": block_seconds,
                    "notified_at": entry.notified_at,
                    "kind": movement.kind,
                    "program": movement.program,
                    "mint": movement.mint,
                    "source": movement.source,
                    "destination": movement.destination,
                    "source_owner": movement.source_owner,
                    "destination_owner": movement.destination_owner,
                    "authority": movement.authority,
                    "amount": movement.amount,
                    "fee": movement.fee,
                    "reference_keys": movement.references,
                    "memos": memos,
                }
            )
            for movement in entry.movements
        ],
        changed=[
            _json(
                {
                    "signature": signature,
                    "account": change.account,
                    "slot": slot,
                    "block_seconds": block_seconds,
                    "owner": change.owner,
                    "mint": change.mint,
                    "program": change.program,
                    "decimals": change.decimals,
                    "pre": change.pre,
                    "post": change.post,
                    "unexplained": unexplained,
                    "existed": change.existed,
                    "exists_after": change.exists,
                }
            )
            for change, unexplained in entry.changes
        ],
        opened=[
            _json(
                {
                    "address": account.address,
                    "recipient": account.wallet,
                    "mint": account.mint,
                    "program": account.program,
                    "opened_slot": slot,
                }
            )
            for account in entry.opened
        ],
    )


def _json(row: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(row))
