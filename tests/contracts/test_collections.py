"""Lists, maps, objects in them, and any JSON, as tables: values and results."""

import json
from datetime import date
from decimal import Decimal as Exact
from typing import Annotated, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etl.contracts.field_type import FieldType, Number
from etl.contracts.forms import FILE_FORM, JSON_FORM, Form
from etl.contracts.json_values import JsonType
from etl.records import Breach
from etl.sources import Contract, Date, Decimal, Identifier, Integer, Json, PositiveInt, Text, Time, field
from etl.vocabulary import BreachCode
from tests.contracts.tables import declare, judge


class Line(Contract):
    sku: Text = field(column="SKU")
    price: Decimal
    day: Date | None


LINES = declare(list[Line])
PRICES = declare(dict[Text, Decimal])
ONE = Number("1")


@pytest.mark.parametrize(
    ("contract", "value", "result"),
    [
        (declare(list[Text]), [" a", "b"], ["a", "b"]),
        (declare(list[Text]), [], []),
        (declare(list[Integer]), [ONE, "-2"], [1, -2]),
        (declare(list[Text | None]), ["a", None], ["a", None]),
        (declare(list[list[Integer]]), [[ONE], []], [[1], []]),
        (declare(list[Text], field(max_length=1)), ["a", "bc"], "it[1] has 2 characters, at most 1 are accepted"),
        (declare(list[Text]), ["a", None], "it[1] is missing"),
        (declare(list[Text]), ["a", ONE], "it[1] must be a string, not 1"),
        (declare(list[Text]), [True], "it[0] must be a string, not true"),
        (declare(list[Text]), [float("-inf")], "it[0] must be a string, not -Infinity"),
        (declare(list[Text]), [[ONE, {"a": None}]], "it[0] must be a string, not [1, {'a': null}]"),
        (declare(list[list[Integer]]), [[ONE], [ONE, "x"]], "it[1][1] must be a whole number, not 'x'"),
        (declare(list[Text]), "a", "it must be a list, not 'a'"),
        (declare(list[Text]), {"a": "b"}, "it must be a list, not {'a': 'b'}"),
        (declare(list[Text]), None, "it is missing"),
        (declare(list[Text] | None), None, None),
        (LINES, [{"SKU": "A", "price": ONE}], [{"sku": "A", "price": Exact(1), "day": None}]),
        (LINES, [{"SKU": "A", "price": ONE}, {"SKU": "B"}], "it[1].price is missing"),
        (LINES, [{"SKU": " ", "price": ONE}], "it[0].SKU is blank"),
        (LINES, [[]], "it[0] must be an object, not []"),
        (PRICES, {"day_1": "1.5", " day_2 ": ONE}, {"day_1": Exact("1.5"), "day_2": Exact(1)}),
        (PRICES, {}, {}),
        (PRICES, {"day_1": "x"}, "it['day_1'] must be a number, not 'x'"),
        (PRICES, {"day_1": None}, "it['day_1'] is missing"),
        (PRICES, {"": "1"}, "it[''] as a key is blank"),
        (PRICES, {"a": "1", "a ": "2"}, "it['a '] is there twice"),
        (PRICES, {"a\x00": "1"}, "it['a\\x00'] as a key holds a NUL character, which PostgreSQL can't store as text"),
        (PRICES, ["1"], "it must be an object, not ['1']"),
        (declare(dict[Identifier, list[Line]]), {"7": [{"SKU": "A"}]}, "it['7'][0].price is missing"),
        (declare(dict[Text, Decimal], field(min=0)), {"a": "-1"}, "it['a'] must be at least 0, not -1"),
        (declare(dict[Text, Date]), {"a": "2024-05-01"}, {"a": date(2024, 5, 1)}),
    ],
)
def test_collection(contract: type[Contract], value: Any, result: Any) -> None:
    judged = contract.judge({"it": value}, JSON_FORM)
    assert (judged.message if isinstance(judged, Breach) else judged["it"]) == result
    judge(contract, value, JSON_FORM)  # by columns too


@pytest.mark.parametrize(
    ("contract", "value", "column"),
    [
        (LINES, [{"SKU": "A", "price": "x"}], "it[].price"),
        (declare(list[list[Integer]]), [["x"]], "it[][]"),
        (declare(dict[Text, Line]), {"a": {"SKU": " "}}, "it[*].SKU"),
    ],
)
def test_breaches_of_all_items_have_one_column(contract: type[Contract], value: Any, column: str) -> None:
    judged = contract.judge({"it": value}, JSON_FORM)
    assert isinstance(judged, Breach)
    assert judged.column == column


