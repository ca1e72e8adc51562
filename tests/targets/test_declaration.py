"""A declaration that can not work is an error with an id, and a contract is what its model can hold."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as Exact
from typing import Any
from uuid import UUID

import pytest
from django.contrib.postgres.fields import ArrayField, HStoreField, IntegerRangeField
from django.core.validators import (
    DecimalValidator,
    MaxLengthValidator,
    MaxValueValidator,
    MinLengthValidator,
    RegexValidator,
)
from django.db import models
from django.db.models.functions import Upper
from django.test.utils import isolate_apps

from etl.checks import check_sources
from etl.contracts.field_type import Number
from etl.contracts.forms import FILE_FORM, JSON_FORM
from etl.readers.into import Into, Owned
from etl.readers.model_types import AnyField, Underivable, derive_type, list_slow
from etl.readers.source import Source
from etl.records import Breach, OwnedFields
from etl.sources import (
    Contract,
    CsvSource,
    Decimal,
    Identifier,
    NonBlank,
    choice,
    constant,
    end,
    field,
    lower,
    parent,
    rest,
)
from tests.listed_source import Listed, judge_all, list_chunk
from tests.shop.models import Category, Product, Sample, Supplier, Thing
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


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Any:
    def check(kind: type[Listed]) -> list[Any]:
        monkeypatch.setattr("tests.targets.test_declaration.Listed", kind)
        settings.ETL_SOURCES = ["tests.targets.test_declaration.Listed"]
        return check_sources(None)

    return check


@pytest.mark.parametrize("case", CASES)
def test_a_declaration_that_can_not_work_is_an_error(case: str, check: Any) -> None:
    kind, wanted = CASES[case]
    assert wanted in {message.id for message in check(kind)}


class OfShop(models.Model):
    """A model that a test declares for itself."""

    class Meta:
        app_label = "shop"
        abstract = True

    def __str__(self) -> str:
        return str(self.pk)


@isolate_apps("tests.shop")
def test_a_primary_key_of_several_columns_is_an_error_in_a_target_and_in_a_parent(check: Any) -> None:
    class Shelf(OfShop):
        pk = models.CompositePrimaryKey("row", "place")
        row = models.CharField(max_length=20)
        place = models.CharField(max_length=20)
        code = models.CharField(max_length=20, unique=True)

        class Meta:
            app_label = "shop"
            unique_together = (("row", "place"),)

    class Box(OfShop):
        code = models.CharField(max_length=20, unique=True)
        shelf = models.ForeignKey(Shelf, to_field="code", on_delete=models.CASCADE)

    target = Into(Shelf, key=("row", "place"), owns={"row": "r", "place": "p", "code": "c"})
    child = Into(Box, key="code", owns={"code": "c", "shelf": parent(Shelf, code="s")})
    for into in (target, child):
        (found,) = [message for message in check(declare(into)) if message.id == "etl.E025"]
        assert "Shelf has a primary key of several columns: row, place." in found.msg
        assert found.hint == "Give it a primary key of one column, and declare a UniqueConstraint on row, place."


@isolate_apps("tests.shop")
def test_a_parent_that_is_found_by_an_inherited_field_is_an_error(check: Any) -> None:
    class Place(OfShop):
        code = models.CharField(max_length=20, unique=True)

    class Shop(Place):
        number = models.CharField(max_length=20, unique=True)

    class Stand(Shop):
        class Meta:
            app_label = "shop"
            proxy = True

    class Till(OfShop):
        code = models.CharField(max_length=20, unique=True)
        shop = models.ForeignKey(Shop, null=True, on_delete=models.CASCADE)
        stand = models.ForeignKey(Stand, null=True, on_delete=models.CASCADE)
        place = models.ForeignKey(Place, null=True, on_delete=models.CASCADE)

    def find(name: str, owned: Owned) -> list[tuple[str, str]]:
        into = Into(Till, key="code", owns={"code": "c", name: owned})
        return [(message.msg, message.hint) for message in check(declare(into)) if message.id == "etl.E025"]

    ((text, hint),) = find("shop", parent(Shop, code="s"))
    assert "shop is found by shop.Shop.code, which is in the table of shop.Place." in text
    assert hint == "Let shop.Till.shop refer to shop.Place, or find the row by fields that shop.Shop itself declares."
    assert len(find("stand", parent(Stand, code="s"))) == 1
    assert find("stand", parent(Stand, number="s")) == []
    assert find("shop", parent(Shop, number="s")) == []
    assert find("place", parent(Place, code="s")) == []


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
    (
        models.GenericIPAddressField(),
        ["10.0.0.1", "::1", "::ffff:10.0.0.1"],
        ["10.0.0.256", "fe80::1%eth0", "fe80::1%"],
    ),
    (models.GenericIPAddressField(protocol="IPv6"), ["fe80::1"], ["10.0.0.1", "fe80::1%eth0"]),
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
    (models.BooleanField(choices=[(True, "yes"), (False, "no")]), ["true", "False"], ["yes", "1"]),
    (models.BooleanField(choices=[(True, "yes")]), ["true"], ["false"]),
    (models.IntegerField(choices=[(1, "one"), (12, "two")]), ["1", "+12"], ["3", "1.0"]),
    (models.IntegerField(choices=[("1", "one")]), ["1"], ["2"]),
    (models.DecimalField(max_digits=5, decimal_places=2, choices=[(Exact("1.50"), "a")]), ["1.5", "1.50"], ["1.51"]),
    (models.DecimalField(max_digits=5, decimal_places=2, choices=[(1, "a"), (Exact("0.001"), "b")]), ["1"], ["0.001"]),
    (models.FloatField(choices=[(0.5, "half")]), ["0.5", "0.50"], ["0.25"]),
    (models.DateField(choices=[(date(2024, 5, 1), "May")]), ["2024-05-01"], ["2024-05-02", "May"]),
    (
        models.DateTimeField(choices=[(datetime(2024, 5, 1, 8, tzinfo=UTC), "May")]),
        ["2024-05-01T08:00:00Z", "2024-05-01T10:00:00+02:00"],
        ["2024-05-01T10:00:00Z"],
    ),
    (
        models.UUIDField(choices=[(UUID("a8098c1a-f86e-11da-bd1a-00112444be1e"), "a")]),
        ["A8098C1A-F86E-11DA-BD1A-00112444BE1E"],
        ["b8098c1a-f86e-11da-bd1a-00112444be1e"],
    ),
    (models.JSONField(choices=[("a", "A"), (1, "one")]), ['"a"', "1"], ["a", "2"]),
]


@pytest.mark.parametrize(("field", "good", "bad"), FIELDS, ids=lambda value: type(value).__name__)
def test_a_type_accepts_what_its_column_can_hold_and_nothing_else(
    field: AnyField, good: list[str], bad: list[str]
) -> None:
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


class Folding:
    """A mixin of a project's own."""

    def clean(self, value: Any, model_instance: Any) -> Any:
        return value.casefold()


