"""How far the chain is, as enough endpoints say: a slot beyond that is not believed, whoever names it.

A slot that one answer names may be kept for good, as the place up to which something is proven or recorded. So each is
held against the newest finalized slot that as many endpoints have reached as have to agree.
"""

from typing import Final

from chain.asking import ask_each
from chain.decode.wire import Slot
from chain.rpc import Endpoint, RpcPool

_AHEAD_SLOTS_MAX: Final = 32
_IMPOSSIBLE_SLOTS: Final = 150


class ReachedSlots:
    """The newest slot, finalized or at another commitment, that enough endpoints have reached, as they last said."""

    def __init__(self, pool: RpcPool, commitment: str = "finalized") -> None:
        self._pool = pool
        self._commitment = commitment
        self._reached = -1

    async def newest(self) -> int | None:
        """Ask every endpoint: the newest that enough of them have reached; `None` where too few answer."""

        async def ask(endpoint: Endpoint) -> int:
            params = [{"commitment": self._commitment}]
            slot: int = await self._pool.call("getSlot", params, Slot, attempts=2, at=endpoint)
            return slot

        enough = self._pool.agreeing_min
        slots, _ = await ask_each(self._pool, ask, enough=enough)
        if len(slots) < enough:
            return None
        self._reached = sorted(slots, reverse=True)[enough - 1]
        return self._reached

    async def is_reached(self, slot: int) -> bool | None:
        """Whether `slot` is one that enough endpoints have reached, or will in a moment.

        Nodes are asked only for what is newer than what they said last. `None` where too few answer.
        """
        if slot <= self._reached + _AHEAD_SLOTS_MAX:
            return True
        reached = await self.newest()
        return None if reached is None else slot <= reached + _AHEAD_SLOTS_MAX


def first_impossible(reached: int) -> int:
    """The first slot that nothing can be about yet where enough endpoints have reached `reached`.

    It leaves room for what a node that was ahead of the others has rightly said.
    """
    return reached + _IMPOSSIBLE_SLOTS