@pytest.mark.parametrize(
    ("contract", "cell", "result"),
    [
        (declare(list[Text]), '["a", "b"]', ["a", "b"]),
        (declare(list[Text]), "a,b", BreachCode.NOT_JSON),
        (declare(list[Text]), '{"a": "b"}', BreachCode.NOT_A_LIST),
        (declare(list[Text], field(separator=";")), "a; b", ["a", "b"]),
        (declare(list[Text], field(separator=";")), "a;;b", BreachCode.BLANK),
        (declare(list[Text | None], field(separator=";")), "a;;b", ["a", None, "b"]),
        (declare(list[Integer], field(separator="|", min=0)), "1|2", [1, 2]),
        (declare(list[Integer], field(separator="|", min=0)), "1|-2", BreachCode.OUT_OF_RANGE),
        (declare(list[Text], field(separator=";")), "", BreachCode.BLANK),
        (declare(list[Decimal]), "[1.5]", [Exact("1.5")]),
        (PRICES, '{"a": 1, "a": 2}', BreachCode.DUPLICATE_KEY),
        (LINES, '[{"SKU": "A", "price": 1}]', [{"sku": "A", "price": Exact(1), "day": None}]),
    ],
)
def test_cell_of_a_file_holds_json_or_items_with_a_separator(contract: Any, cell: str, result: Any) -> None:
    assert judge(contract, cell, FILE_FORM) == result


def test_numbers_in_the_json_of_a_cell_have_the_signs_of_json() -> None:
    german = Form(is_file=True, decimal_sign=",", thousands_sign=".")
    assert judge(declare(list[Decimal]), "[1.5]", german) == [Exact("1.5")]
    assert judge(declare(list[Decimal], field(separator=";")), "1,5;1.234", german) == [Exact("1.5"), 1234]


JSON = declare(Json)


@pytest.mark.parametrize(
    ("form", "value", "result"),
    [
        (JSON_FORM, "a", "a"),
        (JSON_FORM, True, True),
        (JSON_FORM, Number("1.50"), Exact("1.50")),
        (JSON_FORM, {"a": [ONE, None, {"b": "c"}]}, {"a": [1, None, {"b": "c"}]}),
        (JSON_FORM, None, BreachCode.MISSING),
        (JSON_FORM, {"a": "x\x00"}, BreachCode.NUL_CHARACTER),
        (JSON_FORM, {"x\x00": "a"}, BreachCode.NUL_CHARACTER),
        (JSON_FORM, ["\ud800"], BreachCode.BAD_ENCODING),
        (JSON_FORM, [Number("1e9999")], BreachCode.OUT_OF_RANGE),
        (JSON_FORM, [Number("1e99999999999999999999")], BreachCode.OUT_OF_RANGE),
        (JSON_FORM, [Number("1" * 5000)], BreachCode.OUT_OF_RANGE),
        (FILE_FORM, '{"a": [1, null]}', {"a": [1, None]}),
        (FILE_FORM, ' "a" ', "a"),
        (FILE_FORM, "a", BreachCode.NOT_JSON),
        (FILE_FORM, "[1,]", BreachCode.NOT_JSON),
        (FILE_FORM, "[NaN]", BreachCode.NOT_JSON),
        (FILE_FORM, "null", BreachCode.MISSING),
        (FILE_FORM, '{"a": 1, "a": 2}', BreachCode.DUPLICATE_KEY),
        (FILE_FORM, '["\\u0000"]', BreachCode.NUL_CHARACTER),
        (FILE_FORM, "[" * 300 + "]" * 300, BreachCode.TOO_DEEP),
        (FILE_FORM, "[" * 100_000, BreachCode.TOO_DEEP),
        (FILE_FORM, " ", BreachCode.BLANK),
    ],
)
def test_json(form: Form, value: Any, result: Any) -> None:
    assert judge(JSON, value, form) == result


