"""Laws of names: which column of a content holds a field, and what a refusal calls it."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.contracts.field_type import Number
from etl.contracts.forms import FILE_FORM, JSON_FORM, Form
from etl.contracts.names import number_doubled
from etl.records import Breach
from etl.sources import Contract, Date, NonBlank, PositiveInt, Text, field


class Order(Contract):
    number: PositiveInt = field(column="Order ID")
    buyer: Text = field(column="Customer Name", also=["Buyer", "Käufer"])
    kind: Text | None = field(column="class")
    total: Text | None


class Moment(Contract):
    at: Text = field(columns=["Date", "Time"])
    until: Text | None = field(columns=["Day", "Hour", "Zone"])


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["Order ID", "Customer Name", "class", "total"], ["Order ID", "Customer Name", "class", "total"]),
        (["\ufeffOrder ID", " Customer Name", "class\u00a0", "total\t"], "as they are"),
        (["ORDER ID", "customer name", "Class", "Total"], "as they are"),
        (["Order ID", "Buyer", "class", "total"], "as they are"),
        (["Order ID", "Buyer", "Customer Name"], ["Order ID", "Customer Name", None, None]),
        (["Order ID", "Order id", "Buyer"], ["Order ID", "Buyer", None, None]),  # exact before another case
        (["ORDER ID", "order id", "Buyer"], [None, "Buyer", None, None]),  # either could be meant
        (["Order ID ", " Order ID", "Buyer"], [None, "Buyer", None, None]),
        (["number", "buyer", "kind"], [None, "buyer", None, None]),  # column= replaces the field's own name
        (["KÄUFER"], [None, "KÄUFER", None, None]),
        ([], [None, None, None, None]),
    ],
)
def test_column_is_found_exactly_then_trimmed_then_in_another_case(names: list[str], found: list[str] | str) -> None:
    wanted = names if found == "as they are" else found
    resolved = Order.resolve(tuple(names))
    assert [resolved.get(name, [None])[0] for name in Order.fields] == wanted


def test_a_column_that_one_field_names_exactly_is_not_taken_for_another_field() -> None:
    class Both(Contract):
        price: Text
        unit: Text | None = field(column="Price")

    assert Both.resolve(("price",)) == {"price": ["price"]}
    assert Both.resolve(("Price", "price")) == {"price": ["price"], "unit": ["Price"]}


def test_joined_columns_are_found_only_together() -> None:
    assert Moment.resolve(("date", " Time", "Day", "Hour")) == {"at": ["date", " Time"]}


@pytest.mark.parametrize(
    ("values", "joined"),
    [
        ({"Date": "01.05.2024", "Time": "10:00"}, "01.05.2024 10:00"),
        ({"Date": " 01.05.2024 ", "Time": "10:00 "}, "01.05.2024 10:00"),
        ({"date": "01.05.2024", "TIME": "10:00"}, "01.05.2024 10:00"),
        ({"Date": "01.05.2024", "Time": ""}, "Date + Time is missing"),
        ({"Date": "N/A", "Time": "10:00"}, "Date + Time is missing"),
        ({"Date": "01.05.2024"}, "Date + Time is missing"),
    ],
)
def test_several_columns_make_one_value(values: dict[str, str], joined: str) -> None:
    judged = Moment.judge(values, Form(is_file=True, nulls=frozenset({"", "N/A"})))
    assert (judged.message if isinstance(judged, Breach) else judged["at"]) == joined


@pytest.mark.parametrize(
    ("parts", "joined"),
    [
        (("a", "b"), "a b"),
        (("a", Number("7")), "a 7"),
        (("a", None), None),
        (("a", " "), None),
        (("a", True), "refused"),
    ],
)
def test_joined_fields_of_json_are_texts_or_numbers(parts: tuple[Any, Any], joined: str | None) -> None:
    class Pair(Contract):
        both: Text | None = field(columns=["a", "b"])

    judged = Pair.judge(dict(zip("ab", parts, strict=True)))
    assert ("refused" if isinstance(judged, Breach) else judged["both"]) == joined


@pytest.mark.parametrize(
    ("values", "buyer"),
    [
        ({"Customer Name": "Ann"}, "Ann"),
        ({"Buyer": "Ann"}, "Ann"),
        ({"Customer Name": None, "Käufer": "Ann"}, "Ann"),
        ({"Customer Name": "Ann", "Buyer": "Bob"}, "Ann"),
        ({"customer name": "Ann"}, None),
        ({" Buyer": "Ann"}, None),
    ],
)
def test_json_has_exact_names_and_other_spellings_only(values: dict[str, Any], buyer: str | None) -> None:
    assert Order.parse_field("buyer", values) == buyer


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({" order id": "x", "Buyer": "Ann"}, " order id must be a whole number, not 'x'"),
        ({"Order ID": "7", "Buyer": " "}, "Buyer is blank"),
        ({"Order ID": "7"}, "Customer Name is missing"),
    ],
)
def test_a_refusal_names_the_column_as_the_file_does(values: dict[str, str], message: str) -> None:
    judged = Order.judge(values, FILE_FORM)
    assert isinstance(judged, Breach)
    assert judged.message == message
    assert message.startswith(judged.column)


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["order id", "Buyer"], []),
        (["Order ID", "class"], ["Customer Name"]),
        (["total"], ["Order ID", "Customer Name"]),
    ],
)
def test_missing_columns_are_named_as_the_contract_declares_them(names: list[str], missing: list[str]) -> None:
    assert Order.find_missing(names) == missing


def test_of_joined_columns_the_missing_one_is_named() -> None:
    assert Moment.find_missing(["Date", "Day", "Hour"]) == ["Time"]


def test_a_file_without_any_optional_column_lacks_them_all() -> None:
    class Loose(Contract):
        a: Text | None = field(column="A")
        b: Text | None

    assert Loose.find_missing(["x"]) == ["A", "b"]
    assert Loose.find_missing(["B"]) == []


def test_only_doubled_names_that_a_field_uses_count() -> None:
    assert Order.find_doubled(["Order ID", "year", "Buyer", "year"]) == []
    assert Order.find_doubled(["Order ID", "Buyer", "class", "Buyer", "order id "]) == ["Buyer"]


def test_description_says_which_columns_hold_a_field() -> None:
    assert Order.describe() == {
        "number": "positive_int from 'Order ID'",
        "buyer": "text from 'Customer Name' or 'Buyer' or 'Käufer'",
        "kind": "text or null from 'class'",
        "total": "text or null",
    }
    assert Moment.describe()["until"] == "text or null from 'Day' + 'Hour' + 'Zone'"


# field(...)


def test_a_field_of_a_base_keeps_its_column_unless_it_is_declared_again() -> None:
    class Base(Contract):
        a: Text = field(column="A")
        b: Text = field(column="B")

    class Derived(Base):
        b: NonBlank
        c: Text | None = field(column="C")

    assert {name: each.columns for name, each in Derived.fields.items()} == {
        "a": (("A",),),
        "b": (("b",),),
        "c": (("C",),),
    }
    assert not hasattr(Derived, "a")


def test_a_field_may_have_a_name_that_the_contract_itself_uses() -> None:
    names: dict[str, Any] = {"judge": field(column="judge"), "resolve": field(column="x")}
    odd: Any = type("Odd", (Contract,), {"__annotations__": dict.fromkeys(names, Text)} | names)
    assert odd.judge({"judge": "a", "x": "b"}) == {"judge": "a", "resolve": "b"}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"colum": "x"}, r"Odd\.day: the type text has no parameter 'colum'"),
        ({"column": ["a", "b"]}, "takes one name"),
        ({"also": "Name"}, "takes a list of names"),
        ({"columns": ["a"]}, "joins two or more"),
        ({"columns": ["a", "b"], "column": "c"}, "leave out column"),
    ],
)
def test_a_field_that_says_something_unknown_is_rejected(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        type("Odd", (Contract,), {"__annotations__": {"day": Text}, "day": field(**options)})


def test_a_field_without_a_type_is_rejected() -> None:
    with pytest.raises(TypeError, match=r"Odd\.day has field\(…\), but no type: write day: Text"):
        type("Odd", (Contract,), {"day": field(column="x")})


def test_parameters_of_a_nested_contract_are_given_to_its_fields() -> None:
    with pytest.raises(TypeError, match="give it to the fields of that contract"):
        type("Odd", (Contract,), {"__annotations__": {"order": Order}, "order": field(pattern="x")})


# By columns

_NAMES = ["Order ID", "order id", " Order ID", "Customer Name", "Buyer", "buyer ", "class", "Date", "time", "Day", "x"]
_CELLS = st.sampled_from(["", " ", "7", "Ann", " 8 ", "2024-05-01", "N/A"])


class All(Order, Moment):
    day: Date | None


@given(st.lists(st.sampled_from(_NAMES), unique=True), st.data(), st.sampled_from([FILE_FORM, JSON_FORM]))
def test_columns_are_judged_as_each_of_their_records(names: Sequence[str], data: st.DataObject, form: Form) -> None:
    rows = data.draw(st.lists(st.tuples(*[_CELLS for _ in names]), max_size=5))
    records = [dict(zip(names, row, strict=True)) for row in rows]
    texts, breaches = All.judge_columns(lambda name: [each.get(name) for each in records], len(rows), form, names=names)
    judged = [All.judge(record, form) for record in records]
    assert breaches == {row: each for row, each in enumerate(judged) if isinstance(each, Breach)}
    for row, each in enumerate(judged):
        if isinstance(each, dict):
            assert {path: texts[path][row] for path in texts} == {
                path: None if value is None else str(value) for path, value in each.items()
            }


# Doubled names


@pytest.mark.parametrize(
    ("names", "numbered"),
    [
        (["a", "b"], ["a", "b"]),
        (["year", "sku", "year", "year"], ["year", "sku", "year (2)", "year (3)"]),
        (["year", "year", "year (2)"], ["year", "year (3)", "year (2)"]),
        (["", "", ""], ["", " (2)", " (3)"]),
    ],
)
def test_doubled_names_are_numbered(names: list[str], numbered: list[str]) -> None:
    assert number_doubled(names) == numbered
