"""Formats of an API, with and without pages: JSON, lines and tables, plain and packed, read as declared."""

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from etl.exceptions import SourceError
from etl.judgement import Judge
from etl.models import RawApiRecord, UnifiedRecord
from etl.readers.content import Opening
from etl.records import Accepted
from etl.sources import (
    LINES,
    After,
    ApiSource,
    Contract,
    Csv,
    Decimal,
    JsonApiSource,
    LinkHeader,
    NonBlank,
    Numbered,
    Token,
)
from etl.vocabulary import Reason, Status
from sandbox.pages import Item, PagedApi
from tests.fakes import RecordingContext
from tests.listed_source import ingest_here

DIALECT = Csv(delimiter=";", encoding="cp1252", decimal=",")


class Part(Contract):
    id: NonBlank
    title: NonBlank
    price: Decimal


def write_table(document: Any) -> bytes:
    rows = [f"{item['id']};{item['title']};{item['price']}".replace(".", ",") for item in document]
    return "".join(f"{line}\r\n" for line in ["id;title;price", *rows]).encode("cp1252")


@dataclass(frozen=True)
class Format:
    """What a source declares, and how the sandbox writes its records."""

    kind: type[ApiSource]
    declared: Mapping[str, Any]
    encode: Callable[[Any], bytes]


FORMATS = {
    "an array": Format(JsonApiSource, {}, lambda items: json.dumps(items).encode()),
    "an array in an object": Format(
        JsonApiSource, {"records": "data.items"}, lambda items: json.dumps({"data": {"items": items}}).encode()
    ),
    "lines": Format(
        JsonApiSource, {"records": LINES}, lambda items: b"".join(json.dumps(item).encode() + b"\n" for item in items)
    ),
    "a table": Format(ApiSource, {"dialect": DIALECT}, write_table),
}
PACKED: Mapping[str, Callable[[bytes], bytes]] = {"plain": bytes, "a gzip file": gzip.compress, "gzip": gzip.compress}
PAGES: Mapping[str, tuple[str, Any, int]] = {  # the sandbox's path, the kind of pages, and the number of requests
    "no pages": ("/number", None, 1),
    "LinkHeader": ("/link", LinkHeader(), 3),
    "Token in a header": ("/header-token", Token("cursor", header="X-Next"), 3),
    "Numbered": ("/number", Numbered("page"), 4),
    "After": ("/list", After("starting_after"), 4),
}


class PartsApi(PagedApi):
    """Also gives the pages after a record as a bare list, at /list."""

    is_encoded = False

    def answer(self, path: str, query: Mapping[str, str], body: Any) -> Any:
        if path == "/list":
            document, headers = self._count("after", query)
            document = document["data"]
        else:
            document, headers = super().answer(path, query, body)
        return document, {**headers, "Content-Encoding": "gzip"} if self.is_encoded else headers


def make_parts(sizes: Sequence[int]) -> list[list[Item]]:
    numbers = iter(range(1, 100))
    return [[make_part(next(numbers)) for _ in range(size)] for size in sizes]


def make_part(number: int) -> Item:
    return {"id": f"n{number}", "title": f"Müller & Söhne {number}", "price": 1234.5}


def make_source(api: PagedApi, declared: Format, path: str, pages: Any) -> ApiSource:
    attributes = {"name": "parts", "every": timedelta(hours=1), "contract": Part, "base_url": api.url}
    mapping = {"unified": {"external_id": "id", "name": "title", "value": "price"}}
    place = {"endpoint": path, "pages": pages}
    kind = type("Declared", (declared.kind,), {**attributes, **mapping, **place, **declared.declared})
    return kind()  # type: ignore[no-any-return]


def judge_all(source: ApiSource) -> list[tuple[str, str, str]]:
    with source.open(Opening(), RecordingContext()) as content:
        assert content is not None
        return [_show(item) for chunk in content.read(None, 4) for item in Judge(source).judge(chunk.items)]


def _show(item: Any) -> tuple[str, str, str]:
    assert isinstance(item, Accepted), item
    return item.unified.external_id, item.unified.name, str(item.unified.value)


@pytest.mark.parametrize("pages", PAGES)
@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_read_in_each_kind_of_pages_that_can_carry_it(name: str, packed: str, pages: str) -> None:
    declared, (path, kind, requests) = FORMATS[name], PAGES[pages]
    sizes = (3, 1, 3) if kind is not None else (3,)
    with PartsApi(make_parts(sizes)) as api:
        api.encode = lambda document: PACKED[packed](declared.encode(document))
        api.is_encoded = packed == "gzip"
        found = judge_all(make_source(api, declared, path, kind))
        assert found == [(f"n{n}", f"Müller & Söhne {n}", "1234.5") for n in range(1, sum(sizes) + 1)]
        assert len(api.requests) == requests


def test_a_table_without_even_a_header_is_a_page_without_records() -> None:
    with PartsApi(make_parts((3, 3))) as api:
        api.encode = lambda document: write_table(document) if document else b""
        assert len(judge_all(make_source(api, FORMATS["a table"], "/number", Numbered("page")))) == 6


def test_a_table_without_even_a_header_is_an_error_where_there_are_no_pages() -> None:
    with PartsApi([[]]) as api:
        api.encode = lambda document: b""
        with pytest.raises(SourceError, match="its first line must name the columns"):
            judge_all(make_source(api, FORMATS["a table"], "/number", None))


def test_a_record_of_a_single_line_names_no_next_page() -> None:
    """Its own `next` is a value like any other."""
    with PartsApi([[{**make_part(1), "next": "/elsewhere"}]]) as api:
        api.encode = FORMATS["lines"].encode
        assert len(judge_all(make_source(api, FORMATS["lines"], "/link", LinkHeader()))) == 1
        assert len(api.requests) == 1


@pytest.mark.django_db(transaction=True)
def test_a_table_in_pages_lands_like_any_other_content() -> None:
    with PartsApi(make_parts((3, 1, 3))) as api:
        api.encode = write_table
        outcome = ingest_here(make_source(api, FORMATS["a table"], "/link", LinkHeader()))
        assert (outcome.status, outcome.counters["new"]) == (Status.SUCCESS, 7)
        assert UnifiedRecord.objects.count() == RawApiRecord.objects.count() == 7
        again = ingest_here(make_source(api, FORMATS["a table"], "/link", LinkHeader()))
        assert again.counters["unchanged"] == 7


@pytest.mark.django_db(transaction=True)
def test_a_table_in_pages_that_lacks_a_column_fails_before_anything_lands() -> None:
    with PartsApi(make_parts((3, 3))) as api:
        api.encode = lambda document: write_table(document).replace(b";price\r\n", b";amount\r\n")
        outcome = ingest_here(make_source(api, FORMATS["a table"], "/link", LinkHeader()))
    assert (outcome.status, outcome.reason) == (Status.FAILED, Reason.COLUMNS_MISSING)
    assert not UnifiedRecord.objects.exists()