@pytest.mark.parametrize(
    ("texts", "canonical"),
    [
        (['{"b": 1, "a": "ü"}', '{"a":"\\u00fc","b":1}'], '{"a":"ü","b":1}'),
        (["[1.0, 10]", "[1,1e1]"], "[1,10]"),
        (["[-0, 0.0]"], "[0,0]"),
        (["[true,false,null]"], "[true,false,null]"),
    ],
)
def test_equal_json_has_one_text(texts: list[str], canonical: str) -> None:
    kind = JsonType()
    assert kind.parse_column(texts, FILE_FORM) == ([canonical] * len(texts), {})


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30).map(str).map(Number)
    | st.decimals(allow_nan=False, allow_infinity=False).map(str).map(Number)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
KINDS: list[FieldType] = [
    JsonType(),
    *(declare(hint).fields["it"].kind for hint in (list[Text | None], list[Json | None], dict[Text, Decimal])),  # type: ignore[list-item]
    *(declare(hint).fields["it"].kind for hint in (list[list[Identifier]], dict[Text, list[Line]], list[Time])),  # type: ignore[list-item]
]


@pytest.mark.parametrize("kind", KINDS, ids=FieldType.describe)
@given(value=values | st.lists(values) | st.dictionaries(st.text(max_size=3), values))
@example(value=["a", None])
@example(value={"a": [{"SKU": "A", "price": Number("1.0"), "day": "2024-05-01"}]})
@example(value=["2024-05-01T10:00:00+02:00"])
def test_any_json_gives_a_value_whose_print_parses_to_it_or_a_breach(kind: FieldType, value: Any) -> None:
    if value is None:
        return
    parsed = kind.parse(value, JSON_FORM)
    if not isinstance(parsed, Breach):
        text = kind.write(parsed)
        assert json.loads(text) is not None
        assert kind.parse(text, FILE_FORM) == parsed
        assert kind.write(kind.parse(text, FILE_FORM)) == text


@pytest.mark.parametrize("kind", KINDS, ids=FieldType.describe)
@given(cell=st.text(max_size=10) | st.text('[]{}",:1ae.-\\ ', max_size=12))
def test_any_cell_gives_a_value_or_a_breach(kind: FieldType, cell: str) -> None:
    texts, breaches = kind.parse_column([cell], FILE_FORM)
    assert (texts == [None]) == (0 in breaches)


class Sour(FieldType):
    name = "sour"

    def parse(self, value: Any, form: Form) -> str:
        raise ZeroDivisionError


def test_an_own_type_that_raises_inside_of_a_list_refuses_the_record() -> None:
    judged = declare(list[Annotated[str, Sour()]]).judge({"it": ["a"]})
    assert isinstance(judged, Breach)
    assert judged.message.startswith("it[0] can't be parsed: Sour raised ZeroDivisionError")


@pytest.mark.parametrize(
    ("hint", "options", "problem"),
    [
        (list[str], {}, "use a type of etl.sources"),
        (dict[Integer, Text], {}, "the keys of a map are strings"),
        (dict[Text, Text], {"separator": ";"}, "no parameter 'separator'"),
        (list[Text], {"separator": ""}, "separator is a text"),
        (list[Line], {"max_length": 3}, "give it to the fields of that contract"),
        (list[Text], {"min": 3}, "the type text has no parameter 'min'"),
    ],
)
def test_a_collection_that_makes_no_sense_is_rejected(hint: Any, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        declare(hint, field(**options))


def test_description_says_what_is_inside() -> None:
    class All(Contract):
        tags: list[Text] = field(max_length=9, separator=";")
        lines: list[Line] | None
        prices: dict[Text, Decimal | None]

    assert All.describe() == {
        "tags": "list of text(max_length=9), separator=';'",
        "lines": "list of object (sku: text from 'SKU', price: decimal, day: date or null) or null",
        "prices": "map of text to decimal or null",
    }


def test_maps_are_found_wherever_they_are() -> None:
    class Shop(Contract):
        prices: dict[Text, Decimal] = field(column="Prices", also=["cost"])

    class All(Contract):
        shop: Shop
        shops: list[Shop]
        stock: dict[Text, dict[Text, PositiveInt]]

    assert sorted(All.list_maps()) == [
        ("shop", "Prices"),
        ("shop", "cost"),
        ("shops", "[]", "Prices"),
        ("shops", "[]", "cost"),
        ("stock",),
        ("stock", "[*]"),
    ]


def test_json_is_typed_as_any_object() -> None:
    class Anything(Contract):
        value: Json

    assert Anything.fields["value"].parsed is object
