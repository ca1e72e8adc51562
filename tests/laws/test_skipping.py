"""Laws 4 and 13: what a source does not want is counted and kept nowhere; own code that raises stops nothing."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from etl.execution.executor import execute_here
from etl.models import QuarantinedRecord, UnifiedRecord
from etl.records import UnifiedFields
from etl.reports.verification import verify
from etl.runs.options import Options
from etl.storage.refusal_selection import Selection
from etl.supervision.os_signals import Interruption
from tests.listed_source import Listed, dump_quarantine, dump_raw, dump_unified, ingest_here, make_item

pytestmark = pytest.mark.django_db(transaction=True)


class Choosy(Listed):
    """Skips the names that a test lists, and fails on "bad"."""

    unwanted: ClassVar[set[str]] = set()

    def skips(self, values: Mapping[str, Any]) -> bool:
        return values["name"] in self.unwanted


class Failing(Choosy):
    def unify(self, values: Mapping[str, Any]) -> UnifiedFields:
        if values["name"] == "bad":
            raise ValueError("secret")
        return super().unify(values)  # type: ignore[return-value]


class CompleteChoosy(Choosy):
    complete = True


ITEMS = [make_item(1), make_item(2, name="No"), make_item(3, price="x"), make_item(4), make_item(2, name="No")]


@pytest.fixture(autouse=True)
def unwanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Choosy, "unwanted", {"No"})


@pytest.mark.parametrize("size", [1, 2, 3, 10_000])
def test_what_is_not_wanted_is_counted_and_kept_nowhere(settings: Any, size: int) -> None:
    settings.ETL_BATCH_SIZE = size
    counters = ingest_here(Choosy(ITEMS)).counters
    assert (counters["seen"], counters["new"], counters["skipped"], counters["quarantined"]) == (5, 2, 2, 1)
    assert [row[0] for row in dump_unified("listed")] == ["1", "4"]
    assert [row[0] for row in dump_raw("listed")] == ["1", "4"]
    assert len(dump_quarantine("listed")) == 1
    assert verify() == []


def test_skipped_again_they_write_nothing() -> None:
    ingest_here(Choosy(ITEMS))
    counters = ingest_here(Choosy(ITEMS), full=True).counters
    assert (counters["unchanged"], counters["skipped"], counters["quarantined"]) == (2, 2, 1)
    assert len(dump_raw("listed")) == 2


@pytest.mark.parametrize(("source", "is_removed"), [(Choosy, False), (CompleteChoosy, True)])
def test_a_stored_record_that_is_skipped_now_is_not_among_the_records_of_the_read(
    source: type[Choosy], is_removed: bool
) -> None:
    ingest_here(source([make_item(1), make_item(2), make_item(3)]))
    ingest_here(source([make_item(1), make_item(2, name="No"), make_item(3)]))
    stored = UnifiedRecord.objects.get(external_id="2")
    assert (stored.name, stored.removed_at is not None) == ("Thing", is_removed)


def test_a_refused_record_that_is_skipped_now_is_gone() -> None:
    ingest_here(Choosy([make_item(1), make_item(2, name="No", price="x")]))
    ingest_here(Choosy([make_item(1), make_item(2, name="No")]))
    assert list(QuarantinedRecord.objects.values_list("status", flat=True)) == ["gone"]


def test_a_replay_of_a_record_that_is_not_wanted_settles_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ingest_here(Failing([make_item(1), make_item(2, name="bad"), make_item(3, name="bad")]))
    monkeypatch.setattr(Choosy, "unwanted", {"bad"})
    everything = Options(selection=Selection(everything=True))
    done = execute_here(Failing(), everything, interruption=Interruption(), report=lambda progress: None)
    assert (done.counters["seen"], done.counters["skipped"]) == (2, 2)
    assert set(QuarantinedRecord.objects.values_list("status", flat=True)) == {"gone"}
    assert verify() == []


def test_own_code_that_raises_refuses_its_record_and_the_others_land() -> None:
    outcome = ingest_here(Failing([make_item(1), make_item(2, name="bad"), make_item(3)]))
    assert (outcome.counters["new"], outcome.counters["quarantined"]) == (2, 1)
    (row,) = QuarantinedRecord.objects.values("code", "message", "line", "external_id")
    assert (row["code"], row["line"], row["external_id"]) == ("raised", 3, "2")
    assert row["message"].startswith("unify raised ValueError at test_skipping.py:")
    assert "secret" not in row["message"]
