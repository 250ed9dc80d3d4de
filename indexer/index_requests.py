"""Works off what other processes ask of the indexers through the database: transactions at once, and backfills."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final
from uuid import UUID

import structlog

from chain.rpc import RpcError
from indexer.backfill import BackfillRefusedError, BackfillSummary, backfill_accounts, backfill_signatures
from indexer.context import IndexerContext
from indexer.history import IncompleteHistoryError
from indexer.pipeline import FetchFailedError
from ledger import index_requests as requests
from ledger.index_requests import Stretch
from runtime.database_errors import is_defect
from runtime.passes import repeat

_log = structlog.get_logger(__name__)

INDEX_LOOP: Final = "index_requests"
BACKFILL_LOOP: Final = "backfill"
_PER_PASS_MAX: Final = 256  # the statuses that one call answers
_TRIES_MAX: Final = 12
_DEAD_SECONDS: Final = 30.0
_PROGRESS_SECONDS: Final = 1.0


class IndexRequests:
    """Any number of indexers may work at once: each request is taken by one."""

    def __init__(self, context: IndexerContext) -> None:
        self._context = context
        self._database = context.database
        # One for each loop: a loop that is at work must not miss what the other has already gone to look at.
        self._index_woken, self._backfill_woken = asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for loop, work, woken in (
                (INDEX_LOOP, self.index, self._index_woken),
                (BACKFILL_LOOP, self.backfill, self._backfill_woken),
            ):
                passes = repeat(
                    work,
                    "index requests",
                    every_seconds=min(self._context.settings.poll_seconds, _DEAD_SECONDS / 3),
                    troubles=self._context.metrics.troubles,
                    succeeded=partial(self._context.metrics.liveness.succeeded, loop),
                    woken=woken,
                    chain_event="requests_not_worked_off",
                )
                group.create_task(passes)

    def wake(self) -> None:
        """Look at once: there may be a new request."""
        self._index_woken.set()
        self._backfill_woken.set()

    async def index(self) -> bool:
        """Record what was asked for; true when there may be more."""
        taken = await requests.take_index_requests(self._database, _PER_PASS_MAX)
        if not taken:
            return False
        try:
            recorded = await self._record(taken)
        except RpcError:
            raise
        except Exception as error:
            if is_defect(error):
                # What fails for a reason of its own must not be taken for ever.
                for signature in taken:
                    await self._failed(signature, _defect(error))
            raise
        await requests.finish_index_requests(self._database, recorded)
        # Where one transaction was missed there may be others.
        for account in await requests.accounts_touched(self._database, recorded):
            self._context.heal_queue.want(account)
        return len(taken) == _PER_PASS_MAX

    async def _record(self, taken: Sequence[str]) -> list[str]:
        """Record what can be recorded now, which is returned, and note of the rest why not."""
        _, statuses = await self._context.node.signature_statuses(list(taken))
        recorded = []
        for signature, status in zip(taken, statuses, strict=True):
            # Each is waited for with patience: all of them together may take longer than the loop may.
            self._context.metrics.liveness.succeeded(INDEX_LOOP)
            if status is None or status.confirmation_status == "processed":
                await self._failed(signature, "no node knows it yet")
                continue
            try:
                await self._context.pipeline.ensure(None, signature, status.slot)
            except FetchFailedError as error:
                await self._failed(signature, str(error))
            else:
                recorded.append(signature)
        return recorded

    async def _failed(self, signature: str, error: str) -> None:
        await requests.fail_index_request(self._database, signature, error, tries_max=_TRIES_MAX)

    async def backfill(self) -> bool:
        """Work off one backfill; false when there is none. One that meets a defect has failed, for good."""
        taken = await requests.take_backfill(self._database, dead_seconds=_DEAD_SECONDS)
        if taken is None:
            return False
        backfill, stretch = taken
        progress = _Progress(partial(self._context.metrics.liveness.succeeded, BACKFILL_LOOP))
        noting = asyncio.create_task(
            repeat(
                partial(self._note_progress, backfill, progress),
                "progress of a backfill",
                every_seconds=_PROGRESS_SECONDS,
                troubles=self._context.metrics.troubles,
                at_once=False,
            )
        )
        error = None
        try:
            await self._record_stretch(stretch, progress)
        except (BackfillRefusedError, IncompleteHistoryError, RpcError) as failure:
            error = str(failure)
        except Exception as failure:
            if is_defect(failure):
                await requests.finish_backfill(self._database, backfill, _defect(failure), progress.as_json())
            raise
        finally:
            noting.cancel()
        await requests.finish_backfill(self._database, backfill, error, progress.as_json())
        _log.info("backfilled", id=str(backfill), error=error, **progress.as_json())
        return True

    async def _record_stretch(self, stretch: Stretch, progress: "_Progress") -> None:
        if stretch.signature is not None:
            progress.summary = await backfill_signatures(self._context, [stretch.signature])
            return
        watchlist = self._context.watchlist
        wanted = [a for a, wallet in watchlist.accounts.items() if stretch.recipient in {None, wallet}]
        progress.accounts = len(wanted)
        first = stretch.from_slot
        if first is None:
            first = min((watchlist.first_slot(account) for account in wanted), default=0)
        await backfill_accounts(self._context, wanted, first, stretch.to_slot, progress=progress.update)

    async def _note_progress(self, backfill: UUID, progress: "_Progress") -> None:
        """Also the sign of life without which another indexer would begin again."""
        await requests.note_backfill_progress(self._database, backfill, progress.as_json())


def _defect(error: Exception) -> str:
    return f"a defect of pay402 ({type(error).__name__}: {error}); see the indexer's log"


class _Progress:
    """How far a backfill is, for whoever asks."""

    def __init__(self, on_progress: Callable[[], None]) -> None:
        self._on_progress = on_progress
        self.summary = BackfillSummary()
        self.accounts = 0
        self._done = 0
        self._began_at = time.monotonic()

    def update(self, summary: BackfillSummary, done: int) -> None:
        self.summary, self._done = summary, done
        self._on_progress()

    def as_json(self) -> dict[str, Any]:
        seconds = round(time.monotonic() - self._began_at, 3)
        return {**asdict(self.summary), "accounts": self.accounts, "accountsDone": self._done, "seconds": seconds}
