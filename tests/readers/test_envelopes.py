"""Laws of objects around records: a sign of more pages is found, and arrays cost nothing."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.readers.envelopes import read_envelope

ROWS = [{"id": 1, "next": "not a sign"}, {"id": 2, "has_more": True}]
URL = "https://api.example/things?page=2"

MORE = [
    ({"data": ROWS, "next": URL}, "next"),
    ({"next": URL, "data": ROWS}, "next"),
    ({"count": 2, "next": URL, "previous": None, "results": ROWS}, "next"),
    ({"data": ROWS, "next_cursor": "abc"}, "next_cursor"),
    ({"data": ROWS, "has_more": True}, "has_more"),
    ({"data": ROWS, "hasMore": True, "nextCursor": ""}, "hasMore"),
    ({"@odata.context": "x", "value": ROWS, "@odata.nextLink": URL}, "@odata.nextLink"),
    ({"items": ROWS, "nextPageToken": "abc"}, "nextPageToken"),
    ({"items": ROWS, "next_page": 2}, "next_page"),
    ({"data": ROWS, "meta": {"page": 1, "next_cursor": "abc"}}, "meta.next_cursor"),
    ({"data": ROWS, "links": {"self": "/1", "next": "/2"}}, "links.next"),
    ({"_embedded": {"things": ROWS}, "_links": {"next": {"href": URL}}}, "_links.next"),
    ({"results": ROWS, "paging": {"next": {"after": "2", "link": URL}}}, "paging.next"),
    ({"messages": ROWS, "response_metadata": {"next_cursor": "abc"}}, "response_metadata.next_cursor"),
    ({"data": {"things": {"nodes": ROWS, "pageInfo": {"hasNextPage": True}}}}, "data.things.pageInfo.hasNextPage"),
    ({"data": {"items": ROWS, "pagination": {"next_url": URL}}}, "data.pagination.next_url"),
]


@pytest.mark.parametrize(("values", "path"), MORE, ids=[path for _, path in MORE])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_sign_of_more_pages_is_found(values: dict[str, Any], path: str, indent: int | None) -> None:
    assert read_envelope(json.dumps(values, indent=indent).encode()).find_next_page() == path


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"data": ROWS},
        {"data": ROWS, "next": None},
        {"data": ROWS, "next": ""},
        {"data": ROWS, "has_more": False},
        {"data": ROWS, "has_more": False, "next_cursor": "for the next poll"},
        {"data": ROWS, "next_page": 0},
        {"data": ROWS, "paging": {}},
        {"data": ROWS, "links": {"next": None, "self": "/1"}},
        {"data": ROWS, "_links": {"next": {"href": None}}},
        {"data": {"things": {"nodes": ROWS, "pageInfo": {"hasNextPage": False, "endCursor": "abc"}}}},
        {"data": ROWS, "owner": {"next": "of kin"}},
        {"data": ROWS, "nextel": "a name"},
    ],
)
def test_an_object_without_a_next_page_has_no_sign(values: dict[str, Any]) -> None:
    assert read_envelope(json.dumps(values).encode()).find_next_page() == ""


@pytest.mark.parametrize(
    ("values", "is_error"),
    [
        ({"error": "quota"}, True),
        ({"error": {"code": 429, "message": "slow down"}}, True),
        ({"errors": [{"message": "no such field"}], "data": None}, True),
        ({"error_description": "expired", "status": 401}, True),
        ({"message": "Not authorised"}, True),
        ({"detail": "Invalid token."}, True),
        ({"data": ROWS, "message": "OK", "error": None, "errors": []}, False),
        ({"error": False, "data": ROWS}, False),
        ({"id": 1, "name": "a"}, False),
    ],
)
def test_an_error_is_recognised(values: dict[str, Any], is_error: bool) -> None:
    assert read_envelope(json.dumps(values).encode()).is_error is is_error


def test_the_arrays_are_found_the_outermost_first() -> None:
    values = {"a": {"b": {"c": [1]}}, "none": [], "data": [{"x": [1]}], "meta": {"d": [2]}}
    assert read_envelope(json.dumps(values).encode()).find_arrays() == ["data", "meta.d", "a.b.c"]


@given(st.dictionaries(st.text(max_size=4), st.recursive(st.text(max_size=4) | st.none(), st.lists), max_size=4))
def test_any_object_is_whole_and_cut_anywhere_it_is_not(values: dict[str, Any]) -> None:
    text = json.dumps(values).encode()
    assert read_envelope(text).is_whole
    assert not any(read_envelope(text[:end]).is_whole for end in range(len(text)))


@given(st.binary(max_size=60) | st.text('{}[]",:\\ae1 \n', max_size=40).map(str.encode))
def test_any_bytes_can_be_read(text: bytes) -> None:
    envelope = read_envelope(text)
    envelope.find_next_page()
    envelope.find_arrays()


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_any_depth_can_be_read(opening: bytes) -> None:
    assert not read_envelope(b'{"data":' + opening * 100_000).is_whole


def test_two_objects_are_no_envelope() -> None:
    assert not read_envelope(b'{"id": 1}\n{"id": 2}').is_whole
