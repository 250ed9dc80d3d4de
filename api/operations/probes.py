"""How the parts stand that requests need, looked at once a second at most however many ask."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Literal

import asyncpg
from pydantic import Field
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.http.json import AnswerShape
from api.metrics import ApiMetrics
from ledger.heartbeats import SignOfLife, signs_of_life
from migrations.status import MigrationStatus, read_status
from runtime.database_errors import DATABASE_ERRORS, DatabaseAwayError

_PROBE_SECONDS: Final = 2.0
_FRESH_SECONDS: Final = 1.0
# An indexer or worker that has shown no life for so long is taken for dead.
_LIFE_SECONDS: Final = 30.0


class DatabaseState(AnswerShape):
    """Whether the database answers."""

    status: Literal["ok", "down"]


class MigrationsState(AnswerShape):
    """Whether the schema is the one that this process knows; a newer one serves it too."""

    status: Literal["ok", "ahead", "behind", "unknown"]
    current: str | None = None
    head: str | None = None


class RedisState(AnswerShape):
    """Whether Redis answers, and what it means if not."""

    status: Literal["ok", "down"]
    consequence: str | None = None


class ProcessState(AnswerShape):
    """Whether a process of a role shows life."""

    status: Literal["ok", "down", "unknown"]
    heartbeat_age_seconds: float | None = Field(None, description="Since the last sign of life")
    lag_slots: int | None = Field(None, description="Slots between the newest one seen and what is recorded")


FeePayerStatus = Literal["ok", "low", "unknown", "off"]
"""Whether the fee payers of x402 hold enough SOL; `off` where there is none."""


class FeePayerState(AnswerShape):
    """Whether the fee payers of x402 hold enough SOL."""

    status: FeePayerStatus
    consequence: str | None = None


class PartStates(AnswerShape):
    """The state of each part that requests need."""

    database: DatabaseState
    migrations: MigrationsState
    redis: RedisState
    indexer: ProcessState
    worker: ProcessState
    fee_payers: FeePayerState

    @property
    def are_ready(self) -> bool:
        """True where requests would be answered: limits are kept without Redis, the ledger is read without others."""
        return self.database.status == "ok" and self.migrations.status in {"ok", "ahead"}


class Probes:
    """Looks at the database, at Redis, and at the signs of life of the other processes."""

    def __init__(
        self,
        database: asyncpg.Pool,
        redis: Redis,
        metrics: ApiMetrics,
        fee_payers: Callable[[], FeePayerStatus] = lambda: "off",
    ) -> None:
        self._fee_payers = fee_payers
        self._database = database
        self._redis = redis
        self._metrics = metrics
        self._states: PartStates | None = None
        self._looked_at = float("-inf")
        self._looking = asyncio.Lock()

    async def states(self) -> PartStates:
        """The state of each part; nobody needs a key to ask, so asking much must cost little."""
        async with self._looking:
            if self._states is None or time.monotonic() - self._looked_at > _FRESH_SECONDS:
                self._states = await self._look()
                self._looked_at = time.monotonic()
            return self._states

    async def _look(self) -> PartStates:
        found, redis = await asyncio.gather(self._look_at_database(), self._look_at_redis())
        fee_payers = _fee_payer_state(self._fee_payers())
        if found is None:
            unknown = ProcessState(status="unknown")
            return PartStates(
                database=DatabaseState(status="down"),
                migrations=MigrationsState(status="unknown"),
                redis=redis,
                indexer=unknown,
                worker=unknown,
                fee_payers=fee_payers,
            )
        schema, lives = found
        return PartStates(
            database=DatabaseState(status="ok"),
            migrations=_schema_state(schema),
            redis=redis,
            indexer=_process_state(lives.get("indexer")),
            worker=_process_state(lives.get("worker")),
            fee_payers=fee_payers,
        )

    async def _look_at_database(self) -> tuple[MigrationStatus, dict[str, SignOfLife]] | None:
        """The schema and who shows life, or `None` while the database is away."""
        try:
            async with asyncio.timeout(_PROBE_SECONDS), self._database.acquire() as connection:
                schema = await read_status(connection)
                return schema, {} if schema.pending else await signs_of_life(connection)
        except TimeoutError:
            self._metrics.troubles.note("probing", DatabaseAwayError(f"no answer within {_PROBE_SECONDS:g} s"))
            return None
        except DATABASE_ERRORS as error:
            self._metrics.troubles.note("probing", error)
            return None

    async def _look_at_redis(self) -> RedisState:
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await self._redis.ping()
        except (RedisError, OSError, TimeoutError):
            self._metrics.redis_up.set(0)
            return RedisState(status="down", consequence="rate limits are kept by each process alone")
        self._metrics.redis_up.set(1)
        return RedisState(status="ok")


def _schema_state(found: MigrationStatus) -> MigrationsState:
    """A schema that is newer than this process serves it too: migrations come before the processes that need them."""
    status: Literal["ok", "ahead", "behind"] = "ok" if found.is_current else "ahead" if found.is_unknown else "behind"
    return MigrationsState(status=status, current=found.current, head=found.head)


def _fee_payer_state(status: FeePayerStatus) -> FeePayerState:
    low = "they may soon pay no fees, and then nothing is settled over x402" if status == "low" else None
    return FeePayerState(status=status, consequence=low)


def _process_state(found: SignOfLife | None) -> ProcessState:
    if found is None:
        return ProcessState(status="down")
    return ProcessState(
        status="ok" if found.age_seconds < _LIFE_SECONDS else "down",
        heartbeat_age_seconds=round(found.age_seconds, 1),
        lag_slots=found.lag_slots,
    )
