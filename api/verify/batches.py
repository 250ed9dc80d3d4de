"""Verifications are decided in batches: one statement reads for a whole batch, another honours it.

While a batch waits for its commit to be durable, the next one gathers. A proof that comes alone does not wait.
"""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg

from api.access.environments import live_to_a_test_key
from api.http.errors import ApiError, busy
from api.routing.idempotency import key_of_another_request
from api.verify.proof import Verification, VerifyResult
from ledger import claims
from ledger.claims import ClaimContext, Honoured, Terms
from ledger.judge import Outcome, Transfer
from ledger.sql import Database
from runtime.database_errors import is_defect

_BATCH: Final = 64
# A race that is lost to another claim is judged again, by what is true then.
_ATTEMPTS: Final = 8
# Two claims want the same row: the one that is refused is judged again and finds it taken.
_LOST: Final = (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError)


@dataclass(slots=True, eq=False)
class _Waiting:
    verification: Verification
    done: asyncio.Future[VerifyResult]
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class _ToHonour:
    """A claim that is to be given `transfer`."""

    waiting: _Waiting
    context: ClaimContext
    terms: Terms
    transfer: Transfer

    def result(self, honoured: Honoured) -> VerifyResult:
        return VerifyResult(
            Outcome.HONOURED, self.transfer, self.context.slots[self.transfer.path], honoured, self.terms
        )


class VerificationBatches:
    """Decides verifications in batches.

    `batches_max` are under way at once, each on a connection of its own. `waiting_max` verifications wait for them;
    any more are refused at once, for a slow database could not decide them before their callers give up.
    """

    def __init__(self, pool: asyncpg.Pool, *, batches_max: int, waiting_max: int) -> None:
        self._pool = pool
        self._batches_max = batches_max
        self._waiting_max = waiting_max
        self._queue: deque[_Waiting] = deque()
        self._deciding = 0
        self._more = asyncio.Event()

    async def decide(self, verification: Verification) -> VerifyResult:
        """Judge `verification` by what the ledger knows now, and honour the claim where that is right.

        Raises:
            DATABASE_ERRORS: See `trouble_of` for what each means. Nothing is said about the payment.
            ApiError: 503, when too many wait already, or others were quicker again and again.
        """
        if len(self._queue) >= self._waiting_max:
            raise busy("verifications")
        waiting = _Waiting(verification, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._more.set()
        return await waiting.done

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._batches_max):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            await self._more.wait()
            batch = self._next_batch()
            self._deciding += len(batch)
            try:
                # A caller who hung up could not be answered, and would find the payment used.
                if wanted := [waiting for waiting in batch if not waiting.done.done()]:
                    await self._serve(wanted)
            finally:
                self._deciding -= len(batch)

    def _next_batch(self) -> list[_Waiting]:
        """One batch's share of all that wait or are being decided, so that some are decided while others are answered.

        If one batch took all, all would be answered at once and ask again at once: the database would wait for us,
        then we for the database.
        """
        undecided = len(self._queue) + self._deciding
        count = min(len(self._queue), math.ceil(undecided / self._batches_max), _BATCH)
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
        except Exception as error:  # noqa: BLE001 - each caller answers for it
            if len(batch) > 1 and is_defect(error):
                # One that the database refuses must not take the others with it.
                for waiting in batch:
                    await self._serve([waiting])
                return
            for waiting in batch:
                if not waiting.done.done():
                    waiting.done.set_exception(error)

    async def _decide(self, connection: Database, batch: Sequence[_Waiting]) -> None:
        contexts = await claims.read_contexts(connection, [waiting.verification.key for waiting in batch])
        grants: list[_ToHonour] = []
        for waiting, context in zip(batch, contexts, strict=True):
            if context.is_live:
                _refuse(waiting, live_to_a_test_key("The payment request or the wallet"))
            elif waiting.verification.has_key_of_another_request(context):
                _refuse(waiting, key_of_another_request())
            elif waiting.verification.is_unanswered(context):
                await self._answer_honoured(connection, waiting, context)
            elif (grant := _judge(waiting, context)) is not None:
                grants.append(grant)
        now, later = _apart(grants)
        await self._honour(connection, [grant for grant in now if grant.context.known is None])
        await self._honour_asked(connection, [grant for grant in now if grant.context.known is not None])
        self._again([*later, *(grant.waiting for grant in now if not grant.waiting.done.done())])

    async def _answer_honoured(self, connection: Database, waiting: _Waiting, context: ClaimContext) -> None:
        assert context.use is not None
        verdict, claim = waiting.verification.judge_honoured(context)
        if not verdict.is_honoured:
            _set(waiting, VerifyResult(verdict.outcome))
            return
        assert verdict.transfer is not None
        terms = waiting.verification.terms(context, claim)
        honoured = await claims.mark_answered(connection, context.use.id, terms)
        if honoured is None:
            _set(waiting, VerifyResult(Outcome.REPLAY_ATTACK))
        else:
            _set(waiting, _ToHonour(waiting, context, terms, verdict.transfer).result(honoured))

    async def _honour(self, connection: Database, grants: Sequence[_ToHonour]) -> None:
        if grants:
            pairs = [(grant.terms, grant.transfer) for grant in grants]
            _answer(grants, await claims.honour(connection, pairs))

    async def _honour_asked(self, connection: Database, grants: Sequence[_ToHonour]) -> None:
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
                # It loses every race and is never found taken: that says nothing about the payment.
                waiting.done.set_exception(busy("verifications of this payment"))


def _judge(waiting: _Waiting, context: ClaimContext) -> _ToHonour | None:
    """Set the result where it is decided already; returns a claim that is to be honoured."""
    verification = waiting.verification
    # What the ledger holds is judged, also where the claim came to nothing before: a transaction may land after all.
    is_absent = not context.transfers and not context.awaits_witness
    if context.known is not None and context.known.code is not None and is_absent:
        _set(waiting, VerifyResult(Outcome(context.known.code)))
        return None
    verdict, claim = verification.judge(context)
    if verdict.is_honoured and verification.was_answered(context):
        _set(waiting, VerifyResult(Outcome.REPLAY_ATTACK))
        return None
    if verdict.is_honoured:
        assert verdict.transfer is not None
        return _ToHonour(waiting, context, verification.terms(context, claim), verdict.transfer)
    is_remembered = verdict.outcome is Outcome.PAYMENT_PENDING and verification.may_be_pending(context)
    _set(waiting, VerifyResult(verdict.outcome, terms=verification.terms(context, claim) if is_remembered else None))
    return None


def _apart(grants: Sequence[_ToHonour]) -> tuple[list[_ToHonour], list[_Waiting]]:
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


def _answer(grants: Sequence[_ToHonour], honoured: dict[tuple[str, str], Honoured]) -> None:
    for grant in grants:
        if (made := honoured.get((grant.terms.merchant, grant.terms.nonce))) is not None:
            _set(grant.waiting, grant.result(made))


def _refuse(waiting: _Waiting, error: ApiError) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(error)


def _set(waiting: _Waiting, result: VerifyResult) -> None:
    if not waiting.done.done():
        waiting.done.set_result(result)
