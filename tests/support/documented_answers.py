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


@functools.cache
def _validator(path, method, status):
    operation = document()["paths"][path].get(method.lower())
    answer = operation and operation["responses"].get(str(status))
    content = answer and answer.get("content", {}).get("application/json")
    if not content:
        return None
    return Draft202012Validator({**content["schema"], "components": document()["components"]})


def undocumented(method, path, status, body):
    """What is wrong with an answer by its documentation, in sentences; nothing where no such answer is documented."""
    plain = path.partition("?")[0]
    template = next((template for pattern, template in _paths() if pattern.fullmatch(plain)), None)
    validator = template and _validator(template, method, status)
    if not validator:
        return []
    return [f"{method} {plain} {status}: {error.json_path}: {error.message}" for error in validator.iter_errors(body)]
