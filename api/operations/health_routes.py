"""Health, readiness, metrics: for load balancers and Prometheus. None of them is limited."""

import time
from importlib.metadata import version
from typing import Any, Final, Literal

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import PlainTextResponse, Response

from api.http.errors import errors, not_found
from api.http.fields import EpochMs
from api.http.json import Shape, answer
from api.resources import resources

# Plain routes: none of them is limited, wants a key or can be told to come again. Probes may ask for the head alone.
router = APIRouter(tags=["Health"])

VERSION: Final = version("pay402")


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


@router.head("/health", include_in_schema=False)
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


@router.head("/ready", include_in_schema=False)
@router.get("/ready", response_model=Readiness, responses={503: {"model": Readiness, "description": "Not ready"}})
async def get_ready(request: Request) -> Response:
    """Say part by part whether requests would be answered; 503 only where they would fail."""
    states = await resources(request).probes.states()
    is_ready = states["database"]["status"] == "ok" and states["migrations"]["status"] in {"ok", "ahead"}
    content = {
        "status": "ready" if is_ready else "unready",
        "parts": states,
        "timestamp": time.time_ns() // 1_000_000,
    }
    return answer(content, 200 if is_ready else 503, None if is_ready else {"Retry-After": "2"})


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
    life = (await parts.probes.states())["indexer"]
    if "heartbeatAgeSeconds" in life:
        parts.metrics.heartbeat_age.set(life["heartbeatAgeSeconds"])
        parts.metrics.lag_slots.set(life.get("lagSlots", 0))
    return Response(generate_latest(parts.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
