"""Every witness of a large payment has to show the same content: a true signature may come with another amount."""

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import asyncpg

from chain.decode import MalformedAnswerError, decode
from chain.node import Node
from chain.rpc import Endpoint, RpcError
from indexer.metrics import IndexerMetrics
from ledger.finality import Landing
from ledger.observation import Observation
from ledger.tokens import NATIVE_SOL
from ledger.witness import MOVEMENT_FIELDS, RecordedContent, large_among, recorded_content

_AT_ONCE_MAX: Final = 8


class ContentWitnesses:
    """Asks every endpoint for the whole transaction of large payments; `above` says which are, by symbol and figure."""

    def __init__(
        self, node: Node, database: asyncpg.Pool, metrics: IndexerMetrics, above: Mapping[str, Decimal], needed: int
    ) -> None:
        self._node = node
        self._database = database
        self._metrics = metrics
        self._above = above
        self._needed = needed
        self._at_once = asyncio.Semaphore(_AT_ONCE_MAX)

    async def judge(self, landings: Sequence[Landing]) -> dict[Landing, bool | None]:
        """Judge of each large payment whether the endpoints show what is recorded of it.

        Returns:
            True when enough of them do, false when one contradicts it, `None` while too few have answered.
        """
        large = await large_among(self._database, landings, self._above)
        if not large:
            return {}
        recorded = await recorded_content(self._database, large)
        judged = await asyncio.gather(*(self._judge(landing, recorded[landing.signature]) for landing in large))
        return dict(zip(large, judged, strict=True))

    async def _judge(self, landing: Landing, recorded: RecordedContent) -> bool | None:
        answers = await asyncio.gather(*(self._ask(one, landing, recorded) for one in self._node.pool.endpoints))
        if False in answers:
            return False
        return True if answers.count(True) >= self._needed else None

    async def _ask(self, endpoint: Endpoint, landing: Landing, recorded: RecordedContent) -> bool | None:
        async with self._at_once:
            try:
                result = await self._node.transaction(landing.signature, at=endpoint)
                answered = None if result is None else decode(result)
            except (RpcError, MalformedAnswerError):
                outcome, found = "unreachable", None
            else:
                found = None if answered is None else is_the_same(answered, landing, recorded)
                outcome = {True: "agrees", False: "disagrees", None: "behind"}[found]
        self._metrics.witness_answers.labels(endpoint.name, outcome).inc()
        return found


def is_the_same(answered: Observation, landing: Landing, recorded: RecordedContent) -> bool | None:
    """Whether a node shows all that is recorded of a landing; `None` where it knows it in another slot, after a fork.

    The answer may hold more: what concerns wallets that were not followed then is not recorded.
    """
    if answered.signature != landing.signature:
        return False
    if answered.slot != landing.slot:
        return None
    movements = {tuple(getattr(one, name) for name in MOVEMENT_FIELDS) for one in answered.movements}
    references = {one.path: frozenset(one.references) for one in answered.movements}
    balances = {(one.account, one.mint, one.pre, one.post) for one in answered.balances}
    balances |= {(account, NATIVE_SOL, pre, post) for account, (pre, post) in answered.lamports.items()}
    # Postgres text holds every character but NUL.
    memos = tuple(memo.replace("\0", "\N{REPLACEMENT CHARACTER}") for memo in answered.memos)
    return (
        not answered.failed
        and recorded.movements <= movements
        and all(references.get(path) == keys for path, keys in recorded.references.items())
        and recorded.memos == memos
        and recorded.balances <= balances
    )
