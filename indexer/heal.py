"""Fill an account's gaps: walk its history back to its cursor and record what is missing."""

import asyncio
from typing import Final

import structlog

from chain.backoff import Backoff
from chain.node import Node, SignatureInfo
from chain.reached import ReachedSlots
from chain.rpc import RpcError
from indexer.accounts import Accounts
from indexer.heal_queue import HealQueue
from indexer.history import IncompleteHistoryError, walk
from indexer.metrics import IndexerMetrics
from indexer.pipeline import FetchFailedError, Pipeline
from indexer.watchlist import Watchlist
from runtime.database_errors import DATABASE_ERRORS

_log = structlog.get_logger(__name__)

_FETCHES_PER_WALK_MAX: Final = 16
_REASON_CHARACTERS_MAX: Final = 500
_FAILURES_WITH_A_SLOT_MAX: Final = 2
_EXPECTED: Final = (RpcError, IncompleteHistoryError, FetchFailedError)
_BACKOFF: Final = Backoff(0.5, 30.0)


class Healer:
    """Workers that heal what the queue holds; a failed walk is tried again, ever later."""

    def __init__(
        self,
        node: Node,
        accounts: Accounts,
        watchlist: Watchlist,
        queue: HealQueue,
        pipeline: Pipeline,
        metrics: IndexerMetrics,
        reached: ReachedSlots,
        workers: int,
    ) -> None:
        self._node = node
        self._accounts = accounts
        self._watchlist = watchlist
        self._queue = queue
        self._pipeline = pipeline
        self._metrics = metrics
        self._reached = reached
        self._workers = workers
        self.pages = 0
        """How many pages of history were walked and recorded, since it began."""

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._workers):
                    group.create_task(self._work())
        finally:
            self._queue.close()

    async def _work(self) -> None:
        while True:
            account, min_context_slot, thoroughly = await self._queue.take()
            try:
                await self._attempt(account, min_context_slot, thoroughly=thoroughly)
            finally:
                self._queue.put_down(account)

    async def _attempt(self, account: str, min_context_slot: int, *, thoroughly: bool) -> None:
        try:
            await self._heal(account, min_context_slot, thoroughly=thoroughly)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one account, the others are healed
            failures = self._queue.failures(account)
            self._metrics.heals.labels("failed").inc()
            if isinstance(error, RpcError) and error.is_before_context_slot:
                # Sockets show slots before they are confirmed, and a chain that stands still never confirms the
                # last ones: ask for a little less each time.
                min_context_slot = max(min_context_slot - 4 ** (failures + 1), 0)
            elif failures >= _FAILURES_WITH_A_SLOT_MAX and (
                isinstance(error, IncompleteHistoryError) or (isinstance(error, RpcError) and error.is_refusal)
            ):
                # A node may say that it has not reached the slot with a code of its own, not know the parameter, or
                # take it for a filter on the lines, so that a history seems to end.
                min_context_slot = 0
            retry_seconds = _BACKOFF.after(failures)
            if not isinstance(error, (*DATABASE_ERRORS, *_EXPECTED)):
                again_seconds = self._metrics.troubles.note_defect("healing", error, account=account)
                retry_seconds = max(retry_seconds, again_seconds)
            elif isinstance(error, DATABASE_ERRORS):
                again_seconds = self._metrics.troubles.note("healing", error, account=account)
                retry_seconds = max(retry_seconds, again_seconds)
            else:
                _log.warning("heal_failed", account=account, error=str(error), failures=failures + 1)
            self._queue.failed(account, min_context_slot=min_context_slot, retry_seconds=retry_seconds)
            try:
                await self._accounts.heal_wanted(account, str(error)[:_REASON_CHARACTERS_MAX])
            except DATABASE_ERRORS as not_stored:
                self._metrics.troubles.note("healing", not_stored, account=account)
        else:
            self._queue.done(account)
            self._metrics.heals.labels("complete").inc()

    async def _heal(self, account: str, min_context_slot: int, *, thoroughly: bool) -> None:
        cursor = await self._accounts.cursor(account)
        newest_final: SignatureInfo | None = None
        is_empty = True
        async for page in walk(self._node, account, cursor.lower_slot, cursor.must_see, min_context_slot or None):
            is_empty = False
            newest_final = newest_final or next((i for i in page if i.confirmation_status == "finalized"), None)
            missing = await self.missing(account, page, thoroughly=thoroughly)
            for failure in await self.record(account, missing, anew=thoroughly):
                raise failure
            self._metrics.healed.inc(len(missing))
            self.pages += 1
        if is_empty and not self._watchlist.is_wallet(account):
            await self._refuse_emptiness(account, cursor.lower_slot)
        if newest_final is not None and await self._reached.is_reached(newest_final.slot) is False:
            # From a slot that too few have reached nothing may be left out of a later walk.
            _log.warning("history_slot_refused", account=account, slot=newest_final.slot)
            newest_final = None
        await self._accounts.healed(account, lower_slot=cursor.lower_slot, newest_final=newest_final)

    async def _refuse_emptiness(self, account: str, lower_slot: int) -> None:
        """A token account that exists was opened once: only a node that has pruned that may show nothing.

        Raises:
            IncompleteHistoryError: The node should show more.
        """
        _, state = await self._node.account(account)
        if state is None or not state.lamports:
            return
        first = await self._node.first_available_block()
        if first <= 1 or lower_slot < first:
            raise IncompleteHistoryError(f"the node shows no history of {account}, which exists")

    async def missing(
        self, account: str, page: list[SignatureInfo], *, thoroughly: bool = False
    ) -> list[SignatureInfo]:
        """The lines of `page` that matter for `account` and are not recorded."""
        # A failed transaction moves no tokens. It may cost its payer lamports, which only a wallet's own
        # account shows.
        relevant = [info for info in page if info.err is None or self._watchlist.is_wallet(account)]
        recorded = await self._accounts.recorded(account, relevant, final_only=thoroughly)
        return [info for info in relevant if info.signature not in recorded]

    async def record(self, account: str, missing: list[SignatureInfo], *, anew: bool = False) -> list[FetchFailedError]:
        """Record oldest first, a bounded number at once, `anew` what is recorded already; returns what failed."""
        gate = asyncio.Semaphore(_FETCHES_PER_WALK_MAX)

        async def one(info: SignatureInfo) -> None:
            async with gate:
                await self._pipeline.ensure(account, info.signature, info.slot, anew=anew)

        results = await asyncio.gather(*map(one, reversed(missing)), return_exceptions=True)
        failures = []
        for result in results:
            if isinstance(result, FetchFailedError):
                failures.append(result)
            elif isinstance(result, BaseException):
                raise result
        return failures
