"""Where proofs are decided, many at once: one statement reads for all, one statement honours all.

While a batch waits for its commit to be durable, the next one gathers. Alone, a proof waits for nobody.
"""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from api.http.errors import busy
from api.verify.proof import Answer, Case
from ledger import claims
from ledger.claims import ClaimContext, Honoured, Terms
from ledger.judge import Outcome, Transfer
from runtime.database_errors import is_defect

_BATCH: Final = 64
# A race that is lost to another claim is judged again, by what is true then.
_ATTEMPTS: Final = 8
# Two claims want the same row: whoever is told so comes again and finds it taken.
_LOST: Final = (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError)

Database = Any
"""A connection, from a pool or not: the two types of asyncpg have no common one."""


@dataclass(slots=True, eq=False)
class _Waiting:
    case: Case
    done: asyncio.Future[Answer]
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class _Grant:
    """A claim that is to be given `transfer`."""

    waiting: _Waiting
    context: ClaimContext
    terms: Terms
    transfer: Transfer

    def answer(self, honoured: Honoured) -> Answer:
        return Answer(Outcome.HONOURED, self.transfer, self.context.slots[self.transfer.path], honoured, self.terms)


class Desk:
    """Takes cases, decides them in batches.

    `clerks` batches are under way at once, each on a connection. `most_waiting` cases wait for them: more than a slow
    database can decide before whoever asks has gone are sent away at once.
    """

    def __init__(self, pool: asyncpg.Pool, queries: Any, *, clerks: int, most_waiting: int) -> None:
        self._pool = pool
        self._queries = queries
        self._clerks = clerks
        self._most_waiting = most_waiting
        self._queue: deque[_Waiting] = deque()
        self._deciding = 0
        self._more = asyncio.Event()

    async def decide(self, case: Case) -> Answer:
        """The answer to `case` by what the ledger knows now; a claim that is right is honoured.

        Raises:
            asyncpg.PostgresError: The database is away: nothing is said about the payment.
            ApiError: 503, when too many wait already, or others were quicker again and again.
        """
        if len(self._queue) >= self._most_waiting:
            raise busy("verifications")
        waiting = _Waiting(case, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._more.set()
        return await waiting.done

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._clerks):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            await self._more.wait()
            batch = self._next_batch()
            self._deciding += len(batch)
            try:
                # Who asked may be gone; nothing is honoured for nobody.
                if wanted := [waiting for waiting in batch if not waiting.done.done()]:
                    await self._serve(wanted)
            finally:
                self._deciding -= len(batch)

    def _next_batch(self) -> list[_Waiting]:
        """A clerk's share of all who wait or are being decided, so that some are decided while others are answered.

        If one clerk took all, all would be answered at once and ask again at once: the database would wait for us,
        then we for the database.
        """
        undecided = len(self._queue) + self._deciding
        count = min(len(self._queue), math.ceil(undecided / self._clerks), _BATCH)
        batch = [self._queue.popleft() for _ in range(count)]
        if not self._queue:
            self._more.clear()
        return batch

    async def _serve(self, batch: Sequence[_Waiting]) -> None:
        try:
            async with self._pool.acquire() as connection:
                await self._decide(connection, batch)
        except asyncio.CancelledError:
            for waiting in batch:
                waiting.done.cancel()
            raise
        except _LOST:
            self._again(batch)
        except Exception as error:  # noqa: BLE001 - it is each caller's to tell
            if len(batch) > 1 and is_defect(error):
                # One that the database refuses must not take the others with it.
                for waiting in batch:
                    await self._serve([waiting])
                return
            for waiting in batch:
                if not waiting.done.done():
                    waiting.done.set_exception(error)

    async def _decide(self, connection: Database, batch: Sequence[_Waiting]) -> None:
        contexts = await claims.read_contexts(connection, [waiting.case.proof for waiting in batch])
        grants: list[_Grant] = []
        for waiting, context in zip(batch, contexts, strict=True):
            if waiting.case.may_be_told(context):
                await self._tell(connection, waiting, context)
            elif (grant := _judge(waiting, context)) is not None:
                grants.append(grant)
        now, later = _apart(grants)
        await self._honour(connection, [grant for grant in now if grant.context.known is None])
        await self._honour_asked(connection, [grant for grant in now if grant.context.known is not None])
        self._again([*later, *(grant.waiting for grant in now if not grant.waiting.done.done())])

    async def _tell(self, connection: Database, waiting: _Waiting, context: ClaimContext) -> None:
        assert context.use is not None
        verdict, claim = waiting.case.judge_again(context)
        if not verdict.is_honoured:
            _set(waiting, Answer(verdict.outcome))
            return
        assert verdict.transfer is not None
        terms = waiting.case.terms(context, claim)
        told = await claims.tell(connection, context.use.id, terms)
        if told is None:
            _set(waiting, Answer(Outcome.REPLAY_ATTACK))
        else:
            _set(waiting, _Grant(waiting, context, terms, verdict.transfer).answer(told))

    async def _honour(self, connection: Database, grants: Sequence[_Grant]) -> None:
        if grants:
            pairs = [(grant.terms, grant.transfer) for grant in grants]
            _answer(grants, await claims.honour(connection, pairs))

    async def _honour_asked(self, connection: Database, grants: Sequence[_Grant]) -> None:
        if grants:
            known = [(grant.context.known.id, grant.terms, grant.transfer) for grant in grants if grant.context.known]
            _answer(grants, await claims.honour_asked(connection, known))

    def _again(self, batch: Sequence[_Waiting]) -> None:
        for waiting in batch:
            if waiting.done.done():
                continue
            waiting.attempts += 1
            if waiting.attempts < _ATTEMPTS:
                self._queue.append(waiting)
                self._more.set()
            else:
                # Others are quicker each time, and yet it is never found taken: that says nothing about the payment.
                waiting.done.set_exception(busy("verifications of this payment"))


def _judge(waiting: _Waiting, context: ClaimContext) -> _Grant | None:
    """Answer what is decided already; a claim that is to be honoured comes back."""
    case = waiting.case
    if context.known is not None and context.known.code is not None:
        _set(waiting, Answer(Outcome(context.known.code)))
        return None
    verdict, claim = case.judge(context)
    if verdict.is_honoured:
        assert verdict.transfer is not None
        return _Grant(waiting, context, case.terms(context, claim), verdict.transfer)
    is_remembered = verdict.outcome is Outcome.PAYMENT_PENDING and case.may_be_pending(context)
    _set(waiting, Answer(verdict.outcome, terms=case.terms(context, claim) if is_remembered else None))
    return None


def _apart(grants: Sequence[_Grant]) -> tuple[list[_Grant], list[_Waiting]]:
    """Of several claims to one transfer or with one nonce the first goes now, the others are judged again."""
    taken: set[tuple[str, str]] = set()
    now, later = [], []
    for grant in grants:
        wants = {(grant.terms.signature, grant.transfer.path), (grant.terms.merchant, grant.terms.nonce)}
        if wants & taken:
            later.append(grant.waiting)
        else:
            taken |= wants
            now.append(grant)
    return now, later


def _answer(grants: Sequence[_Grant], honoured: dict[tuple[str, str], Honoured]) -> None:
    for grant in grants:
        if (made := honoured.get((grant.terms.merchant, grant.terms.nonce))) is not None:
            _set(grant.waiting, grant.answer(made))


def _set(waiting: _Waiting, answer: Answer) -> None:
    if not waiting.done.done():
        waiting.done.set_result(answer)
