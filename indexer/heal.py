"""Fill an account's gaps: walk its history back to its cursor and record what is missing.

A node's history can end early for reasons that look alike: the real beginning, a node that does not know the
`before` it was given, one that pruned, a page cut short. So every page overlaps the one before it by at least
one transaction. An end counts only when a page repeats the last line and tells no more, when what is older than that
line is asked for by itself and is nothing, and when neither contradicts the ledger: the first alone may have been cut
short, the second alone may come from a node that does not know the line. The lower bound is a slot, never an `until`,
which an unsure node would ignore.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg
import structlog

from chain.node import Node, SignatureInfo
from chain.rpc import RpcError
from indexer.metrics import IndexerMetrics
from indexer.pipeline import FetchFailedError, Pipeline
from indexer.watchlist import Watchlist
from runtime.database_errors import DATABASE_ERRORS

_log = structlog.get_logger(__name__)

_FETCHES_PER_WALK: Final = 16
_CONFIRMATIONS_OF_THE_END: Final = 2
_CONTEXT_SLOT_NOT_REACHED: Final = -32016
_REFUSALS_OF_A_SLOT: Final = 2
_RETRY_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class IncompleteHistoryError(Exception):
    """A node's answers do not show the account's history down to its cursor."""


async def walk(
    node: Node, account: str, lower_slot: int, must_see: str | None, min_context_slot: int | None
) -> AsyncIterator[list[SignatureInfo]]:
    """Pages of an account's history, newest first, down to and including `lower_slot`; each line once.

    Args:
        node: Where to ask.
        account: Whose history.
        lower_slot: Where to stop; every page may reach below it.
        must_see: A transaction known to be in the history at `lower_slot`; an end before it is no end.
        min_context_slot: The node must have seen this slot.

    Raises:
        IncompleteHistoryError: The answers contradict each other or the ledger.
        RpcError: The nodes failed to answer.
    """
    seen: set[str] = set()
    last: SignatureInfo | None = None
    before: str | None = None
    page = await node.signatures(account, min_context_slot=min_context_slot)
    ends = 0
    while True:
        new = [info for info in page if info.signature not in seen]
        if new:
            ends = 0
            seen.update(info.signature for info in new)
            yield [info for info in new if info.slot >= lower_slot]
            # A page of one line is repeated by asking for it again.
            last, before = new[-1], _overlapping_before(page, new) or before
            if last.slot < lower_slot:
                return
        else:
            ends += 1
            if ends >= _CONFIRMATIONS_OF_THE_END:
                break
        beyond = last if ends else None
        if beyond is not None:
            before = beyond.signature
        page = await node.signatures(account, before=before, min_context_slot=min_context_slot)
        if beyond is None and last is not None and all(info.signature != last.signature for info in page):
            raise IncompleteHistoryError(f"the node does not know the history of {account} before {before}")
        if beyond is not None and page and all(info.signature in seen for info in page):
            raise IncompleteHistoryError(f"the nodes order the history of {account} before {before} differently")
    if must_see is not None and must_see not in seen:
        raise IncompleteHistoryError(f"the node's history of {account} ends before {must_see}, which is recorded")


def _overlapping_before(page: list[SignatureInfo], new: list[SignatureInfo]) -> str | None:
    """Where the next page starts so that it repeats the last line of this one.

    The order inside one slot may differ between nodes: start before the last line's slot where possible.
    """
    last = new[-1]
    earlier = [info for info in page if info.slot > last.slot]
    if earlier:
        return earlier[-1].signature
    index = page.index(last)
    return page[index - 1].signature if index else None


class Healer:
    """A set of accounts to heal, and workers that heal them; a failed walk is tried again, ever later."""

    def __init__(
        self,
        node: Node,
        pool: asyncpg.Pool,
        queries: Any,
        watchlist: Watchlist,
        pipeline: Pipeline,
        metrics: IndexerMetrics,
        workers: int,
    ) -> None:
        self._node = node
        self._pool = pool
        self._queries = queries
        self._watchlist = watchlist
        self._pipeline = pipeline
        self._metrics = metrics
        self._workers = workers
        self._wanted: OrderedDict[str, int] = OrderedDict()
        self._failures: dict[str, int] = {}
        self._busy: set[str] = set()
        self._thoroughly: set[str] = set()
        self._more = asyncio.Event()
        self._later: set[asyncio.TimerHandle] = set()

    def want(self, account: str, *, min_context_slot: int = 0, thoroughly: bool = False) -> None:
        """Heal `account` soon, asking only nodes that have seen `min_context_slot`.

        `thoroughly` fetches again what is recorded but not final: it may stand as another fork had it.
        """
        if account not in self._watchlist.accounts:
            return
        if thoroughly:
            self._thoroughly.add(account)
        self._wanted[account] = max(min_context_slot, self._wanted.get(account, 0))
        self._metrics.heal_queue.set(len(self._wanted))
        self._more.set()

    def is_open(self, account: str) -> bool:
        """True while `account` waits to be healed or is being healed."""
        return account in self._wanted or account in self._busy or account in self._failures

    @property
    def is_idle(self) -> bool:
        """True when no account waits and none is being healed."""
        return not (self._wanted or self._busy or self._later)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._workers):
                    group.create_task(self._work())
        finally:
            for handle in self._later:
                handle.cancel()

    async def _work(self) -> None:
        while True:
            account = next((a for a in self._wanted if a not in self._busy), None)
            if account is None:
                self._more.clear()
                await self._more.wait()
                continue
            min_context_slot = self._wanted.pop(account)
            self._metrics.heal_queue.set(len(self._wanted))
            self._busy.add(account)
            try:
                await self._attempt(account, min_context_slot)
            finally:
                self._busy.discard(account)
                self._more.set()

    async def _attempt(self, account: str, min_context_slot: int) -> None:
        try:
            await self._heal(account, min_context_slot)
        except (RpcError, IncompleteHistoryError, FetchFailedError, *DATABASE_ERRORS) as error:
            failures = self._failures.get(account, 0)
            self._failures[account] = failures + 1
            self._metrics.heals.labels("failed").inc()
            if isinstance(error, RpcError) and error.code == _CONTEXT_SLOT_NOT_REACHED:
                # Sockets show slots before they are confirmed, and a chain that stands still never confirms the
                # last ones: ask for a little less each time.
                min_context_slot = max(min_context_slot - 4 ** (failures + 1), 0)
            elif isinstance(error, RpcError) and error.is_refusal and failures >= _REFUSALS_OF_A_SLOT:
                # A node may say that it has not reached the slot with a code of its own, or not know the parameter.
                min_context_slot = 0
            pause_seconds = _RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)]
            if isinstance(error, DATABASE_ERRORS):
                again_seconds = self._metrics.troubles.note("healing", error, account=account)
                pause_seconds = max(pause_seconds, again_seconds)
            else:
                _log.warning("heal_failed", account=account, error=str(error), failures=failures + 1)
            self._want_later(account, min_context_slot, pause_seconds)
            try:
                await self._queries.heal_wanted(self._pool, account=account, reason=str(error)[:500])
            except DATABASE_ERRORS as not_stored:
                self._metrics.troubles.note("healing", not_stored, account=account)
        else:
            self._failures.pop(account, None)
            self._thoroughly.discard(account)
            self._metrics.heals.labels("complete").inc()

    def _want_later(self, account: str, min_context_slot: int, seconds: float) -> None:
        def due() -> None:
            self._later.discard(handle)
            self.want(account, min_context_slot=min_context_slot)

        handle = asyncio.get_running_loop().call_later(seconds, due)
        self._later.add(handle)

    async def _heal(self, account: str, min_context_slot: int) -> None:
        row = await self._queries.cursor(self._pool, account=account)
        lower_slot, must_see = (row["lower_slot"], row["must_see"]) if row else (0, None)
        thoroughly = account in self._thoroughly
        newest: SignatureInfo | None = None
        async for page in walk(self._node, account, lower_slot, must_see, min_context_slot or None):
            newest = newest or next((i for i in page if i.confirmation_status == "finalized"), None)
            missing = await self.missing(account, page, thoroughly=thoroughly)
            for failure in await self.record(account, missing):
                raise failure
            self._metrics.healed.inc(len(missing))
        await self._queries.healed(
            self._pool,
            account=account,
            lower_slot=lower_slot,
            slot=newest.slot if newest else 0,
            signature=newest.signature if newest else None,
        )

    async def missing(
        self, account: str, page: list[SignatureInfo], *, thoroughly: bool = False
    ) -> list[SignatureInfo]:
        """The lines of `page` that matter for `account` and are not recorded."""
        # A failed transaction moves no tokens. It may cost its payer lamports, which only a wallet's own
        # account shows.
        relevant = [info for info in page if info.err is None or self._watchlist.is_wallet(account)]
        rows = self._queries.recorded(
            self._pool,
            account=account,
            signatures=[info.signature for info in relevant],
            slots=[info.slot for info in relevant],
            final_only=thoroughly,
        )
        recorded = {row["signature"] async for row in rows}
        return [info for info in relevant if info.signature not in recorded]

    async def record(self, account: str, missing: list[SignatureInfo]) -> list[FetchFailedError]:
        """Record oldest first, a bounded number at once; returns what failed."""
        gate = asyncio.Semaphore(_FETCHES_PER_WALK)

        async def one(info: SignatureInfo) -> None:
            async with gate:
                await self._pipeline.ensure(account, info.signature, info.slot)

        results = await asyncio.gather(*map(one, reversed(missing)), return_exceptions=True)
        failures = []
        for result in results:
            if isinstance(result, FetchFailedError):
                failures.append(result)
            elif isinstance(result, BaseException):
                raise result
        return failures
