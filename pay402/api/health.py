"""Health, readiness, metrics: for load balancers and Prometheus. None of them is limited."""

import asyncio
import time
from importlib.metadata import version
from typing import Any, Final, Literal

import asyncpg
from fastapi import Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError
from starlette.responses import PlainTextResponse, Response

from pay402.api.errors import errors, not_found
from pay402.api.figures import EpochMs, Shape, answer
from pay402.api.resources import Resources, resources
from pay402.api.routing import new_router
from pay402.migrations.status import MigrationStatus, read_status

router = new_router(tags=["Health"])

VERSION: Final = version("pay402")
_PROBE_SECONDS: Final = 2.0
# An indexer or worker that has shown no life for so long is taken for dead.
_LIFE_SECONDS: Final = 30.0


class Health(Shape):
    """The process answers."""

    status: Literal["ok"]
    service: str
    version: str
    timestamp: EpochMs
    environment: str


class Readiness(Shape):
    """Whether requests would be answered well, part by part."""

    status: Literal["ready", "unready"]
    parts: dict[str, dict[str, Any]]
    timestamp: EpochMs


@router.get("/health", response_model=Health)
async def get_health(request: Request) -> Response:
    """Say that the process is there; it asks nothing of anybody."""
    return answer(
        {
            "status": "ok",
            "service": "402pay-facilitator",
            "version": VERSION,
            "timestamp": time.time_ns() // 1_000_000,
            "environment": resources(request).settings.app_env,
        }
    )


@router.get("/ready", response_model=Readiness, responses={503: {"model": Readiness, "description": "Not ready"}})
async def get_ready(request: Request) -> Response:
    """Say part by part whether requests would be answered; 503 only where they would fail."""
    parts = resources(request)
    database, redis = await asyncio.gather(_database(parts), _redis(parts))
    states = {**database, "redis": redis}
    is_ready = states["database"]["status"] == "ok" and states["migrations"]["status"] in {"ok", "ahead"}
    content = {
        "status": "ready" if is_ready else "unready",
        "parts": states,
        "timestamp": time.time_ns() // 1_000_000,
    }
    return answer(content, 200 if is_ready else 503, None if is_ready else {"Retry-After": "2"})


async def _database(parts: Resources) -> dict[str, Any]:
    try:
        async with asyncio.timeout(_PROBE_SECONDS), parts.database.acquire() as connection:
            found = await read_status(connection)
            rows = []
            if not found.pending:
                rows = [row async for row in parts.queries.signs_of_life(connection)]
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        unknown = {"status": "unknown"}
        return {"database": {"status": "down"}, "migrations": unknown, "indexer": unknown, "worker": unknown}
    lives = {row["role"]: row for row in rows}
    return {
        "database": {"status": "ok"},
        "migrations": {"status": _schema(found), "current": found.current, "head": found.head},
        "indexer": _life(lives.get("indexer")),
        "worker": _life(lives.get("worker")),
    }


def _schema(found: MigrationStatus) -> str:
    """A schema that is newer than this process serves it too: migrations come before the processes that need them."""
    return "ok" if found.is_current else "ahead" if found.is_unknown else "behind"


def _life(row: Any) -> dict[str, Any]:
    if row is None:
        return {"status": "down"}
    age = row["age_seconds"]
    state = {"status": "ok" if age < _LIFE_SECONDS else "down", "heartbeatAgeSeconds": round(age, 1)}
    return state | ({"lagSlots": row["lag_slots"]} if row["lag_slots"] is not None else {})


async def _redis(parts: Resources) -> dict[str, Any]:
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            await parts.redis.ping()
    except (RedisError, OSError, TimeoutError):
        parts.metrics.redis_up.set(0)
        return {"status": "down", "consequence": "rate limits are kept by each process alone"}
    parts.metrics.redis_up.set(1)
    return {"status": "ok"}


@router.get("/metrics", response_class=PlainTextResponse, responses=errors(404))
async def get_metrics(request: Request) -> Response:
    """Prometheus text; 404 with ENABLE_METRICS=false."""
    parts = resources(request)
    if not parts.settings.enable_metrics:
        raise not_found("/metrics")
    pool = parts.database
    idle = pool.get_idle_size()
    parts.metrics.pool.labels("idle").set(idle)
    parts.metrics.pool.labels("used").set(pool.get_size() - idle)
    parts.metrics.pool.labels("max").set(pool.get_max_size())
    await _redis(parts)
    life = (await _database(parts))["indexer"]
    if "heartbeatAgeSeconds" in life:
        parts.metrics.heartbeat_age.set(life["heartbeatAgeSeconds"])
        parts.metrics.lag_slots.set(life.get("lagSlots", 0))
    return Response(generate_latest(parts.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
