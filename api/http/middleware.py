"""What happens to every request before and after its route: its id, its bounds, its line in the log, its metrics."""

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Collection
from ipaddress import ip_address
from typing import Any, Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.errors import ApiError, busy, refusal
from api.metrics import ApiMetrics
from runtime.log_files import ACCESS

_log = structlog.get_logger(ACCESS)

BODY_BYTES_MAX: Final = 1_000_000
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_FORM: Final = "application/x-www-form-urlencoded"
_REQUEST_ID: Final = re.compile(r"[\w.:-]{1,128}", re.ASCII)
# Scraped and probed every few seconds: a line for each would drown the others.
_QUIET: Final = frozenset({"/health", "/ready", "/metrics"})
HEADERS_OF_EVERY_ANSWER: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Vary": "Origin",
}
"""Headers for browsers and caches on every answer, refusals included."""
_RAW_HEADERS: Final = [
    (name.lower().encode("ascii"), value.encode("ascii"))
    for name, value in HEADERS_OF_EVERY_ANSWER.items()
    if name != "Vary"
]
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class AccessLog:
    """The outermost layer: every request has an id, a line in the log, its place in the metrics, and our headers."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(Headers(scope=scope).get("x-request-id"))
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _complete_headers(message, request_id)
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._log_request(scope, status, time.perf_counter() - started)
            structlog.contextvars.clear_contextvars()

    def _log_request(self, scope: Scope, status: int, seconds: float) -> None:
        # The route's pattern, never the path: a label must not grow with what callers send.
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self._metrics.requests.labels(route, method, str(status)).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        if route not in _QUIET:
            ms, client = round(seconds * 1000, 1), sender(scope)
            _log.info("request", method=method, route=route, status=status, ms=ms, client=client)


class RequestBounds:
    """The layer before the routes: bodies are read here, whole, within their bounds of size and time.

    No more than `requests_max` requests are under way at once: what a slow database cannot answer in time must not
    pile up. Defects of ours are logged and answered here too. It stands within `Cors`, so that browsers may read what
    it refuses. A body that is refused is given to `count_malformed`, for it counts against its sender's limit.
    Bodies are JSON, but below `forms_below`, where they are what a page's form sends.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        requests_max: int,
        body_seconds: float,
        count_malformed: Callable[[Scope], Awaitable[None]],
        forms_below: str,
    ) -> None:
        self._app = app
        self._count_malformed = count_malformed
        self._forms_below = forms_below
        self._requests_max = requests_max
        self._body_seconds = body_seconds
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def send_noting(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        self._under_way += 1
        try:
            if self._under_way > self._requests_max and scope["path"] not in _QUIET:
                raise busy("requests")  # noqa: TRY301 - answered like every refusal here
            bounded = await self._read_body(scope, receive) if scope["method"] in _WITH_BODY else receive
            await self._app(scope, bounded, send_noting)
        except ApiError as error:
            await refusal(scope, error)(scope, receive, send)
        except Exception:
            _log.exception("defect")
            # An answer that has begun cannot be taken back; the connection ends in the middle of it.
            if has_begun:
                raise
            await refusal(scope, _defect())(scope, receive, send)
        finally:
            self._under_way -= 1

    async def _read_body(self, scope: Scope, receive: Receive) -> Receive:
        try:
            is_form = scope["path"].startswith(self._forms_below)
            return await _read_body(scope, receive, self._body_seconds, is_form=is_form)
        except ApiError:
            await self._count_malformed(scope)
            raise


def sender(scope: Scope) -> str:
    """The address that a request came from: of TRUSTED_PROXIES the one that they forward, or `-` for no address."""
    host = scope["client"][0] if scope.get("client") else ""
    try:
        return str(ip_address(host))
    except ValueError:
        return "-"


def _complete_headers(message: Message, request_id: str) -> None:
    """Give the start of an answer its request's id and the headers that every answer has."""
    headers = MutableHeaders(scope=message)
    varies_by = headers.get("vary")
    headers.raw.extend(_RAW_HEADERS)
    headers.raw.append((b"x-request-id", request_id.encode("ascii")))
    if varies_by is None:
        headers.raw.append((b"vary", b"Origin"))
    elif "origin" not in [name.strip().lower() for name in varies_by.split(",")]:
        headers["Vary"] = f"{varies_by}, Origin"


def _request_id(sent: str | None) -> str:
    return sent if sent is not None and _REQUEST_ID.fullmatch(sent) else secrets.token_hex(8)


async def _read_body(scope: Scope, receive: Receive, seconds: float, *, is_form: bool) -> Receive:
    """The body, read; a `receive` that gives it again. Raises ApiError 408, 413 or 415."""
    headers = Headers(scope=scope)
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > BODY_BYTES_MAX:
        raise _too_large()
    try:
        async with asyncio.timeout(seconds):
            body, disconnected = await _received(receive)
    except TimeoutError:
        raise ApiError(
            408, "REQUEST_TIMEOUT", f"The body did not arrive within {seconds:g} seconds; send it again."
        ) from None
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if is_form:
        if content_type != _FORM:
            raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", "The body must be what a form sends; use the page's form.")
    elif body and content_type != "application/json" and not content_type.endswith("+json"):
        raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", "The body must be JSON; send Content-Type: application/json.")
    messages = [{"type": "http.request", "body": body, "more_body": False}] if not disconnected else []

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


async def _received(receive: Receive) -> tuple[bytes, bool]:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"".join(chunks), True
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise _too_large()
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks), False


def _defect() -> ApiError:
    return ApiError(500, "INTERNAL_ERROR", "This is a defect of ours; send the requestId to support.")


def _too_large() -> ApiError:
    return ApiError(413, "PAYLOAD_TOO_LARGE", "The body is larger than 1 MB; send less.")


_EXPOSED: Final = (
    "x-request-id",
    "retry-after",
    "ratelimit-policy",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "idempotent-replayed",
)


_SENT: Final = (
    "x-api-key",
    "authorization",
    "x-bootstrap-token",
    "content-type",
    "idempotency-key",
    "x-request-id",
)


class Cors(CORSMiddleware):
    """Allows exact origins. Any other is logged and gets no CORS headers, so that its browser refuses the answer."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "POST", "PATCH", "DELETE"),
            allow_headers=_SENT,
            expose_headers=_EXPOSED,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through without CORS headers unless its origin is allowed."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        origin = headers.get("origin")
        # A form of our own page has an origin too, `null` where no referrer is sent, and needs no leave.
        if headers.get("sec-fetch-site") == "same-origin":
            await self.app(scope, receive, send)
            return
        if origin is not None and not self.is_allowed_origin(origin=origin):
            hint = "add it to ALLOWED_ORIGINS if it is ours"
            _log.warning("CORS request blocked", origin=origin[:200], client=sender(scope), hint=hint)
            if _is_preflight(scope):
                await Response(status_code=204)(scope, receive, send)
            else:
                await self.app(scope, receive, send)
            return
        await super().__call__(scope, receive, send)


def _is_preflight(scope: Any) -> bool:
    return scope["method"] == "OPTIONS" and "access-control-request-method" in Headers(scope=scope)
