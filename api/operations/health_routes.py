"""Health, readiness, metrics: for load balancers and Prometheus. None of them is limited."""

import time
from importlib.metadata import version
from typing import Final, Literal

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import PlainTextResponse, Response

from api.http.errors import RETRY_SECONDS, errors, not_found
from api.http.fields import EpochMs
from api.http.json import AnswerShape, answer
from api.operations.context import Operations
from api.operations.probes import PartStates

_SAMPLE: Final = 'pay402_http_requests_total{method="POST",route="/verify",status="200"} 402.0'

# Plain routes: none of them is limited, wants a key or is refused for want of room. Probes may ask for the head alone.
router = APIRouter(tags=["Health"])

VERSION: Final = version("pay402")


class Health(AnswerShape):
    """The process answers."""

    status: Literal["ok"]
    service: str
    version: str
    timestamp: EpochMs
    environment: str


class Readiness(AnswerShape):
    """Whether requests would be answered well, part by part."""

    status: Literal["ready", "unready"]
    parts: PartStates
    timestamp: EpochMs


@router.head("/health", include_in_schema=False)
@router.get("/health", response_model=Health)
async def get_health(context: Operations) -> Response:
    """Say that the process is alive; neither database, Redis nor a node is asked."""
    body = Health(
        status="ok",
        service="402pay-facilitator",
        version=VERSION,
        timestamp=time.time_ns() // 1_000_000,
        environment=context.environment,
    )
    return answer(body)


@router.head("/ready", include_in_schema=False)
@router.get("/ready", response_model=Readiness, responses={503: {"model": Readiness, "description": "Not ready"}})
async def get_ready(context: Operations) -> Response:
    """Say part by part whether requests would be answered; 503 only where they would fail."""
    states = await context.probes.states()
    is_ready = states.are_ready
    body = Readiness(status="ready" if is_ready else "unready", parts=states, timestamp=time.time_ns() // 1_000_000)
    return answer(body, 200 if is_ready else 503, None if is_ready else {"Retry-After": str(RETRY_SECONDS)})


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={**errors(404), 200: {"content": {"text/plain": {"example": _SAMPLE}}}},
)
async def get_metrics(context: Operations) -> Response:
    """Show the figures of this process as Prometheus text; 404 with ENABLE_METRICS=false."""
    metrics, pool = context.metrics, context.database
    if metrics is None:
        raise not_found("/metrics")
    idle = pool.get_idle_size()
    metrics.pool.labels("idle").set(idle)
    metrics.pool.labels("used").set(pool.get_size() - idle)
    metrics.pool.labels("max").set(pool.get_max_size())
    indexer = (await context.probes.states()).indexer
    if indexer.heartbeat_age_seconds is not None:
        metrics.heartbeat_age.set(indexer.heartbeat_age_seconds)
        metrics.lag_slots.set(indexer.lag_slots or 0)
    return Response(generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
