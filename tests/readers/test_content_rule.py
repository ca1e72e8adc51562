"""Which columns are a record's content, and under which names: by columns the same as record by record."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from etl.contracts.forms import FILE_FORM, JSON_FORM
from etl.readers.content_rule import ContentRule
from etl.readers.csv_file import CsvContent
from etl.readers.single_records import RecordSlice
from etl.records import Record
from etl.sources import Contract, Text, field
from tests.factories import hold


class Thing(Contract):
    sku: Text
    title: Text = field(column="Title", also=["Titel", "name"])
    note: Text | None


def encode(ignore: list[str], values: dict[str, Any], form: Any = FILE_FORM) -> bytes:
    return ContentRule(Thing, form, ignore).encode(values)[0]


SKU: dict[str, Any] = {"sku": "1"}


def test_a_column_of_the_contract_has_its_declared_name() -> None:
    same = {
        encode([], SKU | {title: "x"}) for title in ("Title", "title", " Title ", "TITLE", "Titel", "titel ", "name")
    }
    assert same == {b'{"Title":"x","sku":"1"}'}


def test_a_column_that_no_field_names_keeps_its_own() -> None:
    assert encode([], SKU | {"Title": "x", "Extra ": "y"}) != encode([], SKU | {"Title": "x", "extra": "y"})


def test_a_name_that_another_column_has_is_not_taken() -> None:
    assert encode([], SKU | {"Title": "x", "Titel": "y"}) == b'{"Titel":"y","Title":"x","sku":"1"}'


def test_ignored_columns_are_left_out_by_the_rules_for_names() -> None:
    for name in ("exported_at", " Exported_At", "EXPORTED_AT"):
        assert encode(["exported_at"], SKU | {name: "1"}) == b'{"sku":"1"}'
    for name in ("Title", "title ", "Titel"):
        assert encode(["title"], SKU | {name: "1"}) == b'{"sku":"1"}'


def test_paths_are_left_out_of_json_in_objects_and_lists() -> None:
    values = SKU | {"meta": {"at": 1, "by": 2}, "lines": [{"at": 1, "n": 2}, 5], "a.b": 1, "a": {"b": 1, "c": [1]}}
    left = encode(["meta.at", "lines[].at", "a.b", "none.at", "sku.at"], values, JSON_FORM)
    assert left == b'{"a":{"c":[1]},"lines":[{"n":2},5],"meta":{"by":2},"sku":"1"}'


def test_in_json_names_are_exact() -> None:
    assert encode([], {"Titel": "x"}, JSON_FORM) == b'{"Title":"x"}'
    assert encode(["at"], {"title": "x", "At": 1}, JSON_FORM) == b'{"At":1,"title":"x"}'


def test_without_changes_the_content_is_as_sent_and_has_no_tag() -> None:
    content, tag = ContentRule(Thing, FILE_FORM, ["none"]).encode({"sku": "1", "Title": "x"})
    assert (content, tag) == (b'{"Title":"x","sku":"1"}', "")


_NAMES = ["sku", "title", " Title", "Titel", "name", "at", "AT ", "b"]


@given(
    st.lists(st.sampled_from(_NAMES), min_size=1, max_size=5, unique=True),
    st.lists(st.text('xü"\\ ', max_size=3), max_size=4),
    st.lists(st.sampled_from(["at", "b", "title", "sku"]), max_size=2),
)
def test_a_slice_gives_what_its_records_give(names: list[str], cells: list[str], ignore: list[str]) -> None:
    rule = ContentRule(Thing, FILE_FORM, ignore)
    rows = "".join(",".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for _ in names) + "\n" for cell in cells)
    content = CsvContent(hold(f"{','.join(names)}\n{rows}".encode()), "f.csv")
    for chunk in content.read(None, 100):
        for part in chunk.slices:
            contents, tags = rule.list_contents(part)
            encoded = [rule.encode(part.make_record(row).values) for row in range(len(part))]
            assert list(zip(contents, tags or [""] * len(part), strict=True)) == encoded


@given(
    st.lists(st.dictionaries(st.sampled_from(["sku", "Title", "Titel", "at", "m"]), st.none() | st.text(max_size=1))),
    st.lists(st.sampled_from(["at", "m.at", "sku"]), max_size=2),
)
def test_a_slice_of_json_gives_what_its_records_give(records: list[dict[str, Any]], ignore: list[str]) -> None:
    rule = ContentRule(Thing, JSON_FORM, ignore)
    part = RecordSlice([Record(number, number, values, "", b"") for number, values in enumerate(records)])
    contents, tags = rule.list_contents(part)
    encoded = [rule.encode(values) for values in records]
    assert list(zip(contents, tags or [""] * len(part), strict=True)) == encoded
