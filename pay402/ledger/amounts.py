"""Amounts between base units and the decimal figures of people, always exact.

A figure from JSON must be parsed as `Decimal` or text: once it has been a binary float, what was meant is lost.
"""

from decimal import Decimal, InvalidOperation
from typing import Final

MAX_BASE_UNITS: Final = 2**64 - 1
_MAX_FIGURE_CHARACTERS: Final = 64
# A u64 has 20 digits, and a token at most 255 decimals: beyond, powers of ten would only cost memory.
_MAX_SHIFT: Final = 512


class AmountError(ValueError):
    """A figure that is no amount of its token; the message says why, as the end of a sentence."""


def parse_figure(text: str) -> Decimal:
    """A decimal figure as JSON or a person writes it, exactly.

    Raises:
        AmountError: It is none.
    """
    try:
        figure = Decimal(text) if len(text) <= _MAX_FIGURE_CHARACTERS else None
    except InvalidOperation:
        figure = None
    if figure is None or not figure.is_finite():
        raise AmountError("is not a decimal number")
    return figure


def to_base_units(figure: Decimal, decimals: int) -> int:
    """`figure` of a token with `decimals`, in base units.

    Raises:
        AmountError: It is not positive, finer than the token, or more than a u64 holds.
    """
    if figure <= 0:
        raise AmountError("must be more than 0")
    _, digits, exponent = figure.as_tuple()
    assert isinstance(exponent, int)
    if exponent > _MAX_SHIFT:
        raise AmountError("is more than any token account can hold")
    if exponent < -_MAX_SHIFT:
        raise AmountError(f"has more than the {decimals} decimals of its token")
    coefficient = int("".join(map(str, digits)))
    shift = exponent + decimals
    if shift >= 0:
        units: int = coefficient * 10**shift
    else:
        units, rest = divmod(coefficient, 10**-shift)
        if rest:
            raise AmountError(f"has more than the {decimals} decimals of its token")
    if units > MAX_BASE_UNITS:
        raise AmountError("is more than any token account can hold")
    return units


def least_equal_amount(amount_base_units: int, decimals: int) -> int:
    """The least that a client which computes in doubles, and rounds down, pays for this amount.

    402pay's JavaScript SDK does: `Math.floor(figure * 10 ** decimals)` makes 2009999 of 2.01 USDC, and by way of
    hundredths 0.29 USDC become 289999. Never more than the amount, and at least 1.
    """
    # Doubles on purpose, and nowhere else: this repeats what the client's machine does.
    text = figure_text(amount_base_units, decimals)
    figure = float(text)
    product = figure * 10.0**decimals
    by_hundredths = figure * 100.0 * 10.0 ** (decimals - 2)
    return max(1, min(int(product), int(by_hundredths), amount_base_units))


def figure_text(amount_base_units: int, decimals: int) -> str:
    """Base units as people write them: `1.5`, `0.000001`, `12`; a valid JSON number."""
    sign = "-" if amount_base_units < 0 else ""
    digits = str(abs(amount_base_units)).rjust(decimals + 1, "0")
    whole, part = (digits[:-decimals], digits[-decimals:].rstrip("0")) if decimals else (digits, "")
    return f"{sign}{whole}.{part}" if part else f"{sign}{whole}"
