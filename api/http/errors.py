"""Refusals that all look alike."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from pydantic import Field
from starlette.responses import Response
from starlette.types import Scope
from structlog.contextvars import get_contextvars

from api.http.json import AnswerShape, answer

RETRY_SECONDS: Final = 2
"""The Retry-After of answers while a part of ours is down."""


class ApiError(Exception):
    """A refusal: the sentence says what is wrong and what to do.

    Attributes:
        body: What the answer carries besides the fields that every error has.
    """

    def __init__(
        self,
        status: int,
        code: str,
        sentence: str,
        details: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.sentence = sentence
        self.details = details
        self.headers = headers
        self.body = body or {}

    def response(self, extra: Mapping[str, Any] | None = None) -> Response:
        """The answer in the form that every error has; `extra` are fields that every refusal of its path carries."""
        content = {
            **(extra or {}),
            **self.body,
            "error": self.sentence,
            "message": self.sentence,
            "code": self.code,
        }
        if self.details is not None:
            content["details"] = self.details
        content["requestId"] = get_contextvars().get("request_id")
        return answer(content, self.status, self.headers)


def refusal(scope: Scope, error: ApiError) -> Response:
    """The answer to the request of `scope` that `error` refuses, with what every refusal of its path carries.

    The application's state has these fields by path, as `refusal_fields`; published clients read them first. Below the
    paths of its `refusal_pages` people are answered, by a page.
    """
    pages: Mapping[str, Callable[[Scope, ApiError], Response]] = scope["app"].state.refusal_pages
    for prefix, page in pages.items():
        if scope["path"] == prefix or scope["path"].startswith(f"{prefix}/"):
            return page(scope, error)
    by_path: Mapping[str, Mapping[str, Any]] = scope["app"].state.refusal_fields
    return error.response(by_path.get(scope["path"]))


def invalid(sentence: str, details: Any = None) -> ApiError:
    """400: the request is malformed."""
    return ApiError(400, "VALIDATION_ERROR", sentence, details)


def not_found(what: str) -> ApiError:
    """404: nothing of that name, or not for this caller."""
    return ApiError(404, "NOT_FOUND", f"{what} does not exist, or is not yours to see.")


def conflict(sentence: str, details: Any = None) -> ApiError:
    """409: it contradicts what is there."""
    return ApiError(409, "CONFLICT", sentence, details)


def forbidden(sentence: str) -> ApiError:
    """403: the caller is known, and may not."""
    return ApiError(403, "FORBIDDEN", sentence)


def unavailable(part: str) -> ApiError:
    """503: a part of ours is down; nothing is said about anybody's payment."""
    sentence = f"The {part} cannot be reached at the moment; repeat the request in {RETRY_SECONDS} seconds."
    return ApiError(503, "UNAVAILABLE", sentence, headers={"Retry-After": str(RETRY_SECONDS)})


def busy(what: str) -> ApiError:
    """503: more than can be done in time; nothing is said about anybody's payment."""
    sentence = f"Too many {what} are under way at the moment; repeat the request in {RETRY_SECONDS} seconds."
    return ApiError(503, "UNAVAILABLE", sentence, headers={"Retry-After": str(RETRY_SECONDS)})


class ErrorBody(AnswerShape):
    """Every error looks like this."""

    error: str = Field(description="One sentence that says what is wrong and what to do next")
    message: str = Field(description="The same sentence")
    code: str = Field(examples=["VALIDATION_ERROR"])
    details: Any = None
    request_id: str | None = Field(None, description="The X-Request-Id of this request, to be named to support")


_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_SOON: Final = "`Retry-After` says when to come again"
ERRORS: Final = {
    400: ("VALIDATION_ERROR", "The request is malformed", "amount: Field required; correct the request."),
    401: (
        "INVALID_API_KEY",
        "No key, or a key or token that is not good",
        "This needs an API key; send one as x-api-key.",
    ),
    403: ("FORBIDDEN", "The key may not do this", "This needs a key with the permission write; use another key."),
    404: (
        "NOT_FOUND",
        "There is no such thing, or it is not the caller's",
        "The payment does not exist, or is not yours to see.",
    ),
    408: (
        "REQUEST_TIMEOUT",
        "The body did not arrive in time",
        "The body did not arrive within 10 seconds; send it again.",
    ),
    409: (
        "CONFLICT",
        "It contradicts what is there, or the Idempotency-Key is another request's",
        "This Idempotency-Key was used for another request; send another key.",
    ),
    410: (
        "GONE",
        "It is not kept any more",
        "What came after that event was removed for its age; begin without `after`.",
    ),
    413: ("PAYLOAD_TOO_LARGE", "The body is larger than 1 MB", "The body is larger than 1 MB; send less."),
    415: (
        "UNSUPPORTED_MEDIA_TYPE",
        "The body is not JSON",
        "The body must be JSON; send Content-Type: application/json.",
    ),
    429: (
        "RATE_LIMIT_EXCEEDED",
        f"Too many requests; {_SOON}",
        "Too many requests; come again in 12 seconds.",
    ),
    503: (
        "UNAVAILABLE",
        f"A part of ours is down; {_SOON}",
        "The database cannot be reached at the moment; repeat the request in 2 seconds.",
    ),
}
"""By status: the code of an error, when it is answered, and an example of its sentence."""


def errors(*statuses: int, model: type[ErrorBody] = ErrorBody) -> dict[int | str, dict[str, Any]]:
    """The documentation of the errors that a route may answer, besides those that `errors_of` knows."""
    return {
        status: {"model": model, "description": f"{ERRORS[status][1]}: `{ERRORS[status][0]}`"}
        for status in sorted(statuses)
    }


def errors_of(methods: Collection[str]) -> dict[int | str, dict[str, Any]]:
    """The documentation of the errors that every route with these methods may answer."""
    found = {400, 401, 429, 503}
    if not _WITH_BODY.isdisjoint(methods):
        found |= {408, 413, 415}
    if "POST" in methods:
        found.add(409)
    return errors(*found)
