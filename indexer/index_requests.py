"""Works off what other processes ask of the indexers through the database: transactions at once, and backfills."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import structlog

from chain.rpc import RpcError
from indexer.backfill import BackfillRefusedError, BackfillSummary, backfill_accounts, backfill_signatures
from indexer.context import Workbench
from indexer.heal import IncompleteHistoryError
from indexer.pipeline import FetchFailedError
from ledger.sql import load_queries
from runtime.database_errors import DATABASE_ERRORS

_log = structlog.get_logger(__name__)

_PER_PASS: Final = 256  # the statuses that one call tells
_MOST_TRIES: Final = 12
_DEAD_SECONDS: Final = 30.0
_TELL_SECONDS: Final = 1.0


class RequestDesk:
    """Any number of indexers may work at once: each request is taken by one."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._database = bench.database
        self._queries = load_queries("ledger", "index_requests.sql")
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(self.index))
            group.create_task(self._repeat(self.backfill))

    async def _repeat(self, work: Any) -> None:
        while True:
            try:
                while await work():
                    pass
            except RpcError as error:
                _log.warning("requests_not_worked_off", error=str(error))
            except DATABASE_ERRORS as error:
                await asyncio.sleep(self._bench.metrics.troubles.note("index requests", error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(self._bench.settings.poll_seconds, _DEAD_SECONDS / 3)):
                    await self._woken.wait()
            # Both loops wake by one event: it is put down a moment later, so that both have seen it.
            asyncio.get_running_loop().call_soon(self._woken.clear)

    def wake(self) -> None:
        """There may be a new request."""
        self._woken.set()

    async def index(self) -> bool:
        """Record what was asked for; true when there may be more."""
        taken = [r["signature"] async for r in self._queries.take_index_requests(self._database, limit=_PER_PASS)]
        if not taken:
            return False
        _, statuses = await self._bench.node.signature_statuses(taken)
        recorded = []
        for signature, status in zip(taken, statuses, strict=True):
            if status is None or status.confirmation_status == "processed":
                await self._failed(signature, "no node knows it yet")
                continue
            try:
                await self._bench.pipeline.ensure("", signature, status.slot)
            except FetchFailedError as error:
                await self._failed(signature, str(error))
            else:
                recorded.append(signature)
        await self._queries.finish_index_requests(self._database, signatures=recorded, errors=[None] * len(recorded))
        await self._heal(recorded)
        return len(taken) == _PER_PASS

    async def _heal(self, signatures: Sequence[str]) -> None:
        """Where one transaction was missed there may be others."""
        async for row in self._queries.accounts_touched(self._database, signatures=list(signatures)):
            self._bench.healer.want(row["account"])

    async def _failed(self, signature: str, error: str) -> None:
        await self._queries.fail_index_request(self._database, signature=signature, error=error, most_tries=_MOST_TRIES)

    async def backfill(self) -> bool:
        """Work off one backfill; false when there is none."""
        row = await self._queries.take_backfill(self._database, dead_seconds=_DEAD_SECONDS)
        if row is None:
            return False
        progress = _Progress()
        telling = asyncio.create_task(self._keep_telling(row["id"], progress))
        error = None
        try:
            await self._record_stretch(row, progress)
        except (BackfillRefusedError, IncompleteHistoryError, RpcError) as failure:
            error = str(failure)
        finally:
            telling.cancel()
        await self._queries.finish_backfill(self._database, id=row["id"], error=error, progress=progress.as_json())
        _log.info("backfilled", id=str(row["id"]), error=error, **progress.as_json())
        return True

    async def _record_stretch(self, row: Any, progress: "_Progress") -> None:
        if row["signature"] is not None:
            progress.summary = await backfill_signatures(self._bench, [row["signature"]])
            return
        watchlist = self._bench.watchlist
        wanted = [a for a, wallet in watchlist.accounts.items() if row["recipient"] in {None, wallet}]
        progress.accounts = len(wanted)
        first = row["from_slot"]
        if first is None:
            first = min((watchlist.first_slot(account) for account in wanted), default=0)
        await backfill_accounts(self._bench, wanted, first, row["to_slot"], progress=progress.update)

    async def _keep_telling(self, backfill: Any, progress: "_Progress") -> None:
        """Also the sign of life without which another indexer would begin again."""
        while True:
            await asyncio.sleep(_TELL_SECONDS)
            try:
                await self._queries.tell_backfill(self._database, id=backfill, progress=progress.as_json())
            except DATABASE_ERRORS as error:
                await asyncio.sleep(self._bench.metrics.troubles.note("progress of a backfill", error))


class _Progress:
    """How far a backfill is, for whoever asks."""

    def __init__(self) -> None:
        self.summary = BackfillSummary()
        self.accounts = 0
        self._done = 0
        self._began_at = time.monotonic()

    def update(self, summary: BackfillSummary, done: int) -> None:
        self.summary, self._done = summary, done

    def as_json(self) -> dict[str, Any]:
        seconds = round(time.monotonic() - self._began_at, 3)
        return {**asdict(self.summary), "accounts": self.accounts, "accountsDone": self._done, "seconds": seconds}
