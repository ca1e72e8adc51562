"""The types of text as tables: values and results."""

from typing import Any, Literal
from uuid import UUID

import pytest

from etl.contracts.field_type import Number
from etl.contracts.forms import FILE_FORM, JSON_FORM, Form
from etl.sources import Boolean, Choice, Email, Identifier, Text, Url, Uuid, field
from etl.vocabulary import BreachCode
from tests.contracts.tables import declare, judge

OK, NO = True, False


@pytest.mark.parametrize(
    ("options", "value", "result"),
    [
        ({}, " a b ", "a b"),
        ({"trim": False}, " a b ", " a b "),
        ({"trim": False}, "  ", BreachCode.BLANK),
        ({"max_length": 3}, "abc", "abc"),
        ({"max_length": 3}, " abc ", "abc"),
        ({"max_length": 3}, "abcd", BreachCode.TOO_LONG),
        ({"max_length": 3}, "äöü", "äöü"),
        ({"pattern": "[A-Z][0-9]+"}, "A12", "A12"),
        ({"pattern": "[A-Z][0-9]+"}, " A12", "A12"),
        ({"pattern": "[A-Z][0-9]+"}, "A12x", BreachCode.PATTERN),
        ({"pattern": "[A-Z][0-9]+", "trim": False}, " A12", BreachCode.PATTERN),
        ({"pattern": "[A-Z][0-9]+", "max_length": 2}, "A12", BreachCode.TOO_LONG),
    ],
)
def test_text(options: dict[str, Any], value: str, result: Any) -> None:
    assert judge(declare(Text, field(**options)), value) == result


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("007", "007"),
        ("7", "7"),
        ("1.0", "1.0"),
        (" 8 ", "8"),
        ("1E+05", "1E+05"),
        ("-1", "-1"),
        ("123456789012345678901", "123456789012345678901"),
        ("A1", "A1"),
        ("a1", "a1"),
        (Number("1"), "1"),
        (Number("3.0"), "3.0"),
        (Number("12345678901234567890"), "12345678901234567890"),
        (Number("1e400"), "1e400"),
        (True, BreachCode.NOT_TEXT),
        ([Number("1")], BreachCode.NOT_TEXT),
        ({}, BreachCode.NOT_TEXT),
        (" ", BreachCode.BLANK),
        ("a\x00", BreachCode.NUL_CHARACTER),
        ("\ud800", BreachCode.BAD_ENCODING),
        (None, BreachCode.MISSING),
    ],
)
def test_identifier(value: Any, result: Any) -> None:
    assert judge(declare(Identifier), value, JSON_FORM) == result


def test_identifier_has_the_limits_of_a_text() -> None:
    short = declare(Identifier, field(max_length=3, pattern="[0-9]+"))
    assert [judge(short, Number(text), JSON_FORM) for text in ("123", "1234", "1.0")] == [
        "123",
        BreachCode.TOO_LONG,
        BreachCode.PATTERN,
    ]


WORDS = Form(is_file=True, trues=frozenset({"Ja", "1"}), falses=frozenset({"Nein", "0"}))
OWN = {"trues": ["Y"], "falses": ["N"]}


@pytest.mark.parametrize(
    ("options", "form", "value", "result"),
    [
        ({}, FILE_FORM, "true", True),
        ({}, FILE_FORM, "FALSE", False),
        ({}, FILE_FORM, " True ", True),
        ({}, FILE_FORM, "1", BreachCode.NOT_A_BOOLEAN),
        ({}, FILE_FORM, "yes", BreachCode.NOT_A_BOOLEAN),
        ({}, FILE_FORM, "", BreachCode.BLANK),
        ({}, WORDS, "ja", True),
        ({}, WORDS, "0", False),
        ({}, WORDS, "true", BreachCode.NOT_A_BOOLEAN),
        ({}, JSON_FORM, True, True),
        ({}, JSON_FORM, False, False),
        ({}, JSON_FORM, "true", BreachCode.NOT_A_BOOLEAN),
        ({}, JSON_FORM, Number("1"), BreachCode.NOT_A_BOOLEAN),
        ({}, JSON_FORM, [], BreachCode.NOT_A_BOOLEAN),
        (OWN, JSON_FORM, "y", True),
        (OWN, JSON_FORM, "N ", False),
        (OWN, JSON_FORM, True, True),
        (OWN, FILE_FORM, "true", BreachCode.NOT_A_BOOLEAN),
        ({"trues": ["1"], "falses": ["0"]}, JSON_FORM, Number("0"), False),
    ],
)
def test_boolean(options: dict[str, Any], form: Form, value: Any, result: Any) -> None:
    assert judge(declare(Boolean, field(**options)), value, form) is result


PAID = declare(Choice, field(choices={"P": "paid", "R": "refunded", "0": "open"}))


