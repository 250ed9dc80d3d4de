"""Amounts are exact, whatever is sent; what a client of doubles pays for them is known to the unit."""

import json
import math
import random
import re
import time
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.amounts import (
    BASE_UNITS_MAX,
    AmountError,
    amount_text,
    from_base_units,
    least_equal_amount,
    parse_amount,
    to_base_units,
)

JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
units = st.integers(1, BASE_UNITS_MAX)
decimals = st.integers(0, 18)


def rounded(exact: Fraction) -> Fraction:
    """The nearest double, as IEEE 754 rounds: Python divides integers with one correct rounding, ties to even."""
    return Fraction(exact.numerator / exact.denominator)


def javascript_floor(figure: str, places: int) -> int:
    """The floor of `figure * 10 ** places` or, where that is less, of `figure * 100 * 10 ** (places - 2)`."""
    double = Fraction(float(figure))
    products = [rounded(double * 10**places)]
    if places >= 2:
        products.append(rounded(rounded(double * 100) * 10 ** (places - 2)))
    return math.floor(min(products))


@given(units, decimals)
def test_a_figure_and_its_base_units_are_the_same_amount(amount, places):
    figure = from_base_units(amount, places)
    assert Fraction(figure) == Fraction(amount, 10**places)
    assert to_base_units(figure, places) == amount
    assert to_base_units(parse_amount(str(figure)), places) == amount


@given(st.integers(-BASE_UNITS_MAX, BASE_UNITS_MAX), st.integers(0, 30))
def test_the_text_of_a_figure_is_a_json_number_without_ballast(amount, places):
    text = amount_text(amount, places)
    assert JSON_NUMBER.fullmatch(text)
    assert Fraction(json.loads(text, parse_float=Decimal)) == Fraction(amount, 10**places)
    assert "e" not in text.lower()
    assert "." not in text or not text.endswith("0")


@pytest.mark.parametrize(
    ("amount", "places", "text"),
    [
        (290_000, 6, "0.29"), (1, 6, "0.000001"), (1_500_000, 6, "1.5"), (12_000_000, 6, "12"), (0, 6, "0"),
        (7, 0, "7"), (-1_500, 3, "-1.5"), (BASE_UNITS_MAX, 9, "18446744073.709551615"), (10_000, 6, "0.01"),
    ],
)  # fmt: skip
def test_figures_as_people_write_them(amount, places, text):
    assert amount_text(amount, places) == text


def test_what_clients_of_doubles_pay_counts_as_the_amount():
    assert least_equal_amount(2_010_000, 6) == 2_009_999
    assert least_equal_amount(290_000, 6) == 289_999
    assert least_equal_amount(10_000, 6) == 10_000
    assert least_equal_amount(1, 6) == 1


@given(st.integers(1, 10**15), st.integers(0, 12))
def test_the_least_amount_is_what_javascript_computes(amount, places):
    least = least_equal_amount(amount, places)
    assert least == max(1, min(javascript_floor(amount_text(amount, places), places), amount))
    assert 0 <= amount - least <= 1


@given(units, decimals)
def test_the_least_amount_is_never_more_than_the_amount_nor_much_less(amount, places):
    least = least_equal_amount(amount, places)
    assert 1 <= least <= amount
    # A double has 53 bits: two roundings lose no more than two units of the last of them, and the floor one more.
    assert amount - least <= 1 + amount // 2**51


@pytest.mark.parametrize(
    "text",
    [
        "NaN", "sNaN", "Infinity", "-Infinity", "inf", "", " ", "abc", "1,5", "0x10", "--1", "1e", "9" * 65,
        "1" + "0" * 10**6,
    ],
)  # fmt: skip
def test_what_is_no_decimal_number_is_refused(text):
    with pytest.raises(AmountError, match="is not a decimal number"):
        parse_amount(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0", "must be more than 0"),
        ("-0", "must be more than 0"),
        ("-0.0", "must be more than 0"),
        ("-1", "must be more than 0"),
        ("-1e999999999", "must be more than 0"),
        ("0.0000001", "has more than the 6 decimals"),
        ("1.0000001", "has more than the 6 decimals"),
        ("1e-999999999", "has more than the 6 decimals"),
        ("1e999999999", "is more than any token account can hold"),
        ("18446744073709.551616", "is more than any token account can hold"),
        ("1e400", "is more than any token account can hold"),
    ],
)
def test_what_is_no_amount_of_its_token_is_refused_at_once(text, why):
    started = time.monotonic()
    with pytest.raises(AmountError, match=why):
        to_base_units(parse_amount(text), 6)
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("18446744073709.551615", BASE_UNITS_MAX), ("0.000001", 1), ("1e-6", 1), ("1E+2", 100_000_000),
        ("+1", 1_000_000), ("0.290000000000", 290_000), ("1." + "0" * 60, 1_000_000),
    ],
)  # fmt: skip
def test_every_exact_way_to_write_an_amount_is_taken(text, amount):
    assert to_base_units(parse_amount(text), 6) == amount


@given(st.text(max_size=80))
def test_any_text_is_a_number_or_is_refused(text):
    try:
        figure = parse_amount(text)
    except AmountError:
        return
    assert figure.is_finite()


@given(st.decimals(allow_nan=False, allow_infinity=False), decimals)
def test_any_number_is_exactly_its_base_units_or_is_refused(figure, places):
    try:
        amount = to_base_units(figure, places)
    except AmountError:
        return
    assert 0 < amount <= BASE_UNITS_MAX
    assert Fraction(figure) * 10**places == amount


async def test_the_database_computes_the_same_least_amount(pool):
    """What a payout refuses and what a claim accepts must be one rule, in Python and in SQL."""
    draw = random.Random(402)
    cases = [(draw.randrange(1, 10 ** draw.randrange(1, 20)), draw.randrange(0, 19)) for _ in range(3_000)]
    cases += [(290_000, 6), (2_010_000, 6), (1, 0), (1, 2), (1, 18), (BASE_UNITS_MAX, 0), (BASE_UNITS_MAX, 9)]
    rows = await pool.fetch(
        "SELECT least_equal_amount(amount, decimals) AS least"
        " FROM unnest($1::numeric[], $2::int[]) WITH ORDINALITY AS c (amount, decimals, n) ORDER BY n",
        [amount for amount, _ in cases],
        [places for _, places in cases],
    )
    assert [row["least"] for row in rows] == [least_equal_amount(*case) for case in cases]
