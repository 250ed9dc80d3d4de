"""How far the chain is, as enough endpoints say: a slot beyond that is not believed, whoever names it.

A slot that one answer names may be kept for good, as the place up to which something is proven or recorded. So each is
held against the newest finalized slot that as many endpoints have reached as have to agree.
"""

from typing import Final

from chain.asking import ask_each
from chain.decode.wire import Slot
from chain.rpc import Endpoint, RpcPool

_AHEAD_SLOTS_MAX: Final = 32
# A day. A node that begins anew from an old state is behind by hours, and the chain itself passes what is nearer.
_IMPOSSIBLE_SLOTS: Final = 216_000


class ReachedSlots:
    """The newest slot, finalized or at another commitment, that enough endpoints have reached, as they last said."""

    def __init__(self, pool: RpcPool, commitment: str = "finalized") -> None:
        self._pool = pool
        self._commitment = commitment
        self._reached = -1
        self._highest = -1

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
        self._highest = max(slots)
        self._reached = sorted(slots, reverse=True)[enough - 1]
        return self._reached

    async def is_reached(self, slot: int) -> bool | None:
        """Whether `slot` is one that enough endpoints have reached, or will in a moment.

        Nodes are asked only for what is newer than what they said last. `None` where too few answer.
        """
        if self._reached >= 0 and slot <= self._reached + _AHEAD_SLOTS_MAX:
            return True
        reached = await self.newest()
        return None if reached is None else slot <= reached + _AHEAD_SLOTS_MAX

    @property
    def first_impossible(self) -> int:
        """The first slot that nothing can be about yet; see the function. Call it once nodes have answered.

        By the endpoint that is furthest: one that is behind makes nothing impossible that another has rightly said.
        """
        return first_impossible(self._highest)


def first_impossible(reached: int) -> int:
    """The first slot that nothing can be about yet where an endpoint has reached `reached`.

    What is kept at such a slot was made up, and would be kept for good. Nearer slots may be what this node said before
    it began anew from an old state; the chain reaches them within a day.
    """
    return reached + _IMPOSSIBLE_SLOTS
