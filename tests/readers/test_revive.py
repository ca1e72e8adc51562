"""Laws of reviving: the stored form of a refused record becomes the record again, or stays as it is."""

from datetime import timedelta

import pytest

from etl.readers.content import Content
from etl.readers.csv_file import CsvContent
from etl.readers.json_records import JsonContent
from etl.readers.source import Source
from etl.records import ORIGINAL_BYTES, Breach, Record, Refusal, StoredRefusal
from etl.sources import Contract, CsvSource, JsonApiSource, JsonLinesSource, NonBlank
from etl.vocabulary import BreachCode
from tests.factories import hold, read_items

BREACH = Breach(BreachCode.BLANK, "name is blank", "name")
LONG = "x" * ORIGINAL_BYTES


class Thing(Contract):
    name: NonBlank


class Csv(CsvSource):
    name, path, every, contract = "csv", "things.csv", timedelta(hours=1), Thing


class Lines(JsonLinesSource):
    name, path, every, contract = "lines", "things.json", timedelta(hours=1), Thing


class Api(JsonApiSource):
    name, base_url, every, contract = "api", "http://localhost", timedelta(hours=1), Thing


def read(content: Content) -> list[Record | Refusal]:
    return read_items(content)


def read_csv(text: str) -> list[Record | Refusal]:
    return read(CsvContent(hold(text.encode()), "things.csv"))


def read_json(text: str) -> list[Record | Refusal]:
    return read(JsonContent(hold(text.encode()), "things.json"))


def keep(item: Record | Refusal) -> StoredRefusal:
    """Return an item as quarantine stores it, refused by the contract or by the reader."""
    if isinstance(item, Refusal):
        original = item.original.head if len(item.original.head) == item.original.length else None
        return StoredRefusal(1, item.position, item.line, item.breach, item.payload, original)
    original = item.original if len(item.original) <= ORIGINAL_BYTES else None
    return StoredRefusal(1, item.position, item.line, BREACH, item.payload, original)


def describe(item: Record | Refusal | None) -> object:
    if isinstance(item, Record):
        return item.position, item.line, item.values, item.payload
    return item.breach if item is not None else None


CSV = f'a,name\n1,\n"2 ""two""","line\nend"\n\u00e4,\x00\n4,{LONG}\n'
JSON = """{"a": 1.50, "name": "\\u0000\\ud800"}
{"name": {"deep": [1e400, null, true]}, "a": -0}
{"name": "\u00e4"}
"""


@pytest.mark.parametrize(
    ("source", "items"),
    [
        (Csv(), read_csv(CSV)),
        (Lines(), read_json(JSON)),
        (Lines(), read_json(f'{{"name": "{LONG}", "a": 1}}')),
        (Api(), read_json("[" + ",\n ".join(JSON.splitlines()) + " ]")),
    ],
    ids=["csv", "lines", "long", "array"],
)
def test_a_revived_record_is_the_one_that_was_read(source: Source, items: list[Record | Refusal]) -> None:
    assert all(isinstance(item, Record) for item in items)
    assert [describe(source.revive(keep(item))) for item in items] == [describe(item) for item in items]


@pytest.mark.parametrize("text", ['{"a":1,"a":2}', "[1]", "12", '{"a":', '{"a":nan}', '{"a":1} 2'])
def test_non_object_is_refused_as_the_reader_refuses_it(text: str) -> None:
    (item,) = read_json('{"x":1}\n' + text)[1:]
    assert isinstance(item, Refusal)
    assert describe(Lines().revive(keep(item))) == item.breach


def test_a_csv_row_without_its_columns_cannot_be_revived() -> None:
    assert [Csv().revive(keep(item)) for item in read_csv("a,b\n1\n1,2,3\n")] == [None, None]


def test_truncated_text_that_is_not_json_cannot_be_revived() -> None:
    (item,) = read_json(f'{{"name": "{LONG}" "a"}}')
    assert Lines().revive(keep(item)) is None


def test_a_source_that_cannot_revive_leaves_its_records_refused() -> None:
    (item,) = read_json('{"name": "x"}')
    assert Source().revive(keep(item)) is None
