"""The API's description of itself, as /openapi.json and /docs have it."""

import re
from typing import Any, Final

from fastapi import FastAPI
from pydantic.alias_generators import to_camel

from api.http.errors import ERRORS
from api.http.examples import Examples
from api.http.samples import FIELD_SAMPLES

_TEXT = """
402pay's payment ledger for Solana answers whether a payment is real, whose it is, and whether it was used before.

Amounts are exact JSON numbers in units of their token, beside base units as decimal strings. Times are milliseconds
since 1970. Every error has the same form; its `code` is for programs, its sentence for people.

Any POST may carry an `Idempotency-Key`: the first answer is kept for 24 hours and given again to the same request.
"""
TITLE = "402pay payment ledger"
SUMMARY = _TEXT.strip()
TAGS: Final = [
    {"name": "Verify", "description": "Is this payment real, this merchant's, and not used before?"},
    {"name": "Payments", "description": "Ask for a payment, see whether it was paid, and read the ledger."},
    {"name": "Recipients", "description": "The wallets whose payments the ledger follows."},
    {"name": "x402", "description": "Sell and buy over the open protocol x402; docs/x402.md says how."},
    {"name": "Events", "description": "What happened to your money, as pages or as a stream."},
    {"name": "Webhooks", "description": "The same events, sent to your server; docs/webhooks.md says how."},
    {"name": "Marketplace", "description": "Services, the jobs ordered of them, and the money held for a job."},
    {"name": "Analytics", "description": "Claims, revenue, buyers and the last reconciliation."},
    {"name": "Keys", "description": "API keys, and access tokens made with them."},
    {"name": "Operations", "description": "Work for indexers and workers, ordered by an admin."},
    {"name": "Health", "description": "For load balancers and Prometheus; not limited, and open without a key."},
    {"name": "Home", "description": "Where everything is."},
]
"""The subjects of the API, in the order in which somebody new to it wants to read them."""

_JSON: Final = "application/json"
_FIRST_SENTENCE_ENDS: Final = re.compile(r"[.;:](\s|$)")


def summary_of(docstring: str) -> str:
    """The title of a route: its docstring up to the first full stop, semicolon or colon."""
    return _FIRST_SENTENCE_ENDS.split(" ".join(docstring.split()), maxsplit=1)[0]


def describe(app: FastAPI) -> dict[str, Any]:
    """What FastAPI knows of the routes, with an example of everything that is sent and answered.

    Its 422 is left out: a malformed request is a 400 here, like every refusal.
    """
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        schemas = document["components"]["schemas"]
        examples = Examples(schemas)
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
                operation["summary"] = summary_of(operation["description"])
                _mend_texts(operation)
                _add_examples(operation, examples)
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        app.openapi_schema = document
    return app.openapi_schema


def _mend_texts(operation: dict[str, Any]) -> None:
    """Where an answer is text, FastAPI takes the errors for text too."""
    for status, answer in operation["responses"].items():
        if status >= "400" and (text := answer["content"].pop("text/plain", None)) is not None:
            answer["content"].setdefault(_JSON, text)


def _add_examples(operation: dict[str, Any], examples: Examples) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            # Ids of every kind look alike; one that names nothing is answered by 404.
            parameter["example"] = FIELD_SAMPLES.get(to_camel(parameter["name"]), FIELD_SAMPLES["id"])
    if (sent := operation.get("requestBody")) is not None:
        media = sent["content"][_JSON]
        media.setdefault("example", examples.of_request(media["schema"]))
    for status, answer in operation["responses"].items():
        media = answer.get("content", {}).get(_JSON)
        if media is None or "example" in media:
            continue
        example = examples.of(media["schema"])
        if status >= "400" and int(status) in ERRORS and "error" in example:
            code, _, sentence = ERRORS[int(status)]
            example |= {"error": sentence, "message": sentence, "code": code}
        media["example"] = example
