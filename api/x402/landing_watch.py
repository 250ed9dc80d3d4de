"""Sends a stored payment to every node until the chain has decided it, as long as somebody waits for that."""

import asyncio
from typing import Final

import asyncpg

from chain.failures import has_failed
from chain.landing import Fate, LandingState, fates
from chain.node import Node
from chain.rpc import RpcError
from chain.sending import broadcast_everywhere
from ledger import settlements
from ledger.index_requests import request_index
from ledger.settlements import FailureReason, Settlement
from runtime.crash_points import crash_point

# No node shows a transaction before the cluster has confirmed it, which takes a second; most arrive in the ledger by
# themselves within that time.
_ASK_AFTER_SECONDS: Final = 1.2
_ASK_EVERY_SECONDS: Final = 1.0
_ASKS_PER_BROADCAST: Final = 2


class LandingWatch:
    """Sends payments, and asks nodes which of them have failed: the ledger does not hear of those."""

    def __init__(self, database: asyncpg.Pool, node: Node) -> None:
        self._database = database
        self._node = node

    async def follow(self, payment: Settlement) -> None:
        """Send the stored bytes, again and again, until they have failed for good; nodes that are away are skipped.

        What succeeded and is not in the ledger is given to the indexers; the ledger decides it.
        """
        if payment.wire is None:
            return
        async with crash_point("broadcast"):
            await broadcast_everywhere(self._node.pool, payment.wire)
        await asyncio.sleep(_ASK_AFTER_SECONDS)
        asked = 0
        while not await self._is_failed(payment):
            await asyncio.sleep(_ASK_EVERY_SECONDS)
            asked += 1
            if asked % _ASKS_PER_BROADCAST == 0:
                await broadcast_everywhere(self._node.pool, payment.wire)

    async def _is_failed(self, payment: Settlement) -> bool:
        answers = await self._node.statuses_of_each([payment.signature])
        (fate,) = fates(answers, 1, self._node.pool.witnesses)
        if fate.landing is LandingState.SUCCEEDED:
            await request_index(self._database, [payment.signature], "a settlement of x402 waits for it")
        if not await self._has_failed(payment, fate):
            return False
        async with crash_point("fail"):
            return await settlements.fail(
                self._database, payment.id, reason=FailureReason.FAILED_ON_CHAIN, detail=fate.error, slot=fate.slot
            )

    async def _has_failed(self, payment: Settlement, fate: Fate) -> bool:
        try:
            return await has_failed(self._node, payment.signature, fate)
        except RpcError:
            # It stays under way until that is known.
            return False
