"""Numbers of any sign as a table: values and results."""

from decimal import Decimal as Exact
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etl.contracts.field_type import Number
from etl.contracts.forms import FILE_FORM, JSON_FORM, Form
from etl.contracts.numbers import VALUE_DECIMALS, VALUE_DIGITS
from etl.sources import Decimal, Integer, field
from etl.vocabulary import BreachCode
from tests.contracts.tables import declare, judge

GERMAN = Form(is_file=True, decimal_sign=",", thousands_sign=".")
ENGLISH = Form(is_file=True, thousands_sign=",")
SWISS = Form(is_file=True, thousands_sign="'")
ANY = declare(Decimal)
WHOLE = declare(Integer)
NO = BreachCode.NOT_A_NUMBER


@pytest.mark.parametrize(
    ("form", "value", "result"),
    [
        (FILE_FORM, "20.00", "20"),
        (FILE_FORM, "-5.00", "-5"),
        (FILE_FORM, "0.00", "0"),
        (FILE_FORM, "-0.00", "0"),
        (FILE_FORM, "0e999", "0"),
        (FILE_FORM, "+3", "3"),
        (FILE_FORM, " 7 ", "7"),
        (FILE_FORM, ".5", "0.5"),
        (FILE_FORM, "-.5", "-0.5"),
        (FILE_FORM, "007.50", "7.5"),
        (FILE_FORM, "1e3", "1000"),
        (FILE_FORM, "9" * 20 + "." + "9" * 18, "9" * 20 + "." + "9" * 18),
        (FILE_FORM, "1,250.00", NO),
        (FILE_FORM, "$12.50", NO),
        (FILE_FORM, "(12.50)", NO),
        (FILE_FORM, "5.", NO),
        (FILE_FORM, "+-5", NO),
        (FILE_FORM, "- 5", NO),
        (FILE_FORM, "1_000", NO),
        (FILE_FORM, "\u0663", NO),
        (FILE_FORM, "\uff17", NO),
        (FILE_FORM, "\u22125", NO),  # a minus sign that is not a hyphen
        (FILE_FORM, "NaN", NO),
        (FILE_FORM, "Infinity", NO),
        (FILE_FORM, "7\x00", NO),
        (FILE_FORM, "1" + "0" * 20, BreachCode.OUT_OF_RANGE),
        (FILE_FORM, "1e999999", BreachCode.OUT_OF_RANGE),
        (FILE_FORM, "1e99999999999999999999", BreachCode.OUT_OF_RANGE),
        (FILE_FORM, "1e-19", BreachCode.TOO_PRECISE),
        (FILE_FORM, " ", BreachCode.BLANK),
        (ENGLISH, "1,250.00", "1250"),
        (ENGLISH, "-1,250,000.5", "-1250000.5"),
        (ENGLISH, "1250.00", "1250"),
        (ENGLISH, "12,50", NO),
        (ENGLISH, "1,2500", NO),
        (ENGLISH, "1250,000", NO),
        (ENGLISH, ",250", NO),
        (GERMAN, "1.234,50", "1234.5"),
        (GERMAN, "-0,05", "-0.05"),
        (GERMAN, "+1.234", "1234"),
        (GERMAN, "1.5", NO),
        (GERMAN, "1,234.5", NO),
        (SWISS, "1'234.50", "1234.5"),
        (JSON_FORM, Number("-1.50"), "-1.5"),
        (JSON_FORM, "1.50", "1.5"),
        (JSON_FORM, True, NO),
        (JSON_FORM, None, BreachCode.MISSING),
    ],
)
def test_decimal(form: Form, value: Any, result: str | BreachCode) -> None:
    assert judge(ANY, value, form) == (result if isinstance(result, BreachCode) else Exact(result))


@pytest.mark.parametrize(
    ("form", "value", "result"),
    [
        (FILE_FORM, "-7", -7),
        (FILE_FORM, "+3", 3),
        (FILE_FORM, " 7 ", 7),
        (FILE_FORM, "0", 0),
        (FILE_FORM, "-0", 0),
        (FILE_FORM, "007", 7),
        (FILE_FORM, "9" * 20, int("9" * 20)),
        (FILE_FORM, "1" + "0" * 20, BreachCode.OUT_OF_RANGE),
        (FILE_FORM, "1" * 5000, BreachCode.OUT_OF_RANGE),
        (FILE_FORM, "1.0", BreachCode.NOT_AN_INTEGER),
        (FILE_FORM, "1e3", BreachCode.NOT_AN_INTEGER),
        (FILE_FORM, "0x10", BreachCode.NOT_AN_INTEGER),
        (FILE_FORM, "1,000", BreachCode.NOT_AN_INTEGER),
        (ENGLISH, "1,000", 1000),
        (GERMAN, "12,0", BreachCode.NOT_AN_INTEGER),
        (JSON_FORM, Number("-3"), -3),
        (JSON_FORM, Number("3.0"), BreachCode.NOT_AN_INTEGER),
        (JSON_FORM, False, BreachCode.NOT_AN_INTEGER),
    ],
)
def test_integer(form: Form, value: Any, result: int | BreachCode) -> None:
    assert judge(WHOLE, value, form) == result


