"""Kinds of pages and shapes of pages, as one table: which records are read, how many pages are asked for, which end."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from pytest_django.fixtures import Settings

from etl.exceptions import SourceError
from etl.records import Chunk
from etl.vocabulary import Reason
from sandbox.pages import PagedApi
from tests.readers.test_walk import KINDS, list_ids, make_pages, make_source, open_walk

END = ""
SAME, LACK = "two consecutive pages are the same", "gave 3 records of the 6 that it names as their number"
MORE = "a page without records says that there are more"


@dataclass(frozen=True)
class Shape:
    """Pages of these sizes; with `repeats_last` the server never says that the last page is the last."""

    sizes: tuple[int, ...]
    repeats_last: bool = False


SHAPES = {
    "no page": Shape((0,)),
    "one page": Shape((3,)),
    "an exact multiple": Shape((3, 3, 3)),
    "a short last page": Shape((3, 3, 1)),
    "a short page in the middle": Shape((3, 1, 3)),
    "an empty page in the middle": Shape((3, 0, 3)),
    "the last page repeated": Shape((3, 3, 1), repeats_last=True),
}
USUAL = {  # requests, records, and how the walk ends
    "no page": (1, 0, END),
    "one page": (1, 3, END),
    "an exact multiple": (3, 9, END),
    "a short last page": (3, 7, END),
    "a short page in the middle": (3, 7, END),
    "an empty page in the middle": (3, 6, END),
    "the last page repeated": (3, 7, SAME),  # it names itself: the first pages are not asked for twice
}
BY_NUMBER = {  # only a page without records shows the end
    "one page": (2, 3, END),
    "an exact multiple": (4, 9, END),
    "a short last page": (4, 7, END),
    "a short page in the middle": (4, 7, END),
    "an empty page in the middle": (2, 3, END),
    "the last page repeated": (4, 7, SAME),
}
OTHER = {
    "/number": BY_NUMBER,
    "/offset": {"an empty page in the middle": (2, 3, LACK), "the last page repeated": (3, 7, END)},
    "/after": {"an empty page in the middle": (2, 3, MORE), "the last page repeated": (4, 7, SAME)},
}
CASES = [
    pytest.param(path, shape, *(OTHER.get(path, {}).get(shape) or USUAL[shape]), id=f"{path[1:]}: {shape}")
    for path in KINDS
    for shape in SHAPES
]


@pytest.fixture(autouse=True)
def few_pages(settings: Settings) -> None:
    settings.ETL_HTTP_MAX_PAGES = 20  # so that a walk that fails ends


@pytest.mark.parametrize(
    ("batch_size", "chunks"), [(10, [10]), (9, [8, 2]), (5, [4, 4, 2]), (4, [4, 4, 2]), (3, [3, 1, 3, 3])]
)
def test_a_chunk_is_whole_pages_and_only_a_larger_page_is_split(batch_size: int, chunks: list[int]) -> None:
    with PagedApi(make_pages([3, 1, 4, 2])) as api:
        read = open_walk(make_source(api, "/link")).read(None, batch_size)
        assert [len(chunk.items) for chunk in read] == chunks


@pytest.mark.parametrize(("path", "shape", "requests", "records", "end"), CASES)
def test_each_kind_of_pages_reads_each_shape(path: str, shape: str, requests: int, records: int, end: str) -> None:
    with PagedApi(make_pages(SHAPES[shape].sizes)) as api:
        api.repeats_last = SHAPES[shape].repeats_last
        chunks: list[Chunk] = []
        error = _collect(open_walk(make_source(api, path)).read(None, 2), chunks)
        assert list_ids(chunks) == [f"n{number}" for number in range(1, records + 1)]
        assert len(api.requests) == len(set(api.requests)) == requests
    assert end in error
    assert (Reason.PAGES_ENDLESS in error) == (end == SAME)
    assert bool(end) == bool(error)


def _collect(read: Iterator[Chunk], chunks: list[Chunk]) -> str:
    """Gather the chunks, and return the text of the error after them."""
    try:
        chunks.extend(read)
    except SourceError as error:
        return f"{error.reason} {error}"
    return END
