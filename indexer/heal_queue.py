"""The accounts whose history has to be walked: asked for by many, worked off by the healer."""

import asyncio
from collections import OrderedDict
from typing import Final

from indexer.metrics import IndexerMetrics
from indexer.watchlist import Watchlist

_EXCUSED_FAILURES_MAX: Final = 3
# One account that cannot be healed is its own fault; so many different ones, or all that there are, and none healed
# between, are ours.
_FAILED_MAX: Final = 3


class HealQueue:
    """Accounts that wait to be healed, that are being healed, and that are tried again later."""

    def __init__(self, watchlist: Watchlist, metrics: IndexerMetrics) -> None:
        self._watchlist = watchlist
        self._metrics = metrics
        self._wanted: OrderedDict[str, int] = OrderedDict()
        self._busy: set[str] = set()
        self._failures: dict[str, int] = {}
        self._failed: set[str] = set()
        self.tries = 0
        """How many tries to heal an account have ended, well or not."""
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
        self._changed()

    def is_open(self, account: str) -> bool:
        """True while `account` waits to be healed or is being healed, and is likely to be whole soon.

        One that fails again and again is not excused: an audit shows what is missing.
        """
        if self.failures(account) >= _EXCUSED_FAILURES_MAX:
            return False
        return account in self._wanted or account in self._busy or account in self._failures

    @property
    def failing(self) -> int:
        """How many accounts could not be healed several times in a row."""
        return sum(count >= _EXCUSED_FAILURES_MAX for count in self._failures.values())

    @property
    def is_failing(self) -> bool:
        """True when three different accounts, or all that are followed, could not be healed since one was."""
        return bool(self._failed) and len(self._failed) >= min(_FAILED_MAX, len(self._watchlist.accounts))

    @property
    def is_idle(self) -> bool:
        """True when no account waits and none is being healed."""
        return not (self._wanted or self._busy or self._later)

    async def take(self) -> tuple[str, int, bool]:
        """The next account, which is being healed until `done` or `failed`.

        Returns:
            The account, the slot that a node must have seen, and whether to fetch again what is not final.
        """
        while (account := next((a for a in self._wanted if a not in self._busy), None)) is None:
            self._more.clear()
            await self._more.wait()
        min_context_slot = self._wanted.pop(account)
        self._busy.add(account)
        self._changed()
        return account, min_context_slot, account in self._thoroughly

    def failures(self, account: str) -> int:
        """How often in a row `account` could not be healed."""
        return self._failures.get(account, 0)

    def done(self, account: str) -> None:
        """The account is whole."""
        self.tries += 1
        self._failed.clear()
        self._failures.pop(account, None)
        self._thoroughly.discard(account)

    def failed(self, account: str, *, min_context_slot: int, retry_seconds: float) -> None:
        """The account is not whole; it is wanted again after a while."""
        self.tries += 1
        if not self.is_failing:
            self._failed.add(account)
        self._failures[account] = self.failures(account) + 1

        def due() -> None:
            self._later.discard(handle)
            self.want(account, min_context_slot=min_context_slot)

        handle = asyncio.get_running_loop().call_later(retry_seconds, due)
        self._later.add(handle)

    def put_down(self, account: str) -> None:
        """Nobody heals `account` any more, however that ended."""
        self._busy.discard(account)
        self._more.set()

    def close(self) -> None:
        """Forget what was to be tried again."""
        for handle in self._later:
            handle.cancel()

    def _changed(self) -> None:
        self._metrics.heal_queue.set(len(self._wanted))
        self._more.set()
