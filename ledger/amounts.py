"""Amounts between base units and the decimal figures of people, always exact.

A figure from JSON must be parsed as `Decimal` or text: once it has been a binary float, what was meant is lost.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final

BASE_UNITS_MAX: Final = 2**64 - 1
_AMOUNT_CHARACTERS_MAX: Final = 64
# A u64 has 20 digits, and a token at most 255 decimals: beyond, powers of ten would only cost memory.
_SHIFT_MAX: Final = 512
_CENTS: Final = 2


class AmountError(ValueError):
    """A figure that is no amount of its token; the message says why, as the end of a sentence."""


def parse_amount(text: str) -> Decimal:
    """A decimal figure as JSON or a person writes it, exactly.

    Raises:
        AmountError: It is none.
    """
    try:
        amount = Decimal(text) if len(text) <= _AMOUNT_CHARACTERS_MAX else None
    except InvalidOperation:
        amount = None
    if amount is None or not amount.is_finite():
        raise AmountError("is not a decimal number")
    return amount


_GROUPED: Final = re.compile(r"[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]*)?")


def ungrouped(text: str) -> str:
    """A figure as a person writes it, without the commas that group its thousands: `1,234.5` is `1234.5`.

    Raises:
        AmountError: A comma stands where none groups thousands, as in `1,50`, which may mean 1.50.
    """
    written = text.strip()
    if "," not in written:
        return written
    if _GROUPED.fullmatch(written) is None:
        raise AmountError("has a comma that groups no thousands; write the decimals after a point, as in 1.50")
    return written.replace(",", "")


def parse_thresholds(text: str) -> dict[str, Decimal]:
    """Figures by symbol, written as `USDC:100,SOL:0.5`; symbols come back in capitals.

    Raises:
        ValueError: It is written otherwise, or a figure is negative.
    """
    found = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        symbol, colon, amount = part.partition(":")
        if not colon or not symbol.strip():
            raise ValueError(part)
        found[symbol.strip().upper()] = at = parse_amount(amount.strip())
        if at < 0:
            raise ValueError(part)
    return found


def threshold_of(thresholds: Mapping[str, Decimal], symbol: str) -> Decimal | None:
    """The amount of `symbol`, in whatever letters, among `thresholds` as they are parsed; `None` where it has none."""
    return thresholds.get(symbol.upper())


def to_base_units(amount: Decimal, decimals: int) -> int:
    """`amount` of a token with `decimals`, in base units.

    Raises:
        AmountError: It is not positive, finer than the token, or more than a u64 holds.
    """
    if amount <= 0:
        raise AmountError("must be more than 0")
    _, digits, exponent = amount.as_tuple()
    assert isinstance(exponent, int)
    if exponent > _SHIFT_MAX:
        raise AmountError("is more than any token account can hold")
    if exponent < -_SHIFT_MAX:
        raise AmountError(f"has more than the {decimals} decimals of its token")
    coefficient = int("".join(map(str, digits)))
    shift = exponent + decimals
    if shift >= 0:
        units: int = coefficient * 10**shift
    else:
        units, rest = divmod(coefficient, 10**-shift)
        if rest:
            raise AmountError(f"has more than the {decimals} decimals of its token")
    if units > BASE_UNITS_MAX:
        raise AmountError("is more than any token account can hold")
    return units


def least_equal_amount(amount_base_units: int, decimals: int) -> int:
    """What a client that computes in doubles, and rounds down, pays for this amount.

    402pay's JavaScript SDK does: `Math.floor(figure * 10 ** decimals)` is 2009999 for 2.01 USDC. By way of cents it is
    289999 for 0.29. Both count as the amount. Never more than the amount, and at least 1.
    """
    # Doubles on purpose, and nowhere else: this repeats what the client's machine does.
    text = amount_text(amount_base_units, decimals)
    products = [float(text) * float(10**decimals)]
    if decimals >= _CENTS:
        products.append(float(text) * float(10**_CENTS) * float(10 ** (decimals - _CENTS)))
    return max(1, min(int(min(products)), amount_base_units))


def from_base_units(amount_base_units: int, decimals: int) -> Decimal:
    """Base units as a decimal figure, exactly, without trailing zeros and never in exponent notation."""
    text = amount_text(amount_base_units, decimals)
    return Decimal(text)


def amount_text(amount_base_units: int, decimals: int) -> str:
    """Base units as people write them: `1.5`, `0.000001`, `12`; a valid JSON number."""
    sign = "-" if amount_base_units < 0 else ""
    digits = str(abs(amount_base_units)).rjust(decimals + 1, "0")
    whole, part = (digits[:-decimals], digits[-decimals:].rstrip("0")) if decimals else (digits, "")
    return f"{sign}{whole}.{part}" if part else f"{sign}{whole}"
