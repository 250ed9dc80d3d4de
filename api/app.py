"""The application: its layers, its routes, and how failures are told."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import asyncpg
import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.analytics import routes as analytics
from api.http.errors import ApiError, invalid, unavailable
from api.http.middleware import Bounds, Cors, Edge
from api.http.openapi import SUMMARY, TITLE, describe
from api.keys import key_routes
from api.keys import token_routes as auth_routes
from api.marketplace import job_routes as jobs
from api.marketplace import overview_routes as marketplace
from api.marketplace import service_routes as services
from api.operations import health_routes as health
from api.operations import order_routes as ops
from api.payments import recipient_routes as recipients
from api.payments import request_routes as requests
from api.payments import transfer_routes as payments
from api.resources import Resources
from api.settings import split
from api.verify import routes as verify
from runtime.errors import OperatorError

_log = structlog.get_logger(__name__)

_ROUTERS: Final[Sequence[APIRouter]] = (
    verify.router,
    requests.router,
    payments.router,
    recipients.router,
    services.router,
    jobs.router,
    marketplace.router,
    analytics.router,
    key_routes.router,
    auth_routes.router,
    ops.router,
    health.router,
)

_CODES: Final = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}
# Failures of the database or of the way to it. What it says about a statement of ours is a defect, and a 500.
_AWAY: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # see DATABASE_AWAY
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.SerializationError,
    asyncpg.PostgresIOError,
    asyncpg.InternalServerError,
    OperatorError,
    OSError,
    TimeoutError,
)


def create_app(parts: Resources, *, more: Sequence[APIRouter] = ()) -> FastAPI:
    """The application over open resources; `more` routes are added for measurements."""
    app = FastAPIOffline(
        title=TITLE,
        # A redirect would name the host that the caller sent, and clients take their keys there.
        redirect_slashes=False,
        version=health.VERSION,
        description=SUMMARY,
        exception_handlers={
            ApiError: _api_error,
            RequestValidationError: _validation_error,
            HTTPException: _http_error,
            **dict.fromkeys(_AWAY, _database_away),
        },
    )
    app.state.resources = parts
    for router in (*_ROUTERS, *more):
        app.include_router(router)
    app.openapi = partial(describe, app)  # type: ignore[method-assign]
    settings = parts.settings
    # The last is the outermost.
    app.add_middleware(Bounds, most=settings.most_requests, body_seconds=settings.body_seconds)
    app.add_middleware(Cors, origins=split(settings.allowed_origins))
    app.add_middleware(Edge, metrics=parts.metrics)
    return app


async def _api_error(_: Request, error: Any) -> Response:
    response: Response = error.response()
    return response


async def _validation_error(_: Request, error: Any) -> Response:
    details = [
        {"field": ".".join(map(str, problem["loc"][1:])) or str(problem["loc"][0]), "problem": problem["msg"]}
        for problem in error.errors()
    ]
    first = details[0]
    return invalid(f"{first['field']}: {first['problem']}; correct the request.", details[:20]).response()


async def _http_error(request: Request, error: Any) -> Response:
    if error.status_code == 400:  # noqa: PLR2004 - FastAPI's own word for a body that is no JSON
        return invalid("The body is not JSON; correct the request.").response()
    code = _CODES.get(error.status_code, "ERROR")
    where = f"{request.method} {request.url.path}"
    sentence = f"There is no {where[:200]}; see /docs for what there is."
    return ApiError(error.status_code, code, sentence, headers=error.headers).response()


async def _database_away(_: Request, error: Any) -> Response:
    if isinstance(error, ValueError):
        # asyncpg's word for a value of ours that a parameter cannot take: no outage, and no help in repeating it.
        raise error
    _log.warning("database_away", error=str(error).partition("\n")[0] or type(error).__name__)
    return unavailable("database").response()
