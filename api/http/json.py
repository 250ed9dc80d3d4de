"""JSON as the contract has it: camelCase, exact numbers, times in milliseconds."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Self
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from starlette.responses import Response

from ledger.amounts import from_base_units


class Shape(BaseModel):
    """Base of what callers send: camelCase outside, snake_case inside; fields that are unknown are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class StrictShape(Shape):
    """Base of what admins send: an unknown field is refused, or a misspelt one would count as left out."""

    model_config = ConfigDict(extra="forbid")


class AnswerShape(Shape):
    """Base of what is answered. An answer is built as the model that documents it, and has no other field.

    Build it by the names of its attributes and give it to `answer`. Amounts are `ExactAmount` with `exact_amount(...)`,
    times are `EpochMs` with `ledger.times.epoch_ms(...)`, ids are `uuid.UUID`.
    """

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def of_stored(cls, stored: Mapping[str, Any]) -> Self:
        """Build it of JSON that another process stored. What a newer one stored besides is left out."""
        names = (field.alias or name for name, field in cls.model_fields.items())
        return cls.model_validate({name: stored[name] for name in names if name in stored})


class NoFields(StrictShape):
    """Nothing: the route takes no field."""


def exact_amount(amount_base_units: int, decimals: int) -> Decimal:
    """Base units as an exact figure: `0.01`, never `0.010000000000000002`."""
    return from_base_units(amount_base_units, decimals)


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`content`, an answer's model or what orjson can write, as JSON; a `Decimal` is an exact number."""
    plain = content.model_dump(by_alias=True) if isinstance(content, BaseModel) else content
    return Response(orjson.dumps(plain, default=_encoded), status, headers, "application/json")


def _encoded(value: object) -> orjson.Fragment | str:
    """What orjson does not write by itself: exact numbers, and the ids of the database's driver."""
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f").encode())
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