@pytest.mark.parametrize(
    ("options", "value", "result"),
    [
        ({"min": 0}, "0", "0"),
        ({"min": 0}, "-0.01", BreachCode.OUT_OF_RANGE),
        ({"max": "9.99"}, "9.99", "9.99"),
        ({"max": "9.99"}, "9.991", BreachCode.OUT_OF_RANGE),
        ({"min": Exact(-1), "max": 1}, "-1.0", "-1"),
        ({"currency": "$"}, "$12.50", "12.5"),
        ({"currency": "$"}, "-$12.50", "-12.5"),
        ({"currency": "$"}, "$-12.50", "-12.5"),
        ({"currency": "$"}, "12.50 $", "12.5"),
        ({"currency": "$"}, "12.50", "12.5"),
        ({"currency": "EUR"}, "EUR 12.50", "12.5"),
        ({"currency": "$"}, "\u20ac12.50", NO),
        ({"currency": "$"}, "$", NO),
        ({"currency": "$"}, "-$-5", NO),
        ({"parentheses": True}, "(12.50)", "-12.5"),
        ({"parentheses": True}, "( 12.50 )", "-12.5"),
        ({"parentheses": True}, "(-12.50)", NO),
        ({"parentheses": True}, "(12.50", NO),
        ({"parentheses": True}, "()", NO),
        ({"parentheses": True, "currency": "$"}, "($12.50)", "-12.5"),
        ({"decimal": ",", "thousands": "."}, "1.234,50", "1234.5"),
        ({"decimal": ",", "thousands": " "}, "1 234,50", "1234.5"),
        ({"decimal": ","}, "1.5", NO),
        ({"round_to": 18}, "0.0005840811745500313", "0.000584081174550031"),
        ({"round_to": 18}, "1.50", "1.5"),
        ({"round_to": 2}, "0.125", "0.12"),
        ({"round_to": 2}, "-0.135", "-0.14"),
        ({"round_to": 2}, "0.004", BreachCode.TOO_PRECISE),
        ({"round_to": 2}, "1e-9999999", BreachCode.TOO_PRECISE),
        ({"round_to": 2}, "0", "0"),
        ({"round_to": 0}, "1e3", "1000"),
        ({"round_to": 18}, "9" * 20 + ".9999999999999999999", BreachCode.OUT_OF_RANGE),
        ({"round_to": 2}, "1" + "0" * 20, BreachCode.OUT_OF_RANGE),
    ],
)
def test_decimal_with_parameters(options: dict[str, Any], value: str, result: str | BreachCode) -> None:
    contract = declare(Decimal, field(**options))
    expected = result if isinstance(result, BreachCode) else Exact(result)
    assert judge(contract, value) == judge(contract, value, JSON_FORM) == expected


def test_own_signs_are_not_those_of_a_json_number() -> None:
    contract = declare(Decimal, field(decimal=",", thousands="."))
    assert judge(contract, Number("1.234"), JSON_FORM) == Exact("1.234")
    assert judge(contract, "1.234", JSON_FORM) == 1234


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("$12.50", "it must be a number, not '$12.50'"),
        (" (12.50)", "it must be a number, not ' (12.50)'"),
        ("-7", "it must be at least 0, not -7"),
    ],
)
def test_refused_number_is_shown_as_it_was_sent(value: str, message: str) -> None:
    assert declare(Decimal, field(min=0)).judge({"it": value}, FILE_FORM).message == message  # type: ignore[union-attr]


@given(st.integers(-(10**40), 10**40) | st.integers(-5, 5), st.integers(-45, 25))
@example(10**20 - 1, 0)
@example(-1, -18)
def test_decimal_is_accepted_exactly_when_numeric_38_18_holds_it(digits: int, exponent: int) -> None:
    units = Fraction(digits) * Fraction(10) ** (exponent + VALUE_DECIMALS)
    fits = units.denominator == 1 and abs(units) < 10**VALUE_DIGITS
    assert (judge(ANY, Number(f"{digits}e{exponent}"), JSON_FORM) == Exact(f"{digits}e{exponent}")) == fits


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"min": 0.1}, "decimal numbers as strings"),
        ({"max": "many"}, "min and max are numbers"),
        ({"round_to": 19}, "round_to is a number of decimals"),
        ({"currency": " "}, "currency is a sign"),
        ({"currency": 5}, "currency is a sign"),
        ({"decimal": 5}, "one sign each"),
        ({"decimal": "12"}, "one sign each"),
        ({"thousands": "-"}, "one sign each"),
        ({"minimum": 0}, "no parameter 'minimum'; its parameters: min, max, decimal, thousands, currency"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_rejected(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        declare(Decimal, field(**options))
