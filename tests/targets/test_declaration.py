"""A declaration that can not work is an error with an id, and a contract is what its model can hold."""

from collections.abc import Mapping
from typing import Any

import pytest
from django.core.validators import (
    DecimalValidator,
    MaxLengthValidator,
    MaxValueValidator,
    MinLengthValidator,
    RegexValidator,
)
from django.db import models

from etl.checks import check_sources
from etl.readers.into import Into, Owned
from etl.readers.model_types import AnyField, Underivable, derive_type, list_slow
from etl.sources import (
    Contract,
    Decimal,
    Identifier,
    NonBlank,
    choice,
    constant,
    end,
    parent,
    rest,
)
from tests.listed_source import Listed, judge_all
from tests.shop.models import Category, Product, Supplier
from tests.shop.sources import OWNS, Products, make_product

KEY = ("supplier", "sku")


def own(**more: Owned) -> Mapping[str, Owned]:
    return {**OWNS, **more}


def declare(into: Into, **attributes: Any) -> type[Listed]:
    return type("Declared", (Listed,), {"name": "declared", "into": into, **attributes})


def without(*names: str) -> Mapping[str, Owned]:
    return {name: value for name, value in OWNS.items() if name not in names}


CASES: dict[str, tuple[type[Listed], str]] = {
    "a field that the model lacks": (declare(Into(Product, key=KEY, owns=own(colour="c"))), "etl.E020"),
    "a foreign key by a path": (declare(Into(Product, key=KEY, owns=own(category="c"))), "etl.E020"),
    "a parent for a plain field": (
        declare(Into(Product, key=KEY, owns=own(name=parent(Category, slug="c")))),
        "etl.E020",
    ),
    "a parent of another model": (
        declare(Into(Product, key=KEY, owns=own(category=parent(Supplier, code="c")))),
        "etl.E020",
    ),
    "a key that the source does not own": (declare(Into(Product, key=KEY, owns=without("sku"))), "etl.E020"),
    "a key that is the same for all": (declare(Into(Product, key=KEY, owns=own(sku=constant("A")))), "etl.E020"),
    "a constant that does not fit": (declare(Into(Product, key=KEY, owns=own(status=constant("gone")))), "etl.E020"),
    "a translation that does not fit": (
        declare(Into(Product, key=KEY, owns=own(status=choice("s", {"J": "gone"})))),
        "etl.E020",
    ),
    "the rest in a text": (declare(Into(Product, key=KEY, owns=own(name=rest()))), "etl.E020"),
    "a mapping as well": (declare(Into(Product, key=KEY, owns=OWNS), unified={"external_id": "id"}), "etl.E021"),
    "own code as well": (declare(Into(Product, key=KEY, owns=OWNS), unify=lambda self, values: None), "etl.E021"),
    "a key that is not unique": (declare(Into(Product, key="name", owns=OWNS)), "etl.E022"),
    "a parent that is not unique": (
        declare(Into(Product, key=KEY, owns=own(supplier=parent(Supplier, country="c", code="d")))),
        "etl.E022",
    ),
    "null for a parent that a row needs": (
        declare(Into(Product, key=KEY, owns=own(supplier=parent(Supplier, code="s", missing="null")))),
        "etl.E022",
    ),
    "a new row without a value": (declare(Into(Product, key=KEY, owns=without("price"))), "etl.E023"),
    "vanished without complete": (declare(Into(Product, key=KEY, owns=OWNS, vanished=end(status="ended"))), "etl.E024"),
    "an ended column that is the team's": (
        declare(Into(Product, key=KEY, owns=OWNS, vanished=end(note="gone")), complete=True),
        "etl.E024",
    ),
    "a column that is ignored": (declare(Into(Product, key=KEY, owns=OWNS), ignore=["price"]), "etl.E012"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_declaration_that_can_not_work_is_an_error(case: str, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    kind, wanted = CASES[case]
    monkeypatch.setattr("tests.targets.test_declaration.Listed", kind)
    settings.ETL_SOURCES = ["tests.targets.test_declaration.Listed"]
    assert wanted in {message.id for message in check_sources(None)}


def test_two_sources_that_own_one_column_are_an_error_unless_a_constant_of_the_key_tells_them_apart(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = declare(Into(Product, key=KEY, owns=own(supplier=parent(Supplier, code=constant("BETA")))))
    monkeypatch.setattr("tests.targets.test_declaration.Listed", other)
    settings.ETL_SOURCES = ["tests.shop.sources.Products", "tests.targets.test_declaration.Listed"]
    assert "etl.E026" not in {message.id for message in check_sources(None)}
    settings.ETL_SOURCES = ["tests.shop.sources.Products", "tests.shop.sources.KnownProducts"]
    assert "etl.E026" in {message.id for message in check_sources(None)}


def test_a_declaration_that_works_is_no_error(settings: Any) -> None:
    settings.ETL_SOURCES = ["tests.shop.sources.EndingProducts"]
    assert check_sources(None) == []


@pytest.mark.parametrize(
    ("field", "called"),
    [
        (models.SlugField(), []),
        (models.CharField(validators=[RegexValidator("^[0-9]+$")]), []),
        (models.CharField(validators=[RegexValidator("x", inverse_match=True)]), ["RegexValidator(x, invalid)"]),
        (models.EmailField(), ["EmailValidator(invalid)"]),
        (models.EmailField(choices=[("ann@example.org", "Ann")]), []),
    ],
)
def test_a_warning_names_validators_that_are_called_and_not_mere_expressions(
    field: AnyField, called: list[str]
) -> None:
    assert list_slow(field) == called


class Even(MaxValueValidator):
    """A class of a project's own, which compares in its own way."""

    def compare(self, value: Any, limit: Any) -> bool:
        return bool(value % limit)


FIELDS: "list[tuple[AnyField, list[str], list[str]]]" = [
    (models.CharField(max_length=3), ["abc", "äöü"], ["abcd", "", "a\x00"]),
    (models.TextField(), ["x" * 1000], [""]),
    (models.SlugField(), ["a-b_1"], ["a b", "ä"]),
    (models.EmailField(), ["ann@example.org"], ["ann"]),
    (models.URLField(), ["https://example.org/a"], ["example"]),
    (models.IntegerField(), ["-2147483648", "2147483647"], ["2147483648", "1.5", "x"]),
    (models.SmallIntegerField(), ["-32768"], ["32768"]),
    (models.BigIntegerField(), ["9223372036854775807"], ["9223372036854775808"]),
    (models.PositiveIntegerField(), ["0"], ["-1"]),
    (models.DecimalField(max_digits=5, decimal_places=2), ["999.99", "-999.99", "1e2"], ["1000", "1.001", "NaN"]),
    (models.DecimalField(max_digits=3, decimal_places=0), ["999"], ["1000", "1.5"]),
    (models.FloatField(), ["1.25", "-3"], ["inf", "x"]),
    (models.BooleanField(), ["true", "false"], ["yes", "2"]),
    (models.DateField(), ["2024-02-29"], ["2023-02-29", "1.2.2024"]),
    (models.DateTimeField(), ["2024-05-01T10:00:00Z"], ["2024-05-01T10:00:00", "x"]),
    (models.UUIDField(), ["a8098c1a-f86e-11da-bd1a-00112444be1e"], ["a8098c1a"]),
    (models.JSONField(), ['{"a": [1, null]}'], ["{a}"]),
    (models.GenericIPAddressField(), ["10.0.0.1", "::1"], ["10.0.0.256"]),
    (models.CharField(max_length=9, choices=[("a", "A"), ("b", "B")]), ["a"], ["A", "c"]),
    (models.CharField(max_length=9, validators=[MaxLengthValidator(3)]), ["abc"], ["abcd"]),
    (models.CharField(max_length=3, validators=[MaxLengthValidator(9)]), ["abc"], ["abcd"]),
    (models.CharField(max_length=9, validators=[MaxLengthValidator(lambda: 3)]), ["abc"], ["abcd"]),
    (models.CharField(max_length=9, validators=[MinLengthValidator(3)]), ["abc"], ["ab"]),
    (models.TextField(validators=[MaxLengthValidator(3)]), ["abc"], ["abcd"]),
    (models.DecimalField(max_digits=5, decimal_places=2, validators=[DecimalValidator(3, 1)]), ["99.9"], ["9.99"]),
    (models.IntegerField(validators=[Even(2)]), ["4"], ["3"]),
    (models.IntegerField(validators=[MaxValueValidator(3)]), ["3"], ["4"]),
    (models.IntegerField(choices=[(1, "one"), (2, "two")]), ["1"], ["3"]),
    (models.IntegerField(choices=[(1, "one"), (2, "two")], validators=[MaxValueValidator(1)]), ["1"], ["2"]),
    (
        models.CharField(max_length=9, choices=[("a", "A"), ("ab", "AB")], validators=[MaxLengthValidator(1)]),
        ["a"],
        ["ab"],
    ),
    (models.CharField(max_length=1, choices=[(1, "one"), (12, "two")]), ["1"], ["12"]),
]


@pytest.mark.parametrize(("field", "good", "bad"), FIELDS, ids=lambda value: type(value).__name__)
def test_a_type_accepts_what_its_column_can_hold_and_nothing_else(
    field: AnyField, good: list[str], bad: list[str]
) -> None:
    from etl.contracts.forms import FILE_FORM

    field.set_attributes_from_name("field")
    field.model = Product
    kind = derive_type(field)
    texts, breaches = kind.parse_column([*good, *bad], FILE_FORM)
    assert sorted(breaches) == [*range(len(good), len(good) + len(bad))]
    assert [kind.write(kind.parse(value, FILE_FORM)) for value in good] == texts[: len(good)]


@pytest.mark.parametrize(
    "field", [models.DurationField(), models.BinaryField(), models.FileField(), models.TimeField()], ids=repr
)
def test_a_field_without_a_type_can_not_be_owned(field: AnyField) -> None:
    field.set_attributes_from_name("field")
    field.model = Product
    with pytest.raises(Underivable):
        derive_type(field)


def test_a_field_whose_validators_accept_no_choice_can_not_be_owned() -> None:
    field: AnyField = models.IntegerField(choices=[(1, "one")], validators=[MaxValueValidator(0)])
    field.set_attributes_from_name("field")
    field.model = Product
    with pytest.raises(Underivable, match="no choice that its validators accept"):
        derive_type(field)


class Narrow(Contract):
    id: Identifier
    name: NonBlank
    price: Decimal


def test_a_contract_of_the_source_narrows_that_of_the_model_and_never_widens_it() -> None:
    owned: Mapping[str, Owned] = {
        "supplier": parent(Supplier, code=constant("ACME")),
        "sku": "id",
        "name": "name",
        "price": "price",
    }
    kind = declare(Into(Product, key=KEY, owns=owned), contract=Narrow)
    records = [
        make_product(1),
        make_product(2, price="1.234"),
        make_product(3, name="x" * 61),
        make_product(4, name=" "),
    ]
    judged = judge_all(kind(), records)
    assert judged.external_ids == ["P1"]
    assert [refusal.breach.code for refusal in judged.refusals] == ["too_precise", "too_long", "blank"]


def test_columns_and_records_are_judged_the_same() -> None:
    from etl.judgement import Judge, tabulate
    from tests.listed_source import make_record

    records = [make_product(1, group="TOYS", extra=[1]), make_product(2, state="X"), make_product(3, ean="1")]
    source = Products()
    columns = judge_all(source, records)
    one_by_one = tabulate(Judge(source).judge([make_record(n, values) for n, values in enumerate(records, start=1)]))
    rows = range(len(columns))
    assert columns.lines.write(rows).unified == one_by_one.lines.write(rows).unified
    assert columns.values_hashes == one_by_one.values_hashes
    assert [each.breach for each in columns.refusals] == [each.breach for each in one_by_one.refusals]
