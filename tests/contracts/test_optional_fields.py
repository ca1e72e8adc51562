"""Laws of fields that may be absent, null or empty, in JSON and in a file, and of a file's words and signs."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from etl.checks import check_sources
from etl.contracts.contract import Contract
from etl.contracts.field_type import Number
from etl.contracts.forms import FILE_FORM, JSON_FORM, Form
from etl.readers.csv_dialect import CsvSource
from etl.readers.source import Source
from etl.records import Breach, UnifiedFields
from etl.sources import Date, Json, NonBlank, PositiveDecimal, PositiveInt, Text, ZonedTime, lower
from etl.vocabulary import BreachCode
from tests.contracts.tables import declare


class Price(Contract):
    amount: PositiveDecimal
    currency: NonBlank | None


class Item(Contract):
    sku: NonBlank
    note: Text | None
    day: Date | None
    price: Price | None


class Everything(Contract):
    non_blank: NonBlank | None
    text: Text | None
    count: PositiveInt | None
    amount: PositiveDecimal | None
    at: ZonedTime | None
    day: Date | None


NO_WORDS = Form(is_file=True, nulls=frozenset())
WORDS = Form(is_file=True, nulls=frozenset({"", "N/A"}))
GERMAN = Form(is_file=True, decimal_sign=",", thousands_sign=".")


def find_code(contract: type[Contract], values: dict[str, Any], form: Form) -> BreachCode | None:
    judged = contract.judge(values, form)
    return judged.code if isinstance(judged, Breach) else None


def test_absent_null_and_empty_optional_fields_are_none() -> None:
    expected = {"sku": "A1", "note": None, "day": None, "price.amount": None, "price.currency": None}
    assert Item.judge({"sku": "A1"}) == expected
    assert Item.judge({"sku": "A1", "note": None, "day": None, "price": None}) == expected
    assert Item.judge({"sku": "A1", "note": "", "day": "", "price": ""}) == expected


def test_optional_fields_that_are_there_are_judged_by_their_type() -> None:
    price = {"amount": Number("9.5")}
    assert Item.judge({"sku": "A1", "note": " new ", "day": "2024-05-01", "price": price}) == {
        "sku": "A1",
        "note": "new",
        "day": date(2024, 5, 1),
        "price.amount": Decimal("9.5"),
        "price.currency": None,
    }


@pytest.mark.parametrize(
    ("changes", "column", "code"),
    [
        ({"note": " "}, "note", BreachCode.BLANK),  # in JSON, only the empty string is empty
        ({"sku": ""}, "sku", BreachCode.BLANK),
        ({"note": Number("1")}, "note", BreachCode.NOT_TEXT),
        ({"day": "never"}, "day", BreachCode.NOT_A_DATE),
        ({"price": "9.5"}, "price", BreachCode.NOT_AN_OBJECT),
        ({"price": {}}, "price.amount", BreachCode.MISSING),
        ({"sku": None}, "sku", BreachCode.MISSING),
    ],
)
def test_optional_field_with_a_bad_value_is_refused(changes: dict[str, Any], column: str, code: BreachCode) -> None:
    judged = Item.judge({"sku": "A1"} | changes)
    assert isinstance(judged, Breach)
    assert (judged.column, judged.code) == (column, code)


@pytest.mark.parametrize("hint", [NonBlank, Text, PositiveInt, PositiveDecimal, ZonedTime, Date, list[Text], Price])
def test_empty_text_of_json_is_none_for_every_type(hint: Any) -> None:
    contract = declare(hint | None)
    paths = contract.list_fields()
    assert contract.judge({"it": ""}) == dict.fromkeys(paths)
    texts, breaches = contract.judge_columns(lambda _: ["", None], 2)
    assert ([*texts], [*texts.values()]) == ([*paths], [[None, None]] * len(paths))
    assert breaches == {}


@pytest.mark.parametrize("cell", ["", " ", "\t", "N/A", " N/A "])
def test_empty_cell_and_null_word_of_a_file_are_none_for_every_type(cell: str) -> None:
    nothing = dict.fromkeys(Everything.fields)
    assert Everything.judge(dict.fromkeys(Everything.fields, cell), WORDS) == nothing


def test_null_word_counts_only_where_the_dialect_names_it() -> None:
    assert Item.judge({"sku": "A1", "note": "N/A"}, FILE_FORM) == Item.judge({"sku": "A1", "note": "N/A"})
    assert find_code(Item, {"sku": "A1", "note": ""}, NO_WORDS) == BreachCode.BLANK
    assert find_code(Item, {"sku": "A1", "note": "N/A"}, WORDS) is None
    assert Item.judge({"sku": "N/A"}, JSON_FORM) == Item.judge({"sku": "N/A"}, FILE_FORM)


def test_null_word_is_missing_in_a_required_field_and_an_empty_cell_is_blank() -> None:
    codes = [find_code(Item, {"sku": cell}, WORDS) for cell in ("N/A", "", " ")]
    assert codes == [BreachCode.MISSING, BreachCode.BLANK, BreachCode.BLANK]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.234,50", "1234.5"),
        ("1.234.567", "1234567"),
        ("12,5", "12.5"),
        ("1234,5", "1234.5"),
        ("12", "12"),
        ("1.5", None),
        ("12.34,5", None),
        ("1.2345", None),
        (".123", None),
        ("1,234.5", None),
        ("1,2,3", None),
    ],
)
def test_number_of_a_file_has_the_signs_of_its_dialect(text: str, number: str | None) -> None:
    judged = Everything.judge({"amount": text}, GERMAN)
    assert (str(judged["amount"].normalize()) if isinstance(judged, dict) else None) == (
        number and str(Decimal(number).normalize())
    )


def test_whole_number_of_a_file_may_have_thousands_signs() -> None:
    judged = Everything.judge({"count": "1.234"}, GERMAN)
    assert isinstance(judged, dict)
    assert judged["count"] == 1234
    assert find_code(Everything, {"count": "12,0"}, GERMAN) == BreachCode.NOT_AN_INTEGER


def test_description_tells_optional_fields_from_required_ones() -> None:
    assert list(Item.describe().items()) == [
        ("sku", "non_blank"),
        ("note", "text or null"),
        ("day", "date or null"),
        ("price", "object or null"),
        ("price.amount", "positive_decimal"),
        ("price.currency", "non_blank or null"),
    ]


def test_everything_in_an_optional_contract_is_an_optional_field() -> None:
    optional = {path: field.is_optional for path, field in Item.list_fields().items()}
    assert optional == {"sku": False, "note": True, "day": True, "price.amount": True, "price.currency": True}


@pytest.mark.parametrize("hint", [None, Text | Date, Text | Date | None, str | None])
def test_a_field_has_one_type(hint: Any) -> None:
    with pytest.raises(TypeError, match=r"Odd\.field"):
        type("Odd", (Contract,), {"__annotations__": {"field": hint}})


# Sources


class Line(Contract):
    sku: NonBlank
    kind: Text | None
    price: PositiveDecimal | None
    at: ZonedTime | None


class Lines(CsvSource):
    name = "lines"
    contract: ClassVar[type[Contract]] = Line
    unified = {
        "external_id": "sku",
        "name": "sku",
        "category": lower("kind"),
        "value": "price",
        "event_timestamp": "at",
    }


class Feed(Source):
    name = "feed"
    contract = Line
    unified = Lines.unified


def test_empty_cells_of_a_csv_file_become_nulls() -> None:
    assert Lines().judge({"sku": "A1", "kind": "", "price": " ", "at": ""}) == UnifiedFields("A1", "A1")


def test_cells_of_a_csv_file_are_mapped() -> None:
    expected = UnifiedFields("A1", "A1", "desk", Decimal("9.5"), None, datetime(2024, 5, 1, tzinfo=UTC))
    assert Lines().judge({"sku": "A1", "kind": "Desk ", "price": "9.5", "at": "2024-05-01T00:00:00Z"}) == expected


@pytest.mark.parametrize("value", [None, ""])
def test_nulls_and_empty_texts_of_a_feed_become_nulls(value: str | None) -> None:
    assert Feed().judge({"sku": "A1", "kind": value}) == UnifiedFields("A1", "A1")


def test_optional_field_changes_the_digest() -> None:
    class Strict(Lines):
        class Required(Line):
            kind: Text

        contract: ClassVar[type[Contract]] = Required

    assert Strict().digest() != Lines().digest()


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("Optional", "maps 'title' (text) to name, but the field is optional."),
        ("Daily", "maps 'day' (date) to event_timestamp, which it does not fit."),
    ],
)
def test_a_mapping_that_does_not_fit_is_named(settings: Any, source: str, problem: str) -> None:
    settings.ETL_SOURCES = [f"tests.broken_sources.{source}"]
    (found,) = [message for message in check_sources(None) if message.id == "etl.E006"]
    assert found.msg == f"tests.broken_sources.{source}.unified {problem}"


def test_an_empty_string_stays_in_a_field_of_any_json() -> None:
    class Anything(Contract):
        extra: Json | None

    assert Anything.judge({"extra": ""}) == {"extra": ""}
    texts, breaches = Anything.judge_columns({"extra": ["", None]}.__getitem__, 2)
    assert (texts, breaches) == ({"extra": ['""', None]}, {})