class LowerEmail(models.EmailField):  # type: ignore[type-arg]
    def to_python(self, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value


class Folded(Folding, models.CharField):  # type: ignore[type-arg]
    pass


class Checked(models.IntegerField):  # type: ignore[type-arg]
    def validate(self, value: Any, model_instance: Any) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    "field",
    [LowerEmail(), Folded(), Checked(), LowerEmail(choices=[("ann@example.org", "Ann")])],
    ids=lambda field: type(field).__name__,
)
def test_a_field_with_code_of_its_own_can_not_be_owned(field: AnyField) -> None:
    field.set_attributes_from_name("field")
    field.model = Product
    with pytest.raises(Underivable, match="whose own code decides what is stored"):
        derive_type(field)


@pytest.mark.parametrize(
    "field",
    [ArrayField(models.TextField()), HStoreField(), IntegerRangeField()],
    ids=lambda field: type(field).__name__,
)
def test_the_code_of_djangos_own_fields_is_not_a_projects_own(field: AnyField) -> None:
    field.set_attributes_from_name("field")
    field.model = Product
    with pytest.raises(Underivable, match="which a source can't own"):
        derive_type(field)


@pytest.mark.parametrize(
    ("field", "sent", "expected"),
    [
        (models.BooleanField(choices=[(True, "yes"), (False, "no")]), True, "true"),
        (models.BooleanField(choices=[(True, "yes"), (False, "no")]), False, "false"),
        (models.BooleanField(choices=[(True, "yes")]), False, "not_a_choice"),
        (models.BooleanField(choices=[(True, "yes")]), "True", "not_a_boolean"),
        (models.IntegerField(choices=[(1, "one")]), Number("1"), "1"),
        (models.IntegerField(choices=[(1, "one")]), Number("2"), "not_a_choice"),
        (models.IntegerField(choices=[(1, "one")]), True, "not_an_integer"),
        (models.DecimalField(max_digits=3, decimal_places=1, choices=[(Exact("1.5"), "a")]), Number("1.50"), "1.5"),
        (models.JSONField(choices=[("a", "A")]), "a", '"a"'),
    ],
)
def test_a_choice_has_the_json_type_of_its_field(field: AnyField, sent: Any, expected: str) -> None:
    field.set_attributes_from_name("field")
    field.model = Product
    kind = derive_type(field)
    result = kind.parse(sent, JSON_FORM)
    assert (result.code if isinstance(result, Breach) else kind.write(result)) == expected
    (text,), breaches = kind.parse_column([sent], JSON_FORM)
    assert (breaches[0].code if breaches else text) == expected


