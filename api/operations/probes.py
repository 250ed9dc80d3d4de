"""How the parts stand that requests need, looked at once a second at most however many ask."""

import asyncio
import time
from typing import Any, Final

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.metrics import ApiMetrics
from migrations.status import MigrationStatus, read_status
from runtime.database import DATABASE_AWAY

_PROBE_SECONDS: Final = 2.0
_FRESH_SECONDS: Final = 1.0
# An indexer or worker that has shown no life for so long is taken for dead.
_LIFE_SECONDS: Final = 30.0


class Probes:
    """Looks at the database, at Redis, and at the signs of life of the other processes."""

    def __init__(self, database: asyncpg.Pool, queries: Any, redis: Redis, metrics: ApiMetrics) -> None:
        self._database = database
        self._queries = queries
        self._redis = redis
        self._metrics = metrics
        self._states: dict[str, Any] = {}
        self._looked_at = float("-inf")
        self._looking = asyncio.Lock()

    async def states(self) -> dict[str, dict[str, Any]]:
        """The state of each part by its name; nobody needs a key to ask, so asking much must cost little."""
        async with self._looking:
            if time.monotonic() - self._looked_at > _FRESH_SECONDS:
                database, redis = await asyncio.gather(self._look_at_database(), self._look_at_redis())
                self._states = {**database, "redis": redis}
                self._looked_at = time.monotonic()
            return self._states

    async def _look_at_database(self) -> dict[str, Any]:
        try:
            async with asyncio.timeout(_PROBE_SECONDS), self._database.acquire() as connection:
                found = await read_status(connection)
                rows = []
                if not found.pending:
                    rows = [row async for row in self._queries.signs_of_life(connection)]
        except DATABASE_AWAY:
            unknown = {"status": "unknown"}
            return {"database": {"status": "down"}, "migrations": unknown, "indexer": unknown, "worker": unknown}
        lives = {row["role"]: row for row in rows}
        return {
            "database": {"status": "ok"},
            "migrations": {"status": _schema(found), "current": found.current, "head": found.head},
            "indexer": _life(lives.get("indexer")),
            "worker": _life(lives.get("worker")),
        }

    async def _look_at_redis(self) -> dict[str, Any]:
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await self._redis.ping()
        except (RedisError, OSError, TimeoutError):
            self._metrics.redis_up.set(0)
            return {"status": "down", "consequence": "rate limits are kept by each process alone"}
        self._metrics.redis_up.set(1)
        return {"status": "ok"}


def _schema(found: MigrationStatus) -> str:
    """A schema that is newer than this process serves it too: migrations come before the processes that need them."""
    return "ok" if found.is_current else "ahead" if found.is_unknown else "behind"


def _life(row: Any) -> dict[str, Any]:
    if row is None:
        return {"status": "down"}
    age = row["age_seconds"]
    state = {"status": "ok" if age < _LIFE_SECONDS else "down", "heartbeatAgeSeconds": round(age, 1)}
    return state | ({"lagSlots": row["lag_slots"]} if row["lag_slots"] is not None else {})
