"""The mapping of a source: ids of several fields, constants, and what `check` says of those that can't be."""

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import product
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.checks import check_sources
from etl.judgement import Item, Judge, tabulate
from etl.readers.mapping import Mapped, join_parts
from etl.records import Accepted, Breach, Refusal, Skipped, UnifiedFields
from etl.sources import Contract, CsvSource, Date, PositiveDecimal, PositiveInt, Source, Text, constant, lower
from etl.vocabulary import BreachCode
from tests.factories import hold

HOUR = timedelta(hours=1)


class Line(Contract):
    order: Text
    line: PositiveInt
    sku: Text
    price: PositiveDecimal | None
    day: Date | None


class Lines(CsvSource):
    name = "lines"
    path = "lines.csv"
    every = HOUR
    contract = Line
    unified: ClassVar[dict[str, Mapped]] = {"external_id": ("order", "line"), "name": "sku"}


def judge(source: type[CsvSource], text: str) -> list[Item]:
    """Judge this file record by record, and make sure that judging it by columns gives the same."""
    made = source()
    (chunk,) = made.dialect.open(hold(text.encode()), made).read(None, 100)
    items = Judge(made).judge(chunk.items)
    alone, columns = tabulate(items), Judge(made).judge_chunk(chunk)
    rows = range(len(alone))
    assert columns.lines.write(rows) == alone.lines.write(rows)
    columns.lines = alone.lines
    assert columns == alone
    return items


def list_ids(source: type[CsvSource], text: str) -> list[str]:
    return [
        f"{item.breach.code}: {item.breach.message}" if isinstance(item, Refusal) else item.unified.external_id
        for item in judge(source, text)
        if not isinstance(item, Skipped)
    ]


_WORDS = ["".join(word) for size in range(3) for word in product("|\\a", repeat=size)]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_two_different_lists_of_texts_make_one_id(count: int) -> None:
    lists = list(product(_WORDS, repeat=count))
    assert len({join_parts(parts) for parts in lists}) == len(lists)


@given(st.lists(st.text() | st.text("|\\a"), min_size=1, max_size=5))
def test_an_id_of_several_texts_says_each_of_them(parts: list[str]) -> None:
    escaped = re.findall(r"((?:[^|\\]|\\.)*)(?:\||\Z)", join_parts(parts), re.DOTALL)[: len(parts)]
    assert [re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL) for part in escaped] == parts


@pytest.mark.parametrize(
    ("parts", "joined"),
    [
        (["O1", "1"], "O1|1"),
        (["O 1", "ä/b:c-d_e.f"], "O 1|ä/b:c-d_e.f"),
        (["a|b", "c"], r"a\|b|c"),
        (["a", "b|c"], r"a|b\|c"),
        (["a\\", "b"], r"a\\|b"),
        (["a", "\\b"], r"a|\\b"),
    ],
)
def test_an_id_of_several_fields_reads_like_its_parts(parts: list[str], joined: str) -> None:
    assert join_parts(parts) == joined


def test_the_pair_is_the_id() -> None:
    text = "order,line,sku,price,day\nO1,1,A,1,\nO1,2,B,2,\n O1 ,2,B,2,\nO|1,2,B,2,\n"
    assert list_ids(Lines, text) == ["O1|1", "O1|2", "O1|2", r"O\|1|2"]


def test_any_field_with_a_value_is_a_part_by_its_canonical_text() -> None:
    class Days(Lines):
        unified: ClassVar[dict[str, Mapped]] = {
            "external_id": ("day", "price", lower("sku"), constant("x")),
            "name": "sku",
        }

    text = "order,line,sku,price,day\nO1,1,ABC,1.50,2024-05-01\nO1,2,abc,1.5,2024-05-01\n"
    assert list_ids(Days, text) == ["2024-05-01|1.5|abc|x"] * 2


def test_a_record_whose_part_is_null_is_refused_by_the_name_of_the_part() -> None:
    class Days(Lines):
        unified: ClassVar[dict[str, Mapped]] = {"external_id": ("order", "day", "price"), "name": "sku"}

    text = "order,line,sku,price,day\nO1,1,A,1,2024-05-01\nO1,2,B,,\nO1,3,C,,2024-05-01\nO1,x,D,,\n"
    assert list_ids(Days, text) == [
        "O1|2024-05-01|1",
        "missing: day is missing, and it is a part of external_id",
        "missing: price is missing, and it is a part of external_id",
        "not_an_integer: line must be a whole number, not 'x'",
    ]


