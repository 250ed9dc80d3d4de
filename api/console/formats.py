"""How values are written on pages: amounts exactly, times in UTC, long names short where the whole is beside them."""

import datetime as dt
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SHORT_CHARACTERS: Final = 6


def amount(number: Decimal) -> str:
    """An amount with every digit that it has, thousands apart: `1,234.000001`."""
    return f"{number:,f}"


def moment(milliseconds: int) -> str:
    """A time in milliseconds since 1970, as people read it: `28 Nov 2026, 21:05:09`; in UTC."""
    return f"{_at(milliseconds):%-d %b %Y, %H:%M:%S}"


def iso(milliseconds: int) -> str:
    """A time in milliseconds since 1970, as programs read it."""
    return _at(milliseconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def short(name: str) -> str:
    """The beginning and the end of an address, a signature or a nonce that is longer than both."""
    if len(name) <= 2 * _SHORT_CHARACTERS + 1:
        return name
    return f"{name[:_SHORT_CHARACTERS]}…{name[-_SHORT_CHARACTERS:]}"


def words(name: str) -> str:
    """A name of programs as words: `job_not_funded` is `job not funded`."""
    return name.replace("_", " ").replace(".", " ")


def apart(name: str) -> str:
    """A name in camel case as words, the first with a capital: `latePayment` is `Late payment`."""
    return re.sub(r"(?<!^)([A-Z])", lambda found: f" {found[1].lower()}", name).capitalize()


def _at(milliseconds: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(milliseconds=milliseconds)


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "amount": amount,
    "moment": moment,
    "iso": iso,
    "short": short,
    "words": words,
    "apart": apart,
}
"""What templates call these."""
