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
from uuid import UUID

import structlog
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.cron import CronJob
from arq.worker import Function, Worker
from redis.exceptions import RedisError

from chain.rpc import RpcError
from runtime.database_errors import DATABASE_ERRORS, DatabaseTrouble, trouble_of
from worker.claims.decide import reconcile
from worker.claims.match_requests import sweep_requests
from worker.context import WorkerContext
from worker.escrow import settle
from worker.gauges import inspect, measure
from worker.housekeeping import expire
from worker.report import run_report
from worker.totals import fold_totals

_log = structlog.get_logger(__name__)

QUEUE: Final = "pay402:worker"
_REDIS_RETRY_SECONDS: Final = 3.0
_TICK_SECONDS: Final = 0.1
_JOB_SECONDS: Final = 1_800
_POLL_SECONDS: Final = 0.2
_OUTCOMES: Final = {
    DatabaseTrouble.AWAY: "database_away",
    DatabaseTrouble.REFUSED: "database_refused",
    DatabaseTrouble.DEFECT: "defect",
}


@dataclass(frozen=True, slots=True)
class Pass:
    """Work that is due again and again."""

    name: str
    every_seconds: float
    run: Callable[[WorkerContext], Awaitable[Any]]


def passes(context: WorkerContext) -> tuple[Pass, ...]:
    """Every pass, and how often it runs."""
    settings = context.settings
    return (
        Pass("reconcile_claims", settings.reconcile_seconds, reconcile),
        Pass("settle_jobs", settings.settle_seconds, settle),
        Pass("sweep", settings.sweep_seconds, _sweep),
        Pass("expire_nonces", settings.housekeeping_seconds, expire),
        Pass("reports", settings.reconcile_seconds, _reports),
        Pass("fold_totals", settings.gauge_seconds, _fold_totals),
        Pass("measure", settings.gauge_seconds, measure),
        Pass("inspect", settings.inspect_seconds, inspect),
    )


async def _sweep(context: WorkerContext) -> None:
    """Find what the quick passes, which look at the newest only, have not seen."""
    await sweep_requests(context)
    await settle(context, sweep=True)


async def _fold_totals(context: WorkerContext) -> None:
    await fold_totals(context.database)


async def _reports(context: WorkerContext) -> None:
    """Make the reports that were asked for, and one when the newest is old."""
    age_seconds = await context.queries.seconds_since_report(context.database)
    if age_seconds is None or age_seconds > context.settings.report_seconds:
        await context.queries.ask_for_report(context.database, requested_by="schedule")
    while await run_report(context) is not None:
        pass


async def run_pass(context: WorkerContext, one: Pass) -> bool:
    """Run a pass and count how it ended; false when it failed for a reason that passes by itself."""
    began_at = time.monotonic()
    outcome = "defect"
    try:
        await one.run(context)
        outcome = "ok"
    except RpcError as error:
        outcome = "chain_away"
        _log.warning("chain_away", job=one.name, error=str(error))
    except DATABASE_ERRORS as error:
        outcome = _OUTCOMES[trouble_of(error)]
        context.metrics.troubles.note("a pass", error, job=one.name)
    except asyncio.CancelledError:
        outcome = "cancelled"
        raise
    finally:
        context.metrics.runs.labels(one.name, outcome).inc()
        context.metrics.run_seconds.labels(one.name).observe(time.monotonic() - began_at)
    return outcome == "ok"


class Schedule:
    """Runs the passes until told to stop; what is under way then is finished."""

    def __init__(self, context: WorkerContext, redis_url: str) -> None:
        self._bench = context
        self._redis_url = redis_url
        self._passes = passes(context)
        self._due = {one.name: 0.0 for one in self._passes}
        self._busy: dict[str, asyncio.Lock] = {one.name: asyncio.Lock() for one in self._passes}
        self.by_redis = False

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        while not stop.is_set():
            try:
                redis = await create_pool(_redis_settings(self._redis_url), default_queue_name=QUEUE)
            except (RedisError, OSError) as error:
                _log.warning("redis_away", error=str(error), hint="passes run by this process's own clock meanwhile")
                await self._by_clock(stop, _REDIS_RETRY_SECONDS)
                continue
            try:
                await self._by_arq(redis, stop)
            except (RedisError, OSError) as error:
                _log.warning("redis_lost", error=str(error))
            finally:
                self.by_redis = False
                with contextlib.suppress(RedisError, OSError):
                    await redis.aclose()

    async def _by_clock(self, stop: asyncio.Event, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not stop.is_set() and time.monotonic() < until:
            for one in self._passes:
                if time.monotonic() >= self._due[one.name] and not stop.is_set():
                    await self._alone(one)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _TICK_SECONDS)

    async def _by_arq(self, redis: ArqRedis, stop: asyncio.Event) -> None:
        """Let arq say what is due; passes more frequent than its cron's second run by a ticker that takes turns."""
        worker = Worker(
            functions=[Function("reconcile", self._asked_for, _JOB_SECONDS, 0, False, 3)],
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
        stopping = asyncio.create_task(stop.wait())
        self.by_redis = True
        try:
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                # No new job is begun, and those under way are finished.
                worker.allow_pick_jobs = False
                await asyncio.gather(*worker.tasks.values(), return_exceptions=True)
            else:
                running.result()
        finally:
            for task in (running, stopping):
                task.cancel()
            await asyncio.gather(running, stopping, return_exceptions=True)
            # Whatever ended badly must not leave a pass running behind our back.
            for task in worker.tasks.values():
                task.cancel()
            await asyncio.gather(*worker.tasks.values(), return_exceptions=True)

    def _cron(self, one: Pass) -> CronJob:
        async def due(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> None:  # noqa: ARG001 - arq's signature
            await self._alone(one)

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

    async def _alone(self, one: Pass) -> None:
        """Run a pass unless it is under way here already: one that takes long is not piled up."""
        if self._busy[one.name].locked():
            return
        async with self._busy[one.name]:
            await run_pass(self._bench, one)
            self._due[one.name] = time.monotonic() + one.every_seconds

    async def _asked_for(self, ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> None:  # noqa: ARG002 - arq's signature
        """The job that the API enqueues with the id of a run, whose row tells how it stands."""
        await run_report(self._bench, UUID(args[0]) if args else None)


def _redis_settings(url: str) -> RedisSettings:
    settings = RedisSettings.from_dsn(url)
    settings.conn_retries, settings.conn_timeout = 0, 2
    return settings