def test_an_id_that_is_too_long_names_its_fields() -> None:
    text = f"order,line,sku,price,day\n{'a' * 253},1,A,1,\n{'a' * 253},12,A,1,\n{'|' * 127},1,A,1,\n"
    fitting, long, escaped = judge(Lines, text)
    assert isinstance(fitting, Accepted)
    for refusal in (long, escaped):
        assert isinstance(refusal, Refusal)
        assert refusal.breach == Breach(
            BreachCode.TOO_LONG, "order and line have together 256 characters, at most 255 fit", "order, line"
        )


@pytest.mark.parametrize(
    ("row", "external_id"),
    [("O1,1,A,x,", "O1|1"), ("O1,0,A,1,", None), (",1,A,1,", None), (f"{'|' * 200},1,A,x,", None)],
)
def test_a_refused_record_keeps_its_id_if_all_parts_can_be_parsed(row: str, external_id: str | None) -> None:
    (refusal,) = judge(Lines, f"order,line,sku,price,day\n{row}\n")
    assert isinstance(refusal, Refusal)
    assert refusal.external_id == external_id


def test_a_constant_fills_any_field() -> None:
    class Constants(Lines):
        unified: ClassVar[dict[str, Mapped]] = {
            "external_id": "line",
            "name": constant("a\tline"),
            "category": constant(""),
            "value": constant(Decimal("1.50")),
            "currency": constant("GBP"),
            "event_timestamp": constant(datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))),
        }

    (item,) = judge(Constants, "order,line,sku,price,day\nO1,1,A,1,\n")
    assert isinstance(item, Accepted)
    time = datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert item.unified == UnifiedFields("1", "a\tline", "", Decimal("1.5"), "GBP", time)


@pytest.mark.parametrize(
    ("unified", "problem"),
    [
        ({"external_id": ("order", "lines")}, "takes 'lines', which is not in the contract"),
        ({"external_id": ()}, "gives external_id 0 fields"),
        ({"external_id": (constant("x"), constant("y"))}, "gives every record the same external_id"),
        ({"external_id": constant("x")}, "gives every record the same external_id"),
        ({"name": ("order", "line")}, "gives name 2 fields"),
        ({"currency": constant(5)}, "gives currency a constant that does not fit"),
        ({"currency": constant("G" * 256)}, "gives currency a constant that does not fit"),
        ({"name": constant(" ")}, "gives name a constant that does not fit"),
        ({"value": constant("1")}, "gives value a constant that does not fit"),
        ({"event_timestamp": constant(datetime(2024, 5, 1))}, "gives event_timestamp a constant that does not fit"),  # noqa: DTZ001
    ],
)
def test_a_mapping_that_can_not_be_is_named(
    settings: Any, monkeypatch: pytest.MonkeyPatch, unified: dict[str, Mapped], problem: str
) -> None:
    monkeypatch.setattr(Lines, "unified", Lines.unified | unified)
    settings.ETL_SOURCES = [f"{__name__}.Lines"]
    assert problem in "\n".join(message.msg for message in check_sources(None))


@pytest.mark.parametrize(
    "unified",
    [
        {"external_id": ("order", "day")},  # a record without a day is refused
        {"external_id": (constant("x"), "line")},
        {"value": constant(0), "currency": constant("GBP"), "category": constant("c")},
    ],
)
def test_a_mapping_that_can_be_passes_check(
    settings: Any, monkeypatch: pytest.MonkeyPatch, unified: dict[str, Mapped]
) -> None:
    monkeypatch.setattr(Lines, "unified", Lines.unified | unified)
    settings.ETL_SOURCES = [f"{__name__}.Lines"]
    assert check_sources(None) == []


def test_the_digest_depends_on_the_parts_and_on_constants() -> None:
    def digest(**mapped: Mapped) -> str:
        return type("Other", (Source,), {"contract": Line, "unified": Lines.unified | mapped})().digest()  # type: ignore[no-any-return]

    kinds = [digest(), digest(external_id=("line", "order")), digest(currency=constant("GBP")), digest(currency="sku")]
    assert len(set(kinds)) == len(kinds)
