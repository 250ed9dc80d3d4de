"""What settlements ask of the ledger while they wait for the chain: for all that wait by the same statements."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg

from api.x402.batched_statements import BatchedStatement
from ledger import settlements
from ledger.claims import claim_settled
from ledger.settlements import Settlement
from ledger.sql import Database

# Whoever set out to answer and has not for so long has died.
_ANSWERING_SECONDS: Final = 5.0
_NAMED: Final = "settlements"


class SettlementBatches:
    """Claims, and notes of who answers; `waiting_max` requests may wait for each, any more are refused with 503."""

    def __init__(self, pool: "asyncpg.Pool[Any]", *, waiting_max: int) -> None:
        self._claims = BatchedStatement(pool, _claim_and_find, waiting_max=waiting_max, named=_NAMED)
        self._begun = BatchedStatement(pool, _begin_answers, waiting_max=waiting_max, named=_NAMED)
        self._ended = BatchedStatement(pool, _end_answers, waiting_max=waiting_max, named=_NAMED)

    async def claim(self, settlement_id: UUID) -> Settlement | None:
        """How a payment stands, once the transfer that the ledger may have of it is claimed; see `claim_settled`."""
        return await self._claims.ask(settlement_id)

    async def begin_answer(self, settlement_id: UUID) -> bool:
        """Set out to answer that a payment is settled; see `settlements.begin_answers`."""
        return await self._begun.ask(settlement_id)

    async def end_answer(self, settlement_id: UUID) -> None:
        """Note that the answer has gone out."""
        await self._ended.ask(settlement_id)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for one in (self._claims, self._begun, self._ended):
                group.create_task(one.run())


async def _claim_and_find(database: Database, ids: Sequence[UUID]) -> list[Settlement | None]:
    await claim_settled(database, ids)
    return await settlements.find_each(database, ids)


async def _begin_answers(database: Database, ids: Sequence[UUID]) -> list[bool]:
    return await settlements.begin_answers(database, ids, answering_seconds=_ANSWERING_SECONDS)


async def _end_answers(database: Database, ids: Sequence[UUID]) -> list[None]:
    await settlements.end_answers(database, ids)
    return [None] * len(ids)
