"""Settle the fate of confirmed rows: finalized when the cluster roots them, orphaned when they can never land.

A confirmed transaction can still be dropped with its fork, or land again in another slot. It is dead only when
its blockhash has expired at the finalized height and a search of the whole history finds nothing. Its blockhash
was at most 150 blocks old when it was seen, so 150 blocks after it was first missed it has expired. Source: the
transaction confirmation and expiration guide of Solana's documentation. That it is missing, and how high the chain is,
is what enough nodes say.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

import asyncpg
import structlog

from chain.cluster_rules import BLOCKHASH_LIFETIME_BLOCKS
from chain.landing import LandingState, fates
from chain.lifetimes import finalized_tip, newest_of_all
from chain.node import STATUSES_PER_CALL, Node
from chain.reached import first_impossible
from chain.rpc import RpcError
from indexer.metrics import IndexerMetrics
from indexer.pipeline import FetchFailedError, Pipeline
from indexer.witness import finalized_by
from ledger import finality
from ledger.claims import follow_transfers
from ledger.finality import Landing
from ledger.sql import Database
from runtime.passes import repeat

_log = structlog.get_logger(__name__)

LOOP: Final = "finalize"

_LANDINGS_PER_PASS: Final = 20 * STATUSES_PER_CALL
# One node that says alone that it has failed keeps nothing that has died for all.
_ABSENT: Final = frozenset({LandingState.UNKNOWN, LandingState.DISPUTED})


class Finalizer:
    """Passes over the confirmed rows; any number of processes may do so at once."""

    def __init__(
        self, node: Node, database: asyncpg.Pool, pipeline: Pipeline, metrics: IndexerMetrics, witnesses: int
    ) -> None:
        """`witnesses` is how many endpoints have to call something final."""
        self._node = node
        self._database = database
        self._pipeline = pipeline
        self._metrics = metrics
        self._witnesses = witnesses

    async def run(self, every_seconds: float) -> None:
        """Pass after pass until cancelled."""
        await repeat(
            lambda: self.settle(),  # noqa: PLW0108 - looked up for each pass: what replaces it meanwhile is called
            "finalizing",
            every_seconds=every_seconds,
            troubles=self._metrics.troubles,
            succeeded=partial(self._metrics.liveness.succeeded, LOOP),
            at_once=False,
            chain_event="not_finalized",
        )

    async def settle(self) -> bool:
        """One pass; true when more may be ready at once.

        Raises:
            RpcError: The nodes did not answer, or with what they knew before the slot that is final.
        """
        settled, count, judged = 0, 0, 0
        # Asking every other second what is final, for nothing, would be most of what an idle ledger asks.
        if await finality.anything_unfinalized(self._database):
            slot = await self._node.slot("finalized")
            landings = await finality.unfinalized(
                self._database, slot, _LANDINGS_PER_PASS, impossible_slot=first_impossible(slot)
            )
            count = len(landings)
            for start in range(0, count, STATUSES_PER_CALL):
                moved = await self._settle_batch(landings[start : start + STATUSES_PER_CALL], slot)
                if moved is not None:
                    settled, judged = settled + moved, judged + 1
        await self._follow_claims(self._database)
        if count and not judged:
            raise RpcError(f"no node that says what became of transactions has reached slot {slot}, which is final")
        return count == _LANDINGS_PER_PASS and settled > 0

    async def _settle_batch(self, landings: Sequence[Landing], finalized_slot: int) -> int | None:
        """How many of these moved on; None where a node answered that cannot say what is missing."""
        seen_slot, statuses = await self._node.signature_statuses([landing.signature for landing in landings])
        if seen_slot < finalized_slot:
            return None  # another node answered, one that is behind
        rooted: list[Landing] = []
        elsewhere: list[Landing] = []
        missing: list[Landing] = []
        for landing, status in zip(landings, statuses, strict=True):
            if status is None:
                missing.append(landing)
            elif status.confirmation_status == "processed":
                continue  # it may be landing again; until the cluster has voted for that, nothing is settled
            elif status.slot != landing.slot:
                elsewhere.append(Landing(landing.signature, status.slot))
            elif status.confirmation_status == "finalized":
                rooted.append(landing)
        await self._finalize(rooted)
        await self._follow(elsewhere)
        await self._bury(missing)
        return len(rooted) + len(elsewhere)

    async def _finalize(self, rooted: Sequence[Landing]) -> None:
        if rooted and self._witnesses > 1:
            rooted = await finalized_by(self._node, list(rooted), self._witnesses)
        if rooted:
            self._metrics.finalized.inc(await finality.finalize(self._database, rooted))

    async def _follow(self, elsewhere: Sequence[Landing]) -> None:
        """Record again what landed again in another slot."""
        for signature, slot in elsewhere:
            try:
                await self._pipeline.ensure(None, signature, slot)
            except FetchFailedError as error:
                _log.warning("landed_again_but_not_fetched", signature=signature, error=str(error))

    async def _bury(self, missing: Sequence[Landing]) -> None:
        """Orphan what has been missing for longer than any blockhash lives."""
        if not missing:
            return
        pool = self._node.pool
        try:
            # Asked before the statuses: a history that is searched afterwards reaches further than this.
            tip = await finalized_tip(pool)
            # Noted at the newest height and held against the finalized one: never too early.
            newest = await newest_of_all(pool)
        except RpcError as error:
            if not error.is_refusal:
                raise
            # What is missing stays in doubt; what is not must be finalized all the same.
            self._metrics.done_without("block heights", error)
            return
        if tip is None or newest is None:
            return
        answers = await self._node.statuses_of_each([landing.signature for landing in missing])
        found = fates(answers, len(missing), pool.witnesses)
        missing = [
            one
            for one, fate in zip(missing, found, strict=True)
            if fate.landing in _ABSENT
            # A node that has not come to where it landed, or not to this height, says nothing of it.
            and fate.seen_slot >= tip.absolute_slot
            and (one.slot <= fate.seen_slot or one.slot >= first_impossible(tip.absolute_slot))
        ]
        await finality.note_vanished(
            self._database, missing, newest.block_height, lifetime_blocks=BLOCKHASH_LIFETIME_BLOCKS
        )
        dead = await finality.dead(
            self._database,
            [landing.signature for landing in missing],
            lifetime_blocks=BLOCKHASH_LIFETIME_BLOCKS,
            height=tip.block_height,
        )
        if dead:
            # In one transaction: nobody ever sees a claim honoured by a transfer that is known to be undone. The
            # transfers are locked by then, so that the second statement sees every claim that ever took one.
            async with self._database.acquire() as connection, connection.transaction():
                transfers = await finality.orphan(connection, dead)
                await self._follow_claims(connection)
            self._metrics.orphaned.inc(transfers)
            _log.warning("orphaned", transactions=len(dead), transfers=transfers)

    async def _follow_claims(self, database: Database) -> None:
        followed = await follow_transfers(database)
        self._metrics.claims_reversed.inc(followed.reversed)
        self._metrics.claims_restored.inc(followed.restored)
        if followed.reversed:
            _log.warning("claims_reversed", claims=followed.reversed, hint="their payments were undone by a fork")
