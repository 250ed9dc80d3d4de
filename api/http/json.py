"""JSON as the contract has it: camelCase, exact numbers, times in milliseconds."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel
from starlette.responses import Response

from ledger.amounts import figure_text


class Shape(BaseModel):
    """Base of what is read and documented as JSON: camelCase outside, snake_case inside."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class StrictShape(Shape):
    """Base of what admins send: a field that is unknown is refused, for a misspelt one must not be an omitted one."""

    model_config = ConfigDict(extra="forbid")


class NoFields(StrictShape):
    """Nothing: the route takes no field."""


Figure = Annotated[
    Decimal,
    PlainSerializer(str),
    WithJsonSchema({"type": "number", "description": "Exact decimal figure in units of the token"}),
]
"""An amount as people read it, in models that describe answers."""

BaseUnitsText = Annotated[str, Field(pattern=r"^[0-9]+$", description="Base units as a decimal string")]
EpochMs = Annotated[int, Field(description="Milliseconds since 1970")]


def figure(amount_base_units: int, decimals: int) -> orjson.Fragment:
    """Base units as an exact JSON number: `0.01`, never `0.010000000000000002`."""
    return orjson.Fragment(figure_text(amount_base_units, decimals).encode())


def epoch_ms(at: dt.datetime | None) -> int | None:
    """A time as JSON has it."""
    # Whole microseconds first: a product of doubles could be off by one.
    return None if at is None else round(at.timestamp() * 1_000_000) // 1000


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`content` as JSON."""
    return Response(orjson.dumps(content), status, headers, "application/json")
