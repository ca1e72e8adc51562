"""Laws of judging by columns: the results are the same as those of judging value by value."""

from collections.abc import Sequence
from typing import Annotated, Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etl.contracts.amounts import DecimalType, IntegerType
from etl.contracts.contract import Contract
from etl.contracts.field_type import FieldType, Number
from etl.contracts.forms import FILE_FORM, JSON_FORM, Form
from etl.contracts.instants import TimeType
from etl.contracts.texts import TextType
from etl.contracts.times import DateType
from etl.contracts.words import BooleanType, ChoiceType
from etl.records import Breach
from etl.sources import (
    Boolean,
    Date,
    Decimal,
    Email,
    Identifier,
    Integer,
    NonBlank,
    PositiveDecimal,
    PositiveInt,
    Text,
    Time,
    Url,
    Uuid,
    ZonedTime,
)
from etl.vocabulary import BreachCode

TYPES: dict[str, FieldType] = {
    kind.describe(): kind
    for kind in (
        *(get_args(each)[1] for each in (NonBlank, Text, PositiveInt, PositiveDecimal, ZonedTime, Date)),
        *(get_args(each)[1] for each in (Identifier, Integer, Decimal, Boolean, Time, Email, Url, Uuid)),
        TextType(trim=False, max_length=3),
        TextType(pattern="[0-9]+"),
        IntegerType(min=0, max=100),
        DecimalType(min="-7", max="9.5", decimal=",", thousands="."),
        DecimalType(currency="$", parentheses=True),
        BooleanType(trues=("7", "Desk"), falses=("0",)),
        ChoiceType((("7", "seven"), ("Desk", "desk"))),
        DateType(formats=("%d.%m.%y", "iso")),
        TimeType(formats=("%Y-%m-%d", "iso"), zone="Europe/Berlin"),
        TimeType(epoch="seconds"),
        TimeType(zone="Europe/Berlin", zones=(("CET", "+01:00"),), twice="later"),
    )
}
GERMAN_FORM = Form(is_file=True, nulls=frozenset({"", "N/A", "null"}), decimal_sign=",", thousands_sign=".")
BERLIN_FORM = Form(is_file=True, zone="Europe/Berlin", trues=frozenset({"7"}), falses=frozenset({"0"}))
FILE_FORMS = [BERLIN_FORM, FILE_FORM, GERMAN_FORM, Form(is_file=True, nulls=frozenset(), thousands_sign="\u00a0")]

