"""JSON of callers that is stored: checked before anything is written, so that it can always be read back the same."""

from decimal import Decimal
from typing import Any, Final

import msgspec
import orjson

from api.http.errors import ApiError, invalid

_DEPTH_MAX: Final = 64
_INTEGER_MIN: Final = -(2**63)
_INTEGER_MAX: Final = 2**64 - 1


def stored_json(value: Any, name: str, bytes_max: int) -> Any:
    """What is stored for `value`, JSON whose fractions were read as `Decimal`; reading it back gives the same.

    A number without a fraction is kept exactly, in whichever notation it came; a fraction is kept as a double.

    Args:
        value: The JSON of a caller.
        name: Its field, for the refusal.
        bytes_max: How many bytes its compact text may have.

    Raises:
        ApiError: 400 for a number beyond 64 bits, for more than 64 levels of lists and objects, for a NUL character,
            and for more than `bytes_max` bytes.
    """
    kept = _kept(value, name, _DEPTH_MAX)
    if len(orjson.dumps(kept)) > bytes_max:
        raise _refusal(name, f"is larger than {bytes_max} bytes; send a link instead")
    return kept


def as_stored(value: Any) -> orjson.Fragment:
    """Stored JSON as it is put into an answer, whatever the database holds."""
    # Rows from before `stored_json` hold numbers that orjson does not write.
    return orjson.Fragment(msgspec.json.encode(value))


def _kept(value: Any, name: str, depth: int) -> Any:
    match value:
        case None | bool():
            return value
        case str():
            return _text(value, name)
        case int():
            return _whole(value, name)
        case Decimal():
            return _number(value, name)
    if depth == 0:
        raise _refusal(name, f"is nested more than {_DEPTH_MAX} levels deep; send less depth")
    if isinstance(value, dict):
        return {_text(key, name): _kept(one, name, depth - 1) for key, one in value.items()}
    return [_kept(one, name, depth - 1) for one in value]


def _text(value: str, name: str) -> str:
    if "\0" in value:
        raise _refusal(name, "holds a NUL character; leave it out")
    return value


def _whole(value: int, name: str) -> int:
    if not _INTEGER_MIN <= value <= _INTEGER_MAX:
        raise _refusal(name, "holds a number beyond 64 bits; send it as text")
    return value


def _number(value: Decimal, name: str) -> int | float:
    if value == value.to_integral_value():
        return _whole(int(value), name)
    kept = float(value)
    # Postgres writes a double without a fraction as a whole number.
    return kept if not kept.is_integer() else _whole(int(kept), name)


def _refusal(name: str, problem: str) -> ApiError:
    return invalid(f"{name} {problem}.", {"field": name})
