"""The application: its layers, its routes, and how failures are answered."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Final

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.access.callers import count_refused
from api.access.context import AccessContext
from api.analytics import finding_routes
from api.analytics import routes as analytics_routes
from api.analytics.context import AnalyticsContext
from api.console import (
    audit_routes,
    home_routes,
    key_pages,
    payment_routes,
    reconciliation_routes,
    refusals,
    sign_in_routes,
    wallet_pages,
)
from api.console import job_routes as job_pages
from api.console import overview_routes as overview_pages
from api.console import request_routes as request_pages
from api.console import settlement_routes as settlement_pages
from api.console import webhook_routes as webhook_pages
from api.console.context import ConsoleContext
from api.events import routes as event_routes
from api.events.context import EventsContext
from api.http.broken_json import BrokenJsonError, field_path
from api.http.document_pages import document_pages
from api.http.errors import ApiError, invalid, refusal, unavailable
from api.http.known_paths import KnownPaths
from api.http.middleware import AccessLog, Cors, RequestBounds
from api.http.openapi import SUMMARY, TAGS, TITLE, describe
from api.keys import key_routes, token_routes
from api.keys.context import KeysContext
from api.marketplace import escrow_routes, job_routes, overview_routes, payout_routes, service_routes
from api.marketplace.context import MarketplaceContext
from api.metrics import ApiMetrics
from api.operations import health_routes, order_routes
from api.operations.context import OperationsContext
from api.payments import recipient_routes, request_routes, transfer_routes
from api.payments.context import PaymentsContext
from api.routing.context import RoutingContext
from api.settings import ApiSettings, split
from api.verify import routes as verify_routes
from api.verify.context import VerifyContext
from api.webhooks import routes as webhook_routes
from api.webhooks.context import WebhooksContext
from api.x402 import routes as x402_routes
from api.x402 import settle_routes
from api.x402.context import X402Context
from runtime.database_errors import DATABASE_ERRORS, DatabaseTroubles, is_defect
from runtime.errors import OperatorError
from runtime.logging import scrub

_log = structlog.get_logger(__name__)

_ROUTERS: Final[Sequence[APIRouter]] = (
    # In the order in which a request is matched whose path has parameters.
    verify_routes.router,
    x402_routes.verify_router,
    settle_routes.settle_router,
    x402_routes.router,
    settle_routes.router,
    request_routes.router,
    transfer_routes.router,
    recipient_routes.router,
    service_routes.router,
    job_routes.router,
    payout_routes.router,
    escrow_routes.router,
    overview_routes.router,
    analytics_routes.router,
    finding_routes.router,
    key_routes.router,
    token_routes.router,
    event_routes.router,
    webhook_routes.router,
    order_routes.router,
    health_routes.router,
    home_routes.router,
    home_routes.files_router,
    sign_in_routes.router,
    overview_pages.router,
    payment_routes.router,
    request_pages.router,
    reconciliation_routes.router,
    job_pages.router,
    settlement_pages.router,
    webhook_pages.router,
    audit_routes.router,
    key_pages.router,
    wallet_pages.router,
)

_REFUSAL_FIELDS: Final[dict[str, dict[str, Any]]] = {
    **verify_routes.REFUSAL_FIELDS,
    **x402_routes.REFUSAL_FIELDS,
    **settle_routes.REFUSAL_FIELDS,
}

_CODES: Final = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}


@dataclass(frozen=True, slots=True)
class Rooms:
    """What each room of the API works with. A room's handlers ask for theirs by its own dependency."""

    access: AccessContext
    routing: RoutingContext
    keys: KeysContext
    marketplace: MarketplaceContext
    analytics: AnalyticsContext
    operations: OperationsContext
    verify: VerifyContext
    payments: PaymentsContext
    x402: X402Context
    events: EventsContext
    webhooks: WebhooksContext
    console: ConsoleContext


def create_app(rooms: Rooms, settings: ApiSettings, metrics: ApiMetrics, *, more: Sequence[APIRouter] = ()) -> FastAPI:
    """The application over open rooms; `more` routes are added for measurements."""
    app = FastAPIOffline(
        title=TITLE,
        docs_url=None,
        redoc_url=None,
        # A redirect would name the host that the caller sent, and clients take their keys there.
        redirect_slashes=False,
        version=health_routes.VERSION,
        description=SUMMARY,
        openapi_tags=TAGS,
        exception_handlers={
            ApiError: _api_error,
            RequestValidationError: _validation_error,
            HTTPException: _http_error,
            **dict.fromkeys((*DATABASE_ERRORS, OperatorError), partial(_database_failed, metrics.troubles)),
        },
    )
    app.state.refusal_fields = _REFUSAL_FIELDS
    app.state.refusal_pages = {refusals.BELOW: refusals.refused}
    for room in fields(rooms):
        setattr(app.state, room.name, getattr(rooms, room.name))
    routers = (*_ROUTERS, document_pages(TITLE), *more)
    for router in routers:
        app.include_router(router)
    app.router.routes.insert(0, KnownPaths(route for router in routers for route in router.routes))
    app.openapi = partial(describe, app)  # type: ignore[method-assign]
    # The last is the outermost.
    app.add_middleware(
        RequestBounds,
        requests_max=settings.requests_max,
        body_seconds=settings.body_seconds,
        count_malformed=lambda scope: count_refused(Request(scope)),
        forms_below=f"{refusals.BELOW}/",
    )
    app.add_middleware(Cors, origins=split(settings.origins_allowed))
    app.add_middleware(AccessLog, metrics=metrics)
    return app


async def _api_error(request: Request, error: Any) -> Response:
    return refusal(request.scope, error)


async def _validation_error(request: Request, error: Any) -> Response:
    if isinstance(error.__cause__, BrokenJsonError):
        fault = error.__cause__.fault
        return refusal(request.scope, invalid(fault.sentence, fault.details))
    details = [
        {"field": field_path(problem["loc"][1:]) or str(problem["loc"][0]), "problem": scrub(problem["msg"])}
        for problem in error.errors()
    ]
    first = details[0]
    sentence = f"{first['field']}: {first['problem']}; correct the request."
    return refusal(request.scope, invalid(sentence, details[:20]))


async def _http_error(request: Request, error: Any) -> Response:
    if error.status_code == 400:  # noqa: PLR2004 - FastAPI's own word for a body that is no JSON
        return refusal(request.scope, invalid("The body is not JSON; correct the request."))
    code = _CODES.get(error.status_code, "ERROR")
    where = f"{request.method} {request.url.path}"
    sentence = f"There is no {where[:200]}; see /docs for what there is."
    return refusal(request.scope, ApiError(error.status_code, code, sentence, headers=error.headers))


async def _database_failed(troubles: DatabaseTroubles, request: Request, error: Any) -> Response:
    # A connection that is refused, to a server that is too old for example, says so as an operator's error.
    troubles.note("a request", error)
    if is_defect(error):
        raise error
    return refusal(request.scope, unavailable("database"))
