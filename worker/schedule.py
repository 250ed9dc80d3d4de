"""When each pass runs: by arq's cron on Redis, or, while Redis is away, by the clock of this process.

No money depends on Redis: every pass is safe to run anywhere at any time, and Redis only spares several workers doing
the same work twice.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from arq.connections import ArqRedis
from arq.cron import CronJob
from arq.worker import Worker
from redis.exceptions import RedisError

from chain.backoff import Backoff
from ledger.reports import request_reconciliation
from ledger.totals import fold_claim_changes
from runtime.passes import Outcome, note_failure
from worker.claims.decide import reconcile
from worker.claims.match_requests import sweep_requests
from worker.context import WorkerContext
from worker.escrow import move_jobs_and_payouts
from worker.feed.unmatched import log_unmatched
from worker.gauges import inspect, measure
from worker.housekeeping import expire
from worker.redis_pool import SchedulePool, ScheduleRedis
from worker.reports.changes import fold_report_changes
from worker.reports.run import is_full_report_due, is_report_due, run_report
from worker.settlements import move_settlements
from worker.webhooks.sealing import seal_webhooks

_log = structlog.get_logger(__name__)

QUEUE: Final = "pay402:worker"
_REDIS_BACKOFF: Final = Backoff(3.0, 60.0)
# Redis counts as back when the schedule has run on it for so long.
_STEADY_SECONDS: Final = 5.0
# So many intervals, and so many seconds, after it was due a pass is begun by our own clock whatever Redis says.
_FORGOTTEN_INTERVALS: Final = 3
_FORGOTTEN_SECONDS: Final = 5.0
_MISSED_PASSES_MAX: Final = 5
_LONG_PASS_GRACES: Final = 10
_LIMIT_SECONDS_MAX: Final = 86_400.0
_TICK_SECONDS: Final = 0.1
_JOB_SECONDS: Final = 1_800
_POLL_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Pass:
    """Work that is due again and again."""

    name: str
    every_seconds: float
    run: Callable[[WorkerContext], Awaitable[Any]]
    is_long: bool = False

    def limit_seconds(self, grace_seconds: float) -> float:
        """How long it may go without success: several intervals and a grace, which a long pass has ten times."""
        grace_seconds *= _LONG_PASS_GRACES if self.is_long else 1
        return min(_MISSED_PASSES_MAX * self.every_seconds + grace_seconds, _LIMIT_SECONDS_MAX)


def passes(context: WorkerContext) -> tuple[Pass, ...]:
    """Every pass, and how often it runs."""
    settings = context.settings
    return (
        Pass("reconcile_claims", settings.reconcile_seconds, reconcile),
        Pass("move_jobs_and_payouts", settings.settle_seconds, move_jobs_and_payouts),
        Pass("move_settlements", settings.settlement_seconds, move_settlements),
        Pass("sweep", settings.sweep_seconds, _sweep, is_long=True),
        Pass("expire_nonces", settings.housekeeping_seconds, expire, is_long=True),
        Pass("seal_webhooks", settings.housekeeping_seconds, seal_webhooks),
        Pass("reports", settings.reconcile_seconds, _reports, is_long=True),
        Pass("fold_totals", settings.gauge_seconds, _fold_totals),
        Pass("fold_report_changes", settings.gauge_seconds, _fold_report_changes, is_long=True),
        Pass("measure", settings.gauge_seconds, measure),
        Pass("inspect", settings.inspect_seconds, inspect, is_long=True),
    )


async def _sweep(context: WorkerContext) -> None:
    """Find what the quick passes, which look at the newest only, have not seen."""
    await sweep_requests(context)
    await move_jobs_and_payouts(context, sweep=True)
    await log_unmatched(context)


async def _fold_totals(context: WorkerContext) -> None:
    await fold_claim_changes(context.database)


async def _fold_report_changes(context: WorkerContext) -> None:
    await fold_report_changes(context.database)


async def _reports(context: WorkerContext) -> None:
    """Make the reports that were asked for, and one when the newest is old."""
    if await is_full_report_due(context):
        await request_reconciliation(context.database, requested_by="schedule", is_full=True)
    elif await is_report_due(context):
        await request_reconciliation(context.database, requested_by="schedule")
    while await run_report(context) is not None:
        pass


async def run_pass(context: WorkerContext, one: Pass) -> float:
    """Run a pass and count how it ended; returns for how many seconds it is of no use to run it again.

    Whatever it fails by, the other passes go on: a defect is counted, logged with its traceback, tried again after a
    minute, and shown by `/health` once the pass has been without success for too long.
    """
    began_at = time.monotonic()
    outcome, pause_seconds = "cancelled", 0.0
    try:
        await one.run(context)
        outcome = Outcome.OK
        context.metrics.liveness.succeeded(one.name)
    except Exception as error:  # noqa: BLE001 - a pass that is broken must not stop the others
        outcome, pause_seconds = note_failure(context.metrics.troubles, "a pass", error, job=one.name)
    finally:
        context.metrics.runs.labels(one.name, outcome).inc()
        context.metrics.run_seconds.labels(one.name).observe(time.monotonic() - began_at)
    return pause_seconds


class Schedule:
    """Runs the passes until asked to stop; what is under way then is finished.

    Attributes:
        by_redis: True while Redis divides the passes between the workers.
    """

    def __init__(self, context: WorkerContext, redis_url: str) -> None:
        self._context = context
        self._redis_url = redis_url
        self._passes = passes(context)
        self._due_at = {one.name: time.monotonic() for one in self._passes}
        self._paused_until = dict.fromkeys(self._due_at, 0.0)
        self._busy: dict[str, asyncio.Lock] = {one.name: asyncio.Lock() for one in self._passes}
        self._under_way: set[asyncio.Task[None]] = set()
        self._is_redis_missed = False
        self._set_by_redis(False)
        for one in self._passes:
            limit = one.limit_seconds(context.settings.pass_grace_seconds)
            context.metrics.liveness.expect(one.name, within_seconds=limit)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        pauses = iter(_REDIS_BACKOFF)
        try:
            while not stop.is_set():
                began_at = time.monotonic()
                error = await self._by_redis(stop)
                if stop.is_set():
                    break
                if time.monotonic() - began_at > _STEADY_SECONDS:
                    pauses = iter(_REDIS_BACKOFF)
                self._miss_redis(error)
                await self._by_clock(stop, next(pauses))
            await asyncio.gather(*self._under_way)
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    def _set_by_redis(self, by_redis: bool) -> None:
        self.by_redis = by_redis
        self._context.metrics.by_redis.set(by_redis)

    def _miss_redis(self, error: Exception | None) -> None:
        """Say once that Redis is of no use; it is tried again in silence until it is."""
        if not self._is_redis_missed:
            hint = "passes run by this process's own clock meanwhile; look at Redis with `pay402 doctor`"
            _log.warning("redis_away", error=str(error) if error else "its schedule ended", hint=hint)
        self._is_redis_missed = True

    def _find_redis(self) -> None:
        if self._is_redis_missed:
            _log.info("redis_back", hint="Redis divides the passes between the workers again")
        self._is_redis_missed = False

    async def _by_clock(self, stop: asyncio.Event, seconds: float) -> None:
        """Begin what is due, by this process's own clock."""
        until = time.monotonic() + seconds
        while not stop.is_set() and time.monotonic() < until:
            self._begin_due(late=False)
            await _wait(stop, _TICK_SECONDS)

    async def _by_redis(self, stop: asyncio.Event) -> Exception | None:
        """Let Redis say what is due, as long as it does; answers what was wrong with it."""
        pool = SchedulePool.to(self._redis_url)
        redis = ScheduleRedis(pool, default_queue_name=QUEUE)
        try:
            # A Redis that is full, or grants no rights, answers a ping all the same.
            await redis.set(f"{QUEUE}:probe", "1", ex=60)
            await self._by_arq(redis, stop)
        except (RedisError, OSError) as error:
            return error
        finally:
            self._set_by_redis(False)
            with contextlib.suppress(RedisError, OSError):
                await pool.aclose()
        return None

    async def _by_arq(self, redis: ArqRedis, stop: asyncio.Event) -> None:
        """Let arq say what is due, until asked to stop or Redis fails."""
        worker = Worker(
            cron_jobs=[self._cron(one) for one in self._passes],
            queue_name=QUEUE,
            redis_pool=redis,
            handle_signals=False,
            poll_delay=_POLL_SECONDS,
            job_timeout=_JOB_SECONDS,
            log_results=False,
            health_check_interval=30,
            health_check_key=f"{QUEUE}:health",
        )
        running = asyncio.create_task(worker.async_run())
        watching = asyncio.create_task(self._begin_what_redis_forgets(stop))
        self._set_by_redis(True)
        try:
            await asyncio.wait({running, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                # No new job is begun, and those under way are finished.
                worker.allow_pick_jobs = False
                await asyncio.gather(*worker.tasks.values(), return_exceptions=True)
            else:
                running.result()
        finally:
            for task in (running, watching):
                task.cancel()
            await asyncio.gather(running, watching, return_exceptions=True)
            # Whatever ended badly must not leave a pass running behind our back.
            for task in worker.tasks.values():
                task.cancel()
            await asyncio.gather(*worker.tasks.values(), return_exceptions=True)

    async def _begin_what_redis_forgets(self, stop: asyncio.Event) -> None:
        """Begin by our own clock what is long overdue: arq takes some failures of Redis for a job that others run."""
        steady_at = time.monotonic() + _STEADY_SECONDS
        while not stop.is_set():
            await _wait(stop, _TICK_SECONDS)
            if not stop.is_set():
                self._begin_due(late=True)
                if time.monotonic() > steady_at:
                    self._find_redis()

    def _begin_due(self, *, late: bool) -> None:
        for one in self._passes:
            due_at = self._due_at[one.name]
            if late:
                due_at += _FORGOTTEN_INTERVALS * one.every_seconds + _FORGOTTEN_SECONDS
            if time.monotonic() >= due_at and not self._busy[one.name].locked():
                task = asyncio.create_task(self._run_alone(one))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)

    def _cron(self, one: Pass) -> CronJob:
        async def due(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> None:  # noqa: ARG001 - arq's signature
            await self._run_alone(one)

        seconds = max(1, round(one.every_seconds))
        by_minute = seconds >= 60  # noqa: PLR2004
        minutes = max(1, seconds // 60)
        return CronJob(
            name=f"cron:{one.name}",
            coroutine=due,
            month=None,
            day=None,
            weekday=None,
            hour=None,
            minute=set(range(0, 60, min(minutes, 60))) if by_minute else None,
            second=0 if by_minute else set(range(0, 60, seconds)),
            microsecond=0,
            run_at_startup=True,
            unique=True,
            job_id=None,
            timeout_s=_JOB_SECONDS,
            keep_result_s=0,
            keep_result_forever=False,
            max_tries=1,
        )

    async def _run_alone(self, one: Pass) -> None:
        """Run a pass unless it is under way here already, or pauses after a failure: nothing is piled up."""
        if self._busy[one.name].locked() or time.monotonic() < self._paused_until[one.name]:
            return
        async with self._busy[one.name]:
            pause_seconds = await run_pass(self._context, one)
            self._paused_until[one.name] = time.monotonic() + pause_seconds
            self._due_at[one.name] = time.monotonic() + max(one.every_seconds, pause_seconds)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