ODD = [
    *("", " ", "\u3000", "\n", "\n\n", "\r", "\r\n", "\x00", "\x1c", "\x85", "\u2028", "\ud800", "\ud83d", "\ude00"),
    *("a\nb", "7\n", "\n7", "7\n8", " 7", "7 ", "7\r", "7\x00", "7\x85", "x\x00", "\ud800x", "null", "N/A", " N/A "),
    *(
        "0",
        "00",
        "007",
        "-0",
        "-7",
        "+7",
        "7.",
        ".7",
        "7.0",
        "70",
        "100",
        "7.10",
        "7.00",
        "0.0",
        "0.00",
        "0.10",
        "0.01",
    ),
    *("1e3", "1E-3", "0e9", "1e999999", "1e-99999999999999999999", "1_000", "1,5", "1.234,50", "1.23,4", "1\u00a0234"),
    *("٣", "７", "²", "9" * 20, "9" * 21, "9" * 38, "9" * 39, "0" * 37 + "1", "1" * 5000, "NaN", "sNaN", "Infinity"),
    *(
        "0." + "0" * 17 + "1",
        "0." + "0" * 18,
        "0." + "0" * 18 + "1",
        "1." + "0" * 18,
        "1." + "0" * 40,
        "1.5" + "0" * 90,
    ),
    *("2024-02-29", "2023-02-29", "2024-02-30", "2024-04-31", "2024-12-31", "0000-01-01", "0001-01-01", "9999-12-31"),
    *("2024-00-10", "2024-10-00", "2024-13-01", "２０２４-01-01", "20240101", "2024-1-1", "2024-01-01 ", "2024-W01-1"),
    *("2024-05-01T10:00:00Z", "2024-05-01T10:00:00+00:00", "2024-05-01 10:00Z", "2024-05-01T10:00:00.5Z"),
    *("2024-05-01T24:00:00Z", "2024-05-01T23:59:60Z", "2024-05-01T10:00:00-00:00", "2024-05-01T10:00:00+02:00"),
    *(
        "2024-12-31T23:30:59-05:00",
        "2024-03-01T00:59:01+14:00",
        "2024-05-01T10:00:00+15:00",
        "2024-05-01T10:20:30+05:30",
    ),
    *("9999-12-31T23:59:59-01:00", "9999-12-31T23:59:59Z", "2024-99-01T10:00:00+02:00", "2024-05-01T10:00:00x02:00"),
    *(
        "$7",
        "($7.50)",
        "-$7",
        "(7)",
        "true",
        "FALSE",
        "False ",
        "a@b.de",
        "https://a.de",
        "0" * 32,
        "31.12.24",
        "1.5.24",
    ),
    *("2024-10-27 02:30", "2024-03-31 02:30", "2016-12-31T23:59:60Z", "1 May 2024 10:00 GMT", "1714557600", "1e400"),
    *(
        "2024-05-01T10:00:00",
        "2024-05-01T24:00:00",
        "2024-05-01 10:60Z",
        "2024-05-01 10:00 CET",
        "0001-01-01T00:00:00+01:00",
        "2024-02-29T10:00:00Z",
        "2023-02-29T10:00:00Z",
    ),
]
PLAIN = ["Desk", "Größe", "7", "12", "1200", "9.5", "12.50", "0.5", "2024-05-01", "2024-05-01T10:00:00Z"]

