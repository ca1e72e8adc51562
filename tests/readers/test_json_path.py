"""Laws of the path to the records: it leads to one array, and what is around the array proves the array's end."""

import pytest

from etl.readers.json_text import proves_end
from tests.factories import hold
from tests.readers.test_json_recovery import make_content, read, show

ELSEWHERE = {
    "beside it": '{"other":[{"id":"8"}]}',
    "above it": '{"items":[{"id":"8"}],"data":{}}',
    "below it": '{"data":{"items":{"items":[{"id":"8"}]}}}',
    "in an array": '{"data":[{"items":[{"id":"8"}]}]}',
    "under another key": '{"data":{"other":[{"id":"8"}]}}',
    "in another object": '{"other":{"items":[{"id":"8"}]}}',
    "in a text": '{"data":"{\\"items\\":[{}]}"}',
}


@pytest.mark.parametrize("text", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_document_with_an_array_elsewhere_is_not_read(text: str) -> None:
    items, error = read(make_content(text, ("data", "items")))
    assert items == []
    assert "has no array at 'data.items'" in error


def test_the_array_is_read_whatever_other_arrays_are_around_it() -> None:
    text = '{"items":[{"id":"8"}],"data":{"more":{"items":[{"id":"9"}]},"items":[{"id":"1"}],"x":[{"id":"10"}]}}'
    items, error = read(make_content(text, ("data", "items")))
    assert (show(items), error) == (["1"], "")


WHOLE = '{"n":[1],"data":{"a":"]}","items":[{"id":"1"},{"id":"2","kids":[{}]}],"b":[]},"next":null}'


@pytest.mark.parametrize("end", range(1, len(WHOLE) + 1))
def test_an_object_around_the_array_proves_its_end_only_if_it_is_closed(end: int) -> None:
    assert proves_end(hold(WHOLE[:end].encode()), ("data", "items")) == (end == len(WHOLE))