def test_a_choice_that_no_record_can_give_is_named() -> None:
    field: AnyField = models.DateTimeField(choices=[(datetime(2024, 5, 1), "May")])  # noqa: DTZ001
    field.set_attributes_from_name("field")
    field.model = Product
    with pytest.raises(Underivable, match=r"has the choice datetime\.datetime\(2024, 5, 1, 0, 0\), which "):
        derive_type(field)


def test_a_generated_column_with_choices_can_not_be_owned() -> None:
    output: AnyField = models.CharField(max_length=1)
    generated: AnyField = models.GeneratedField(
        expression=Upper("name"), output_field=output, db_persist=True, choices=[("a", "A")]
    )
    generated.set_attributes_from_name("field")
    generated.model = Product
    with pytest.raises(Underivable, match="which a source can't own"):
        derive_type(generated)


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


# --- the texts that are stored ----------------------------------------------------------------------


def list_texts(source: Source, records: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return the texts of each record, or the code for which it is refused; columns and records give the same."""
    chunk = list_chunk(records)
    one_by_one = [source.judge(values) for values in records]
    assert source.target is not None
    (part,) = chunk.slices
    taken, broken = source.contract.judge_columns(part.take, len(part), source.form, names=part.list_names())
    columns, unfit = source.target.take_columns(taken, part, source.form)
    breaches = unfit | broken
    by_column = [
        breaches[row].code if row in breaches else texts for row, texts in enumerate(zip(*columns, strict=True))
    ]
    found = [each.texts if isinstance(each, OwnedFields) else each.code for each in one_by_one]  # type: ignore[union-attr]
    assert found == by_column
    return found


class Titled(Contract):
    title: NonBlank = field(also=["name"])
    weight: Decimal | None


class Numbered(Contract):
    id: Identifier
    product: Titled | None
    price: Decimal | None


RESTS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "a flat record": ({"text": "title"}, {"title": "Bolt", "x": "y", "z": None}, {"x": "y"}),
    "siblings of a path": (
        {"text": "product.title"},
        {"product": {"title": "Bolt", "weight": "3"}, "x": "y"},
        {"product": {"weight": "3"}, "x": "y"},
    ),
    "an object of which nothing is left": (
        {"text": "product.title"},
        {"product": {"title": "Bolt"}, "x": "y"},
        {"x": "y"},
    ),
    "an object that was empty": (
        {"text": "product.title"},
        {"product": {"title": "Bolt", "more": {}}},
        {"product": {"more": {}}},
    ),
    "a null": (
        {"text": "product.title"},
        {"product": {"title": None, "weight": None}},
        {"product": {"weight": None}},
    ),
    "an object that is missing": ({"text": "product.title"}, {"x": "y"}, {"x": "y"}),
    "several paths of one object": (
        {"text": "product.title", "optional_text": "product.maker.name"},
        {"product": {"title": "Bolt", "maker": {"name": "Acme", "city": "Ulm"}}},
        {"product": {"maker": {"city": "Ulm"}}},
    ),
    "one path twice": (
        {"text": "product.title", "optional_text": "product.title"},
        {"product": {"title": "Bolt", "weight": "3"}},
        {"product": {"weight": "3"}},
    ),
    "a path that is lowered": (
        {"text": lower("product.title")},
        {"product": {"title": "Bolt", "weight": "3"}},
        {"product": {"weight": "3"}},
    ),
}


@pytest.mark.parametrize("case", RESTS)
def test_the_rest_is_everything_that_no_other_field_takes(case: str) -> None:
    owns, record, left = RESTS[case]
    kind = declare(Into(Sample, key="number", owns={"number": "id", **owns, "payload": rest()}))
    ((*_, text),) = list_texts(kind(), [{"id": "1", **record}])
    assert json.loads(text) == left


@pytest.mark.parametrize(
    ("record", "left"),
    [
        ({"product": {"title": "Bolt", "weight": "3"}}, {"product": {"weight": "3"}}),
        ({"product": {"name": "Bolt", "weight": None}}, {"product": {"weight": None}}),
        ({"product": {"title": "Bolt", "name": "Nut"}}, {"product": {"name": "Nut"}}),
        ({"product": None, "price": "5"}, {"price": "5"}),
    ],
)
def test_the_rest_has_the_fields_of_a_contract_that_into_does_not_take(
    record: dict[str, Any], left: dict[str, Any]
) -> None:
    owns: dict[str, Owned] = {"number": "id", "text": "product.title", "payload": rest()}
    kind = declare(Into(Sample, key="number", owns=owns), contract=Numbered)
    ((*_, text),) = list_texts(kind(), [{"id": "1", **record}])
    assert json.loads(text) == left


class NumberedFile(CsvSource):
    class Row(Contract):
        id: Identifier
        title: NonBlank = field(column="Titel", also=["Name"])
        price: Decimal = field(column="Preis")

    name, path, every = "numbered_file", "numbered.csv", timedelta(hours=1)
    contract = Row
    into = Into(Sample, key="number", owns={"number": "id", "text": "title", "payload": rest()})


def test_the_rest_of_a_file_has_the_columns_of_a_contract_that_into_does_not_take() -> None:
    row = {"id": "1", "Name": "Bolt", "Preis": "5", "Farbe": "rot"}
    ((*_, text),) = list_texts(NumberedFile(), [row])
    assert json.loads(text) == {"Preis": "5", "Farbe": "rot"}


@pytest.fixture
def name_validators(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives the names of things another validator."""
    name: Any = Thing._meta.get_field("name")
    return lambda validator: monkeypatch.setitem(vars(name), "validators", [*name.validators, validator])


class Priced(Contract):
    id: Identifier
    name: NonBlank
    price: Decimal


@pytest.mark.parametrize("more", [{}, {"contract": Priced}], ids=["of_the_model", "own_contract"])
def test_what_is_lowered_is_judged_as_it_is_stored(more: dict[str, Any]) -> None:
    kind = declare(Into(Thing, key="key", owns={"key": "id", "name": lower("name"), "price": "price"}), **more)
    names = ["TOOLS", "İ" * 30, "İ" * 31, "İ" * 60]  # in lower case, "İ" has two characters
    found = list_texts(kind(), [{"id": str(n), "name": name, "price": "1"} for n, name in enumerate(names)])
    assert found == [("0", "tools", "1"), ("1", "i̇" * 30, "1"), "too_long", "too_long"]


@pytest.mark.parametrize("more", [{}, {"contract": Priced}], ids=["of_the_model", "own_contract"])
def test_validators_judge_the_lowered_text(more: dict[str, Any], name_validators: Any) -> None:
    kind = declare(Into(Thing, key="key", owns={"key": "id", "name": lower("name"), "price": "price"}), **more)
    name_validators(RegexValidator("^[a-z]+$"))
    names = ["TOOLS", "tools", "T1"]
    found = list_texts(kind(), [{"id": str(n), "name": name, "price": "1"} for n, name in enumerate(names)])
    assert found == [("0", "tools", "1"), ("1", "tools", "1"), "not_valid"]


def test_a_parents_lowered_text_is_judged_as_it_is_looked_up() -> None:
    owns: dict[str, Owned] = {"key": "id", "name": "id", "price": "id", "category": parent(Category, slug=lower("c"))}
    kind = declare(Into(Thing, key="key", owns=owns))
    slugs = ["TOOLS", "\N{KELVIN SIGN}ELLER", "İ"]  # in lower case, the second one is ASCII
    found = list_texts(kind(), [{"id": str(n), "c": slug} for n, slug in enumerate(slugs)])
    assert found == [("0", "0", "0", "tools"), ("1", "1", "1", "keller"), "not_valid"]
