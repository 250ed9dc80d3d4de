"""With several nodes none is believed alone: a recorded payment is honoured once another endpoint has seen it.

Each endpoint is asked by itself about all that waits, in batches of what one call answers, as soon as it is recorded: a
round trip, and two calls for each burst of payments. An endpoint that is down or behind says nothing; one that has seen
the slot and does not know the transaction, or knows it as failed, contests it. Of large payments each has to show the
same content as well.
"""

import asyncio
from typing import Final

import asyncpg
import structlog

from chain.node import STATUSES_PER_CALL, EndpointStatuses, Node, SignatureStatus
from chain.rpc import RpcError
from indexer.content_witness import ContentWitnesses
from indexer.metrics import IndexerMetrics
from ledger import finality
from ledger.finality import Landing
from ledger.witness import awaiting_witness, witness_state
from runtime.passes import repeat

_log = structlog.get_logger(__name__)

_CONFIRMED: Final = frozenset({"confirmed", "finalized"})
# A node that confirms a slot later than another is this far behind at most; beyond, what it does not know is not there.
_SLOTS_TO_KNOW: Final = 32
_WAITING_SECONDS: Final = 0.5
LOOP: Final = "witnesses"
CONTESTED_SECONDS: Final = 10.0
"""How long it waits at most before it asks again."""


class Witnesses:
    """Asks the endpoints about what awaits a witness; `needed` of them have to have seen it.

    `recorded` is set whenever there may be something new to ask about.
    """

    def __init__(
        self,
        node: Node,
        database: asyncpg.Pool,
        metrics: IndexerMetrics,
        recorded: asyncio.Event,
        needed: int,
        content: ContentWitnesses,
    ) -> None:
        self._node = node
        self._database = database
        self._metrics = metrics
        self._recorded = recorded
        self._needed = needed
        self._content = content
        # Where too few nodes answer, nothing is honoured, however well the passes end.
        self._is_answered = True
        self._pause_seconds = CONTESTED_SECONDS

    async def run(self) -> None:
        """Ask until cancelled."""
        await repeat(
            self._ask_and_show,
            "asking witnesses",
            every_seconds=lambda: self._pause_seconds,
            troubles=self._metrics.troubles,
            succeeded=self._succeeded,
            woken=self._recorded,
        )

    def _succeeded(self) -> None:
        if self._is_answered:
            self._metrics.liveness.succeeded(LOOP)

    async def _ask_and_show(self) -> bool:
        """Ask about one batch and, when nothing is left to ask at once, show what still awaits a witness."""
        self._pause_seconds = CONTESTED_SECONDS
        if await self.ask():
            return True
        state = await witness_state(self._database)
        self._metrics.awaiting_witness.set(state.awaiting)
        self._metrics.contested.set(state.contested)
        if state.awaiting > state.contested:
            self._pause_seconds = _WAITING_SECONDS
        return False

    async def ask(self) -> bool:
        """Ask about one batch; true when there may be more to ask about at once."""
        landings = await awaiting_witness(self._database, STATUSES_PER_CALL)
        if not landings:
            self._is_answered = True
            return False
        answers = await self._node.statuses_of_each([landing.signature for landing in landings])
        self._is_answered = sum(answer.statuses is not None for answer in answers) >= self._needed
        seen: list[Landing] = []
        contested: list[Landing] = []
        for place, landing in enumerate(landings):
            judged = [self._judged(answer, place, landing) for answer in answers]
            if judged.count(True) >= self._needed:
                seen.append(landing)
            elif False in judged:
                contested.append(landing)
        for landing, is_confirmed in (await self._content.judge(seen)).items():
            if is_confirmed is not True:
                seen.remove(landing)
            if is_confirmed is False:
                contested.append(landing)
        if seen:
            await finality.witnessed(self._database, seen)
        if contested and (news := await finality.contest(self._database, contested)):
            _log.error(
                "payments_contested", transfers=news, hint="the nodes disagree: see PaymentsContested in the runbook"
            )
        return len(landings) == STATUSES_PER_CALL and bool(seen)

    def _judged(self, answer: EndpointStatuses, place: int, landing: Landing) -> bool | None:
        """True when this endpoint has seen the landing, False when it contradicts it, None when it cannot say yet."""
        if answer.statuses is None:
            outcome, found = "unreachable", None
        elif place >= len(answer.statuses):
            outcome, found = "malformed", None
        else:
            found = agrees(answer.statuses[place], landing, answer.slot)
            outcome = {True: "agrees", False: "disagrees", None: "behind"}[found]
        self._metrics.witness_answers.labels(answer.endpoint, outcome).inc()
        return found


def agrees(status: SignatureStatus | None, landing: Landing, slot: int) -> bool | None:
    """What an endpoint at `slot` that answers `status` says of a landing: yes, no, or nothing yet."""
    if status is not None and status.err is not None:
        return False
    if status is None:
        return False if slot >= landing.slot + _SLOTS_TO_KNOW else None
    return True if status.slot == landing.slot and status.confirmation_status in _CONFIRMED else None


async def finalized_by(node: Node, landings: list[Landing], needed: int) -> list[Landing]:
    """Those that as many endpoints as are `needed` call final, in the slot where they landed.

    Raises:
        RpcError: Too few endpoints answered.
    """
    answers = await node.statuses_of_each([landing.signature for landing in landings])
    if sum(answer.statuses is not None for answer in answers) < needed:
        silent = next(answer for answer in answers if answer.statuses is None)
        raise RpcError(f"{needed} nodes have to call a payment final, and {silent.error}")

    def final(place: int, landing: Landing) -> int:
        said = [answer.statuses[place] for answer in answers if answer.statuses and place < len(answer.statuses)]
        return sum(
            status is not None
            and status.err is None
            and status.slot == landing.slot
            and status.confirmation_status == "finalized"
            for status in said
        )

    return [landing for place, landing in enumerate(landings) if final(place, landing) >= needed]
