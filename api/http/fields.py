"""The types of fields that several rooms read or answer, each defined once."""

import datetime as dt
import re
import uuid
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema

from api.http.errors import invalid, not_found

CLOCK_AHEAD_MS_MAX: Final = 60 * 1000
"""How far, in milliseconds, a caller's clock may be ahead of ours in what it signs."""

_BASE58: Final = "[1-9A-HJ-NP-Za-km-z]"
# Postgres holds every character but NUL, and a log line or a terminal wants none of the other controls.
_PRINTABLE: Final = r"^[^\x00-\x1f\x7f-\x9f]*$"
_AMOUNT: Final = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")

ShortText = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=_PRINTABLE)]
"""A name or an id of a caller's: 1 to 256 characters, none of them control characters."""

LongText = Annotated[str, StringConstraints(max_length=4096, pattern=r"^[^\x00]*$")]
"""A text of several lines: at most 4,096 characters, none of them NUL."""

Address = Annotated[str, StringConstraints(min_length=32, max_length=44, pattern=f"^{_BASE58}+$")]
"""The characters of a Solana address. That they are 32 bytes is checked by `chain.addresses.parse_address`."""

Base58Signature = Annotated[str, StringConstraints(min_length=64, max_length=88, pattern=f"^{_BASE58}+$")]
"""The characters of an ed25519 signature. That they are 64 bytes is checked where it is used."""

SlotSent = Annotated[int, Field(ge=0, lt=2**53)]
"""A slot as a request names it."""

MillisecondsSent = Annotated[int, Field(ge=0, lt=2**53)]
"""A time as a request names it, in milliseconds since 1970."""


def _plain_amount(value: Any) -> Any:
    """A number, or the text of one as JSON writes it: not `true`, `1_000` or digits of other scripts."""
    if isinstance(value, bool) or (isinstance(value, str) and _AMOUNT.fullmatch(value) is None):
        raise ValueError("must be a decimal number")
    return value


AmountSent = Annotated[
    Decimal,
    BeforeValidator(_plain_amount),
    Field(description="In units of the token: a JSON number or a string, taken exactly"),
]
"""An amount as a request names it, in units of its token."""

ExactAmount = Annotated[
    Decimal,
    WithJsonSchema({"type": "number", "description": "Exact decimal figure in units of the token"}),
]
"""An amount as people read it, in models that describe answers."""

BaseUnitsText = Annotated[str, Field(pattern=r"^[0-9]+$", description="Base units as a decimal string")]
"""An amount in base units, in models that describe answers."""

EpochMs = Annotated[int, Field(description="Milliseconds since 1970")]
"""A time, in models that describe answers."""


def parse_id(text: str, what: str) -> uuid.UUID:
    """The id of a row of ours in a path; `what` names the row in the refusal.

    Raises:
        ApiError: 404 for a text that is no id, since it names nothing.
    """
    try:
        return uuid.UUID(text)
    except ValueError:
        raise not_found(what) from None


def time_sent(milliseconds: int, name: str) -> dt.datetime:
    """The time that a request names in milliseconds since 1970; `name` is its field.

    Raises:
        ApiError: 400 for a time beyond the years that Python and Postgres know.
    """
    try:
        return dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(milliseconds=milliseconds)
    except OverflowError:
        raise invalid(f"{name} is no time; send milliseconds since 1970.", {"field": name}) from None
