"""Dataclasses as the JSON that is stored and printed: names in camelCase, base units as text, ids as text."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final
from uuid import UUID

_BASE_UNITS: Final = "_base_units"


def camel_json(value: object) -> Any:
    """`value` with every dataclass in it as an object; other keys stay as they are."""
    if is_dataclass(value) and not isinstance(value, type):
        return {_camel(one.name): _field(one.name, getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {key: camel_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [camel_json(one) for one in value]
    return str(value) if isinstance(value, UUID) else value


def _field(name: str, value: object) -> Any:
    if name.endswith(_BASE_UNITS) and value is not None:
        return str(value)
    return camel_json(value)


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)
