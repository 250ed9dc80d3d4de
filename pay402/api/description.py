"""The OpenAPI document, made true where FastAPI cannot know: what the layers around every route answer."""

from collections.abc import Callable
from typing import Any, Final

from pay402.api.errors import ErrorBody, errors

_WITH_BODY: Final = frozenset({"post", "put", "patch"})
_BODY_STATUSES: Final = (408, 409, 413, 415)


def describe(make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The document that `make` makes, without 422, which is never answered, and with what every body can meet."""
    document = make()
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas.setdefault("ErrorBody", ErrorBody.model_json_schema(ref_template="#/components/schemas/{model}"))
    for operations in document["paths"].values():
        for method, operation in operations.items():
            responses = operation["responses"]
            responses.pop("422", None)
            statuses = [401] if operation.get("security") else []
            for status in [*statuses, *(_BODY_STATUSES if method in _WITH_BODY else ())]:
                responses.setdefault(str(status), _error(status))
            # Where an answer is text, FastAPI takes the errors for text too.
            texts = [
                status
                for status, answer in responses.items()
                if status >= "400" and "text/plain" in answer.get("content", ())
            ]
            responses |= {status: _error(int(status)) for status in texts}
    return document


def _error(status: int) -> dict[str, Any]:
    return {
        "description": errors(status)[status]["description"],
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}},
    }
