"""JSON of callers that is kept as it came: of a bounded size, and without what Postgres cannot hold."""

from decimal import Decimal
from typing import Any

import orjson

from api.http.errors import invalid


def stored_json(value: Any, name: str, most_bytes: int) -> Any:
    """`value` as it can be stored. Raises ApiError 400 when it cannot be; `name` is its field."""
    try:
        encoded = orjson.dumps(value, default=_number)
        # Numbers were read exactly; what is kept for their sender are JSON's usual ones.
        kept = orjson.loads(encoded)
    except (TypeError, ValueError, RecursionError):
        raise invalid(f"{name} cannot be stored as JSON; send less depth.", {"field": name}) from None
    if len(encoded) > most_bytes:
        raise invalid(f"{name} is larger than {most_bytes} bytes; send a link instead.", {"field": name})
    if b"\\u0000" in encoded:
        raise invalid(f"{name} holds a NUL character; leave it out.", {"field": name})
    return kept


def _number(value: object) -> orjson.Fragment:
    if not isinstance(value, Decimal):
        raise TypeError(type(value).__name__)
    return orjson.Fragment(str(value).encode())