words = st.sampled_from(ODD) | st.sampled_from(PLAIN)
numerals = st.from_regex(r"-?[0-9.,eE]{1,45}\n?", fullmatch=True)
times = st.datetimes().map(lambda time: f"{time.isoformat()}Z") | st.dates().map(str)
cells = words | st.text(max_size=8) | st.text(st.characters(), max_size=4) | numerals | times
json_values = st.recursive(
    cells | cells.map(Number) | st.booleans() | st.floats() | st.integers(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=3,
)


def judge_rows(kind: FieldType, column: Sequence[Any], form: Form) -> tuple[list[str | None], dict[int, Breach]]:
    parsed = [kind.parse(value, form) for value in column]
    texts = [None if isinstance(value, Breach) else kind.write(value) for value in parsed]
    return texts, {row: value for row, value in enumerate(parsed) if isinstance(value, Breach)}


def assert_accepts(kind: FieldType, column: Sequence[Any], form: Form) -> None:
    """The quick judgement of whether a value is accepted is that of parsing it."""
    _, breaches = judge_rows(kind, column, form)
    assert [row for row, value in enumerate(column) if not kind.accepts(value, form)] == [*breaches]


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
@given(column=st.lists(cells, max_size=12), form=st.sampled_from([JSON_FORM, *FILE_FORMS]))
@example(column=ODD, form=FILE_FORM)
@example(column=ODD, form=GERMAN_FORM)
@example(column=[*PLAIN, *ODD, *PLAIN], form=FILE_FORM)
@example(column=[each for word in ODD for each in (*PLAIN, word)], form=FILE_FORM)
def test_column_of_text_is_judged_as_each_of_its_cells(kind: FieldType, column: list[str], form: Form) -> None:
    assert kind.parse_column(column, form) == judge_rows(kind, column, form)
    assert_accepts(kind, column, form)


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
def test_one_odd_cell_spoils_no_column_of_plain_cells(kind: FieldType) -> None:
    plain = [each for each in PLAIN if not isinstance(kind.parse(each, FILE_FORM), Breach)]
    for odd in ODD:
        for column in ([odd], [odd, *plain], [*plain, odd], [*plain, odd, *plain, odd, odd, *plain]):
            assert kind.parse_column(column, FILE_FORM) == judge_rows(kind, column, FILE_FORM)


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
@given(column=st.lists(json_values, max_size=8))
@example(column=[Number(word) for word in ODD])
@example(column=[*PLAIN, True, Number("7.50"), Number("7"), [], {}, 7, "8"])
def test_column_of_json_values_is_judged_as_each_of_them(kind: FieldType, column: list[Any]) -> None:
    assert kind.parse_column(column, JSON_FORM) == judge_rows(kind, column, JSON_FORM)
    assert_accepts(kind, column, JSON_FORM)


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
@given(value=cells)
def test_canonical_text_is_accepted_and_stays_as_it_is(kind: FieldType, value: str) -> None:
    parsed = kind.parse(value, FILE_FORM)
    if not isinstance(parsed, Breach) and "(" not in kind.describe():  # parameters may say another way to write it
        text = kind.write(parsed)
        assert (kind.parse(text, FILE_FORM), kind.write(kind.parse(text, FILE_FORM))) == (parsed, text)


@pytest.mark.parametrize(
    ("kind", "texts", "canonical"),
    [
        ("positive_decimal", ["1e3", "1000", "1000.0", "01000", "1.0E3"], "1000"),
        ("positive_decimal", ["12.5", "12.50", "012.500", "125e-1"], "12.5"),
        ("positive_decimal", ["1e-18", "0.000000000000000001"], "0.000000000000000001"),
        ("positive_int", ["7", "007"], "7"),
        ("positive_int", ["100", "0100"], "100"),
        ("text", ["Desk", " Desk\t", "\u3000Desk"], "Desk"),
        ("date", ["2024-02-29"], "2024-02-29"),
        (
            "zoned_time",
            ["2024-05-01T10:00:00Z", "2024-05-01 10:00Z", "2024-05-01T12:00:00+02:00", "2024-05-01T10:00:00.0Z"],
            "2024-05-01T10:00:00+00:00",
        ),
    ],
)
def test_equal_values_have_equal_texts(kind: str, texts: list[str], canonical: str) -> None:
    assert TYPES[kind].parse_column(texts, FILE_FORM) == ([canonical] * len(texts), {})


# Contracts


class Price(Contract):
    amount: PositiveDecimal
    note: Text | None


class Seller(Contract):
    name: Text
    price: Price | None


class Offer(Contract):
    sku: NonBlank
    count: PositiveInt | None
    seller: Seller
    price: Price | None
    day: Date | None
    at: ZonedTime | None


OFFER = {"sku": "A1", "count": "7", "seller": {"name": "B"}, "price": {"amount": Number("9.50")}, "day": "2024-05-01"}
likely = st.none() | st.sampled_from(
    ["A1", "7", Number("9.5"), "2024-05-01", "2024-05-01T10:00:00Z", "", " ", "N/A", {}]
)
prices = st.fixed_dictionaries({}, optional={"amount": likely, "note": likely}) | likely
sellers = st.fixed_dictionaries({}, optional={"name": likely, "price": prices}) | likely
offers = st.fixed_dictionaries(
    {},
    optional={
        "sku": likely | json_values,
        "count": likely | json_values,
        "seller": sellers | st.just(OFFER["seller"]),
        "price": prices | st.just(OFFER["price"]),
        "day": likely,
        "at": likely,
    },
)


def judge_by_columns(
    contract: type[Contract], records: Sequence[dict[str, Any]], form: Form
) -> list[dict[str, str | None] | Breach]:
    texts, breaches = contract.judge_columns(lambda name: [each.get(name) for each in records], len(records), form)
    assert list(texts) == list(contract.list_fields())
    return [breaches.get(row) or {path: texts[path][row] for path in texts} for row in range(len(records))]


def judge_by_rows(
    contract: type[Contract], records: Sequence[dict[str, Any]], form: Form
) -> list[dict[str, str | None] | Breach]:
    return [_write(contract, contract.judge(each, form)) for each in records]


def _write(contract: type[Contract], judged: dict[str, Any] | Breach) -> dict[str, str | None] | Breach:
    if isinstance(judged, Breach):
        return judged
    kinds = {path: field.kind for path, field in contract.list_fields().items()}
    return {path: None if value is None else kinds[path].write(value) for path, value in judged.items()}  # type: ignore[union-attr]


@given(records=st.lists(offers | st.just(OFFER), max_size=8))
@example(records=[OFFER, {}, OFFER | {"seller": None}, OFFER | {"seller": "B"}, OFFER | {"sku": "", "day": "never"}])
@example(records=[OFFER | {"price": {}}, OFFER | {"price": None}, OFFER | {"seller": {"name": "B", "price": {}}}])
def test_columns_of_json_are_judged_as_each_record(records: list[dict[str, Any]]) -> None:
    judged = judge_by_rows(Offer, records, JSON_FORM)
    assert judge_by_columns(Offer, records, JSON_FORM) == judged
    assert list(map(Offer.accepts, records)) == [not isinstance(each, Breach) for each in judged]


class Line(Contract):
    sku: NonBlank
    title: Text | None
    count: PositiveInt
    price: PositiveDecimal | None
    day: Date
    at: ZonedTime | None


lines = st.fixed_dictionaries({name: st.none() | cells for name in Line.fields})
LINE = {"sku": "A1", "title": "Desk", "count": "7", "price": "9", "day": "2024-05-01", "at": "2024-05-01T10:00:00Z"}


@given(records=st.lists(lines | st.just(LINE), max_size=8), form=st.sampled_from(FILE_FORMS))
@example(records=[LINE | {name: word} for name in LINE for word in ODD], form=FILE_FORM)
@example(records=[LINE | {name: word} for name in LINE for word in ODD], form=GERMAN_FORM)
@example(records=[LINE, dict.fromkeys(LINE), dict.fromkeys(LINE, ""), dict.fromkeys(LINE, "N/A")], form=GERMAN_FORM)
def test_columns_of_a_file_are_judged_as_each_record(records: list[dict[str, Any]], form: Form) -> None:
    assert judge_by_columns(Line, records, form) == judge_by_rows(Line, records, form)


def test_of_two_breaches_the_first_in_the_order_of_the_contract_is_reported() -> None:
    judged = judge_by_columns(Line, [LINE | {"day": "never", "count": "x"}, LINE | {"sku": "", "at": "x"}], FILE_FORM)
    assert [each.column for each in judged if isinstance(each, Breach)] == ["count", "sku"]


# Own types


class Sku(FieldType):
    """Takes two letters and digits; parsed to upper case."""

    name = "sku"

    def parse(self, value: Any, form: Form) -> str | Breach:
        if isinstance(value, str) and value[:2].isalpha() and value[2:].isdigit():
            return value.upper()
        return Breach(BreachCode.MALFORMED, "is not a SKU")


def test_own_type_without_a_fast_form_judges_columns_in_a_loop() -> None:
    part = type(
        "Part", (Contract,), {"__annotations__": {"sku": Annotated[str, Sku()], "old": Annotated[str, Sku()] | None}}
    )
    judged = judge_by_columns(part, [{"sku": "ab1", "old": "cd2"}, {"sku": "7"}, {"sku": "ab2", "old": ""}], FILE_FORM)
    breach = Breach(BreachCode.MALFORMED, "sku is not a SKU", "sku")
    assert judged == [{"sku": "AB1", "old": "CD2"}, breach, {"sku": "AB2", "old": None}]