@pytest.mark.parametrize(
    ("contract", "value", "result"),
    [
        (PAID, "P", "paid"),
        (PAID, " R ", "refunded"),
        (PAID, Number("0"), "open"),
        (PAID, "p", BreachCode.NOT_A_CHOICE),
        (PAID, "paid", BreachCode.NOT_A_CHOICE),
        (PAID, True, BreachCode.NOT_A_CHOICE),
        (PAID, " ", BreachCode.BLANK),
        (declare(Choice, field(choices=["a", "b"])), "b", "b"),
        (declare(Literal["a", "b"]), "b ", "b"),
        (declare(Literal["a", "b"]), "c", BreachCode.NOT_A_CHOICE),
        (declare(Literal["a", "b"] | None), "", None),
    ],
)
def test_choice(contract: Any, value: Any, result: Any) -> None:
    assert judge(contract, value) == result if isinstance(value, str) else judge(contract, value, JSON_FORM) == result


@pytest.mark.parametrize(
    ("text", "is_accepted"),
    [
        ("ann@example.org", OK),
        (" ann.b+c@mail.example.co.uk ", OK),
        ("o'neill@example.org", OK),
        ("käthe@exämple.org", OK),
        ("ann", NO),
        ("ann@example", NO),
        ("@example.org", NO),
        ("ann@.org", NO),
        ("ann.@example.org", NO),
        ("ann..b@example.org", NO),
        ("ann b@example.org", NO),
        ("ann@b@example.org", NO),
        ("Ann <ann@example.org>", NO),
        ("ann@example.org, bob@example.org", NO),
        ("a" * 250 + "@example.org", NO),
    ],
)
def test_email(text: str, *, is_accepted: bool) -> None:
    assert judge(declare(Email), text) == (text.strip() if is_accepted else BreachCode.NOT_AN_EMAIL)


@pytest.mark.parametrize(
    ("text", "is_accepted"),
    [
        ("https://example.org", OK),
        (" http://example.org:8080/a?b=c#d ", OK),
        ("HTTPS://EXAMPLE.ORG/", OK),
        ("https://[::1]/x", OK),
        ("https://exämple.org/ü", OK),
        ("example.org", NO),
        ("//example.org", NO),
        ("https://", NO),
        ("https:///path", NO),
        ("ftp://example.org", NO),
        ("javascript:alert(1)", NO),
        ("https://example.org/a b", NO),
        ("https://[::1", NO),
        ("https://example.org:port", NO),
        ("https://example.org:99999", NO),
        ("https://example.org/" + "x" * 2000, NO),
    ],
)
def test_url(text: str, *, is_accepted: bool) -> None:
    assert judge(declare(Url), text) == (text.strip() if is_accepted else BreachCode.NOT_A_URL)


def test_url_of_other_schemes() -> None:
    secure = declare(Url, field(schemes=["sftp"]))
    assert judge(secure, "sftp://example.org/x") == "sftp://example.org/x"
    assert judge(secure, "https://example.org/x") is BreachCode.NOT_A_URL


CANONICAL = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"


@pytest.mark.parametrize(
    "text",
    [CANONICAL, CANONICAL.upper(), f" {{{CANONICAL}}} ", CANONICAL.replace("-", ""), f"urn:uuid:{CANONICAL}"],
)
def test_uuid_has_one_canonical_text(text: str) -> None:
    contract = declare(Uuid)
    assert judge(contract, text) == UUID(CANONICAL)
    assert contract.judge_columns(lambda _: [text], 1, FILE_FORM, names=["it"])[0] == {"it": [CANONICAL]}


@pytest.mark.parametrize(
    "value", [CANONICAL[:-1], CANONICAL + "0", "{" + CANONICAL, CANONICAL + "}", "g" * 32, "٣" * 32, Number("1"), True]
)
def test_nothing_else_is_a_uuid(value: Any) -> None:
    assert judge(declare(Uuid), value, JSON_FORM) is BreachCode.NOT_A_UUID


@pytest.mark.parametrize(
    ("hint", "options", "problem"),
    [
        (Text, {"max_length": 0}, "max_length is a whole number above 0"),
        (Text, {"pattern": "("}, "pattern is not a regular expression"),
        (Boolean, {"trues": "Y"}, "lists of words"),
        (Boolean, {"trues": True}, "lists of words"),
        (Choice, {"choices": 3}, "list of words"),
        (Choice, {}, "say which words there are"),
        (Choice, {"choices": "ab"}, "list of words"),
        (Literal[1, 2], {}, "list of words"),
        (Url, {"schemes": "https"}, "list of words"),
        (Email, {"max_length": 3}, r"no parameter 'max_length'; it takes no parameters"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_rejected(hint: Any, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(TypeError, match=rf"Declared\.it: .*{problem}"):
        declare(hint, field(**options))


def test_parameters_are_part_of_the_description() -> None:
    assert declare(Text, field(max_length=3, trim=True)).describe() == {"it": "text(max_length=3)"}
    assert PAID.describe() == {"it": "choice(choices=(('P', 'paid'), ('R', 'refunded'), ('0', 'open')))"}
