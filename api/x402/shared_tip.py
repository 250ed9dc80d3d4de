"""Where the chain stands, asked of the nodes once for all payments that are to be signed at the same moment."""

import asyncio

from chain.lifetimes import Tip, newest_tip
from chain.rpc import RpcPool


class SharedTip:
    """The newest tip; whoever asks while nodes are being asked shares the next question.

    An answer to a question that began earlier may be of a block before the one whose blockhash a payment names, which
    would seem to end too early.
    """

    def __init__(self, pool: RpcPool) -> None:
        self._pool = pool
        self._asking: asyncio.Task[Tip] | None = None
        self._next: asyncio.Task[Tip] | None = None

    async def newest(self) -> Tip:
        """As `newest_tip`, by a question that begins after this call.

        Raises:
            RpcError: No endpoint answers.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._ask_after(self._asking))
            # Seen: whoever asked may have gone.
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._next)

    async def _ask_after(self, before: "asyncio.Task[Tip] | None") -> Tip:
        if before is not None:
            await asyncio.wait({before})
        self._asking, self._next = self._next, None
        return await newest_tip(self._pool)
