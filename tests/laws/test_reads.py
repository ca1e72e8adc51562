"""Laws 8 and 12: a position is valid only in the same content, and an interrupted read leaves no fingerprint."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from etl.models import Checkpoint, ReadMark
from etl.read_context import ReadContext
from etl.readers.content import Content, Opening
from tests.laws.test_drift_delivery import CutListed
from tests.listed_source import Listed, ListedContent, TimedListed, dump_unified, ingest_here, make_item
from tests.single_steps import end_lease, land, start

pytestmark = pytest.mark.django_db(transaction=True)


class Validated(Listed):
    """Its server has a validator for each content, and does not send content that the reader already has."""

    @contextmanager
    def open(self, opening: Opening, context: ReadContext) -> Iterator[Content | None]:
        with super().open(opening, context) as content:
            assert isinstance(content, ListedContent)
            content.validators = {"etag": content.fingerprint}
            yield None if opening.validators == content.validators else content


class CutValidated(Validated, CutListed):
    """Its content breaks off."""


@pytest.fixture(autouse=True)
def small_batches(settings: Any) -> None:
    settings.ETL_BATCH_SIZE = 2


def read_kept() -> tuple[str, dict[str, str]]:
    return Checkpoint.objects.values_list("fingerprint", "validators").get()


def test_a_cut_read_of_other_content_starts_at_its_beginning() -> None:
    records = [*map(make_item, range(6))]
    ingest_here(CutListed(records, cut=4))
    outcome = ingest_here(Listed([make_item("first"), *records]))
    assert outcome.counters["seen"] == 7
    assert "first" in {row[0] for row in dump_unified("listed")}


def test_a_cut_read_of_the_same_content_goes_on_after_its_last_batch() -> None:
    records = [*map(make_item, range(6))]
    ingest_here(CutListed(records, cut=4))
    assert ingest_here(Listed(records)).counters["seen"] == 2


def test_a_cut_read_leaves_neither_fingerprint_nor_validator() -> None:
    ingest_here(CutValidated([*map(make_item, range(6))], cut=4))
    assert read_kept() == ("", {})


def test_a_read_that_ends_leaves_both() -> None:
    source = Validated([*map(make_item, range(6))])
    ingest_here(source)
    with source.open(Opening(), None) as content:  # type: ignore[arg-type]
        assert content is not None
        assert read_kept() == (f"{source.digest()}:{content.fingerprint}", content.validators)


def test_while_a_read_is_open_the_whole_content_is_asked_for() -> None:
    """A read is interrupted, then the source returns to its former content: the next read must undo the first part."""
    former = Validated([*map(make_item, range(6))])
    ingest_here(former)
    ingest_here(CutValidated([make_item(number, name="changed") for number in range(6)], cut=4))
    assert ingest_here(former).counters["updated"] == 4
    assert {row[1] for row in dump_unified("listed")} == {"Thing"}


def test_the_marks_of_one_source_stay_when_the_read_of_another_begins() -> None:
    timed = [make_item(number, at="2026-01-01T00:00:00Z") for number in range(4)]
    ingest_here(TimedListed(timed))
    ingest_here(TimedListed(timed), full=True)
    before = list(ReadMark.objects.values_list("source", "read_number"))
    land(start("listed"), Listed(), [make_item(1)])
    end_lease()
    assert list(ReadMark.objects.values_list("source", "read_number")) == before == [("timed", 2)]
