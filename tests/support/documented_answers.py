"""Holds every answer that a test gets against what the API says of itself: no field may be undeclared."""

import functools
import re
from dataclasses import fields

from jsonschema import Draft202012Validator

from api.app import Rooms, create_app
from api.metrics import ApiMetrics
from api.settings import ApiSettings
from runtime.metrics import new_registry


@functools.cache
def document():
    """What /openapi.json says. It follows from the routes alone, so the rooms behind them are not opened."""
    closed = Rooms(**{room.name: None for room in fields(Rooms)})
    return create_app(closed, ApiSettings(APP_ENV="test"), ApiMetrics(new_registry())).openapi()


@functools.cache
def _paths():
    # A path without a parameter goes before one that it would match too.
    known = sorted(document()["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"{[^}]+}", "[^/]+", path)), path) for path in known]


# The description describes the others, and not itself.
_DESCRIBES_THE_OTHERS = "/openapi.json"
# What a defect of ours is answered with on every route, and no route documents: it has the form of its outages.
_DEFECT, _OUTAGE = 500, 503
# What is answered before a route is found, where there is none.
_NO_ROUTE = {400, 404, 405, 408, 413, 415, 429, 500, 503}


@functools.cache
def _validator(path, method, status):
    operation = document()["paths"][path].get(method.lower())
    answer = operation and operation["responses"].get(str(status))
    content = answer and answer.get("content", {}).get("application/json")
    return _validator_of(content["schema"]) if content else None


@functools.cache
def _error_validator():
    return _validator_of({"$ref": "#/components/schemas/ErrorBody"})


def _validator_of(schema):
    return Draft202012Validator({**schema, "components": document()["components"]})


def _validator_for(method, plain, status):
    template = next((template for pattern, template in _paths() if pattern.fullmatch(plain)), None)
    methods = document()["paths"].get(template, {})
    if method.lower() not in methods:
        # A path has one form of refusals, whatever the method.
        own = next(filter(None, (_validator(template, other, _OUTAGE) for other in methods)), None)
        return (own or _error_validator()) if status in _NO_ROUTE else None
    return _validator(template, method, _OUTAGE if status == _DEFECT else status)


def undocumented(method, path, status, body):
    """What is wrong with a JSON answer by its documentation, in sentences; that it has none is wrong too."""
    plain = path.partition("?")[0]
    if plain == _DESCRIBES_THE_OTHERS or method == "HEAD":
        return []
    validator = _validator_for(method, plain, status)
    if validator is None:
        return [f"{method} {plain} {status}: no such answer is documented"]
    return [f"{method} {plain} {status}: {error.json_path}: {error.message}" for error in validator.iter_errors(body)]
