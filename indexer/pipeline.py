"""From a signature to a committed row: fetch, decode, record. Each transaction once, however often it is notified."""

import asyncio
import time
from collections import OrderedDict
from functools import partial
from typing import Final

import structlog
from msgspec import Struct

from chain.backoff import Backoff
from chain.decode import FeeRule, MalformedAnswerError, decode
from chain.fees import fee_rules
from chain.node import Node
from chain.rpc import RpcError
from indexer.heal_queue import HealQueue
from indexer.metrics import IndexerMetrics
from indexer.record import Recorder
from indexer.watchlist import FollowedAccount, Watchlist
from ledger.observation import Observation, Unexplained

_log = structlog.get_logger(__name__)

_REMEMBERED_MAX: Final = 100_000
# One transaction that cannot be recorded is its own fault; so many different ones, and none between, are ours.
_GIVEN_UP_MAX: Final = 3
# What was first given up longer ago counts no more: several times what liveness allows without success.
_GIVEN_UP_SECONDS: Final = 900.0
_GIVEN_UP_PATIENCES: Final = 15
_GIVEN_UP_KEPT_MAX: Final = 1_000
# Between questions for a transaction that a node has told of and does not show yet.
_NOT_YET: Final = Backoff(0.01, 2.0, grows=1.6)


class FetchFailedError(Exception):
    """A transaction is not in the ledger yet; whoever needs it must ask again later."""


class _Job(Struct):
    signature: str
    slot: int
    accounts: set[str]
    notified_at: float | None
    done: asyncio.Future[None]


class _Seen(Struct, gc=False):
    """What of an observation is needed once it is recorded: thousands may wait, and more each would slow all down."""

    slot: int | None
    is_ours: bool
    opened: tuple[FollowedAccount, ...]
    unexplained: tuple[Unexplained, ...]


