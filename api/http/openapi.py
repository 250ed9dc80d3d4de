"""The API's description of itself, as /openapi.json and /docs have it."""

from typing import Any

from fastapi import FastAPI

_TEXT = """
402pay's payment ledger for Solana answers whether a payment is real, whose it is, and whether it was used before.

Amounts are exact JSON numbers in units of their token, beside base units as decimal strings. Times are milliseconds
since 1970. Every error has the same form; its `code` is for programs, its sentence for people.

Any POST may carry an `Idempotency-Key`: the first answer is kept for 24 hours and given again to the same request.
"""
TITLE = "402pay payment ledger"
SUMMARY = _TEXT.strip()


def describe(app: FastAPI) -> dict[str, Any]:
    """What FastAPI knows of the routes, without its 422: a malformed request is a 400 here, like every refusal."""
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
                # Where an answer is text, FastAPI takes the errors for text too.
                for status, answer in operation["responses"].items():
                    if status >= "400" and (text := answer["content"].pop("text/plain", None)) is not None:
                        answer["content"].setdefault("application/json", text)
        for name in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(name, None)
        app.openapi_schema = document
    return app.openapi_schema