class Pipeline:
    """A bounded queue in order of arrival, and a bounded number of workers.

    Accounts whose transactions could not be recorded are left to `heal_queue`. Token accounts that a transaction opened
    for a followed wallet are put on the watch list.
    """

    def __init__(
        self,
        node: Node,
        watchlist: Watchlist,
        recorder: Recorder,
        heal_queue: HealQueue,
        metrics: IndexerMetrics,
        *,
        queue_size: int,
        workers: int,
        patience_seconds: float,
    ) -> None:
        self._node = node
        self._watchlist = watchlist
        self._recorder = recorder
        self._metrics = metrics
        self._workers = workers
        self._patience_seconds = patience_seconds
        self._heal_queue = heal_queue
        self._queue: asyncio.Queue[_Job] = asyncio.Queue(maxsize=queue_size)
        metrics.queue.set_function(self._queue.qsize)
        self._in_flight: dict[tuple[str, int], _Job] = {}
        self.recorded = 0
        """How many transactions were recorded, or found to be none of ours, since it began."""
        self._given_up_at: dict[str, float] = {}
        """When each transaction was given up for the first time; healing tries it again and again."""
        self._given_up: set[str] = set()
        """Those of them that were given up since one was recorded."""
        self._recorded: OrderedDict[str, int] = OrderedDict()

    def notified(self, account: str, signature: str, slot: int) -> None:
        """Take a notification without waiting; when there is no room, leave the account to healing."""
        if self._recorded.get(signature) == slot:
            return
        if (job := self._in_flight.get((signature, slot))) is not None:
            job.accounts.add(account)
            if job.notified_at is None:
                job.notified_at = time.monotonic()
            return
        job = self._job(signature, slot, account, notified_at=time.monotonic())
        try:
            self._queue.put_nowait(job)
        except asyncio.QueueFull:
            self._metrics.overflows.inc()
            self._heal_queue.want(account)
            return
        self._in_flight[signature, slot] = job

    async def ensure(self, account: str | None, signature: str, slot: int, *, anew: bool = False) -> None:
        """Return when the transaction is in the ledger; `account` is whom it was found for, if anybody.

        With `anew` it is fetched even if it was recorded before: a node may have answered wrongly.

        Raises:
            FetchFailedError: It could not be fetched, decoded or recorded now.
        """
        if not anew and self._recorded.get(signature) == slot:
            return
        job = self._in_flight.get((signature, slot))
        if job is None:
            job = self._job(signature, slot, account, notified_at=None)
            self._in_flight[signature, slot] = job
            await self._queue.put(job)
        await asyncio.shield(job.done)

    @property
    def oldest_slot_under_way(self) -> int | None:
        """The lowest slot of which something is known but not recorded yet; `None` when all is recorded."""
        return min((slot for _, slot in self._in_flight), default=None)

    @property
    def is_idle(self) -> bool:
        """True when all that is known of is recorded or was given up."""
        return not self._in_flight

    @property
    def is_failing(self) -> bool:
        """True when three different transactions were given up lately, and since one was recorded.

        Single ones that can never be recorded, on wallets that are otherwise quiet, do not count, nor do they add up
        over the weeks: they are tried again by healing and shown by its metrics, and to restart the process would bring
        nothing. So each counts for a while after it was first given up.
        """
        since = time.monotonic() - max(_GIVEN_UP_SECONDS, _GIVEN_UP_PATIENCES * self._patience_seconds)
        return sum(self._given_up_at[signature] >= since for signature in self._given_up) >= _GIVEN_UP_MAX

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    async def drain(self, seconds: float) -> bool:
        """Wait until all that was notified is recorded; false when `seconds` were not enough."""
        if self.is_idle:
            return True
        _, pending = await asyncio.wait([job.done for job in self._in_flight.values()], timeout=seconds)
        return not pending

    @staticmethod
    def _job(signature: str, slot: int, account: str | None, *, notified_at: float | None) -> _Job:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        return _Job(signature, slot, set() if account is None else {account}, notified_at, done)

    async def _work(self) -> None:
        """Fetch one transaction after the other; waiting for a commit occupies no worker."""
        while True:
            job = await self._queue.get()
            try:
                with self._recorder.coming:
                    observation = await self._observe(job.signature)
                entry = self._watchlist.entry(observation, job.notified_at)
                seen = _Seen(observation.slot, not entry.is_empty, entry.opened, observation.unexplained)
                # Who asks for a transaction may have recorded it: of one that landed again and failed, nothing is left.
                if entry.is_empty and job.notified_at is not None:
                    self._recorded_one(job, seen)
                    self._end(job)
                else:
                    written = await self._recorder.hand_over(entry)
                    written.add_done_callback(partial(self._written, job, seen))
            except (RpcError, MalformedAnswerError, FetchFailedError) as error:
                self._failed(job, error)
                self._end(job)
            except BaseException:
                self._end(job)
                raise

    def _written(self, job: _Job, seen: _Seen, written: "asyncio.Future[None]") -> None:
        if not written.cancelled():
            if (error := written.exception()) is not None:
                self._failed(job, error)
            else:
                self._recorded_one(job, seen)
        self._end(job)

    def _recorded_one(self, job: _Job, seen: _Seen) -> None:
        if seen.opened:
            self._watchlist.add_accounts(seen.opened)
        for finding in seen.unexplained:
            _log.warning(
                "unexplained_balance_change",
                signature=job.signature,
                account=finding.account,
                difference=finding.difference,
                reason=finding.reason,
            )
        assert seen.slot is not None
        self.recorded += 1
        if seen.is_ours:
            # What is none of ours shows nothing: anybody can mention a wallet between payments that are lost.
            self._given_up.clear()
        self._given_up.discard(job.signature)
        self._given_up_at.pop(job.signature, None)
        self._remember(job.signature, seen.slot)
        if job.notified_at is not None:
            self._metrics.lag.observe(time.monotonic() - job.notified_at)
        if not job.done.done():
            job.done.set_result(None)

    def _end(self, job: _Job) -> None:
        self._in_flight.pop((job.signature, job.slot), None)
        if not job.done.done():
            job.done.cancel()

    async def _observe(self, signature: str) -> Observation:
        """Ask until the node has the transaction and answers well; patience is bounded."""
        deadline = time.monotonic() + self._patience_seconds
        pauses = iter(_NOT_YET)
        while True:
            try:
                if (observation := await self._ask(signature)) is not None:
                    return observation
                # Normal just after a notification: another node of the provider may answer.
                self._metrics.not_yet.inc()
            except MalformedAnswerError:
                if time.monotonic() > deadline:
                    raise
            if time.monotonic() > deadline:
                raise FetchFailedError(f"{signature} is not known to the node (any more)")
            await asyncio.sleep(next(pauses))

    async def _ask(self, signature: str) -> Observation | None:
        result = await self._node.transaction(signature)
        if result is None:
            return None
        try:
            observation = decode(result)
        except MalformedAnswerError:
            raise
        except Exception as error:
            # The others are recorded; this one is left to healing, which tries less and less often.
            self._metrics.troubles.note_defect("decoding a transaction", error, signature=signature)
            raise FetchFailedError(f"{signature} meets a defect of pay402 ({type(error).__name__})") from error
        if observation.signature != signature or observation.slot is None:
            raise MalformedAnswerError(f"asked for {signature}, got another transaction or one without a slot")
        if observation.unexplained and (rules := await self._fee_rules(observation)):
            observation = decode(result, fee_rules=rules)
        return observation

    async def _fee_rules(self, observation: Observation) -> dict[str, FeeRule]:
        """What may explain the rest. A node that leaves it out may not keep the payment out of the ledger."""
        try:
            return await fee_rules(self._node, observation.unexplained)
        except RpcError as error:
            if not error.is_refusal:
                raise
            self._metrics.done_without("fee rules", error)
            return {}

    def _failed(self, job: _Job, error: BaseException) -> None:
        reason = type(error).__name__.removesuffix("Error")
        self._metrics.fetch_failures.labels(reason).inc()
        self._give_up(job.signature)
        _log.warning("fetch_failed", signature=job.signature, error=str(error))
        if not job.done.done():
            job.done.set_exception(FetchFailedError(str(error)))
            # Seen: a notification's job has nobody waiting for it.
            job.done.exception()
        if job.notified_at is not None:
            for account in job.accounts:
                self._heal_queue.want(account)

    def _give_up(self, signature: str) -> None:
        if signature not in self._given_up_at and len(self._given_up_at) >= _GIVEN_UP_KEPT_MAX:
            oldest = next(iter(self._given_up_at))
            del self._given_up_at[oldest]
            self._given_up.discard(oldest)
        self._given_up_at.setdefault(signature, time.monotonic())
        self._given_up.add(signature)

    def _remember(self, signature: str, slot: int) -> None:
        self._recorded[signature] = slot
        self._recorded.move_to_end(signature)
        if len(self._recorded) > _REMEMBERED_MAX:
            self._recorded.popitem(last=False)
