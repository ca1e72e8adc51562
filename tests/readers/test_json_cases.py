"""Cases of JSON as real servers and files send it, from the file to the tables."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from etl.gates import Gates
from etl.models import AnyRawRecord, QuarantinedRecord, Run, UnifiedRecord
from etl.sources import LINES, Contract, JsonLinesSource, NonBlank, PositiveDecimal, Text, setting
from tests.listed_source import ingest_here

pytestmark = pytest.mark.django_db(transaction=True)


class Thing(Contract):
    id: NonBlank
    name: NonBlank


class Valued(Thing):
    v: PositiveDecimal


class Order(Contract):
    name: NonBlank
    email: Text | None
    id: PositiveDecimal


class Things(JsonLinesSource):
    name = "things"
    every = timedelta(hours=1)
    path: Any = setting("THINGS_PATH")
    contract: ClassVar[type[Contract]] = Thing
    unified = {"external_id": "id", "name": "name"}
    gates = Gates(max_refused=1, min_kept=0)


class Values(Things):
    contract = Valued
    records = LINES


class Enveloped(Things):
    records = "data"


@pytest.fixture
def place(tmp_path: Path, settings: Any) -> Path:
    settings.THINGS_PATH = str(tmp_path / "things.json")
    return tmp_path / "things.json"


def list_ids() -> list[str]:
    return sorted(UnifiedRecord.objects.values_list("external_id", flat=True), key=int)


def list_refused() -> list[tuple[int, str]]:
    return list(QuarantinedRecord.objects.order_by("position").values_list("line", "code"))


VALUES = r"""{"id":"1","name":"nan","v":NaN}
{"id":"2","name":"inf","v":Infinity}
{"id":"3","name":"other nan","v":1,"extra":NaN}
{"id":"4","name":"huge","v":1e400}
{"id":"5","name":"float noise","v":0.1000000000000000055511151231257827}
{"id":"6","name":"nul \u0000 char","v":1}
{"id":"7","name":"nul in another field","v":1,"x":"a\u0000b"}
{"id":"8","name":"lone surrogate elsewhere","v":1,"x":"\ud800"}
{"id":"9","name":"huge elsewhere","v":1,"x":1e400, "y": [-Infinity, "\u0000"]}
"""


def test_values_that_no_field_takes_refuse_their_record_and_land_elsewhere_as_sent(place: Path) -> None:
    place.write_text(VALUES)
    assert ingest_here(Values()).status == "partial"
    assert list_ids() == ["3", "7", "8", "9"]
    assert [line for line, _ in list_refused()] == [1, 2, 4, 5, 6]
    lines = VALUES.splitlines()
    payloads = {record.external_id: record.payload for record in AnyRawRecord.objects.all()}
    assert payloads == {number: lines[int(number) - 1] for number in ("3", "7", "8", "9")}
    refused = QuarantinedRecord.objects.get(line=1)
    assert (refused.payload, bytes(refused.original).decode()) == (lines[0], lines[0])
    ingest_here(Values(), full=True)
    assert Run.objects.latest("id").unchanged == 4


BROKEN = '[{"id":"1","name":"a"},\n{"id":"2","name":"b" "x":1},\n{"id":"3","name":"c"},{"id":"4","name":"d"}]\n'
PRETTY = json.dumps({"data": [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}], "meta": {"next": None}}, indent=2)


def test_a_broken_element_is_refused_at_its_line_and_the_others_land(place: Path) -> None:
    place.write_text(BROKEN)
    assert ingest_here(Things()).status == "partial"
    assert (list_ids(), list_refused()) == (["1", "3", "4"], [(2, "malformed")])


def test_an_element_above_the_limit_is_refused_at_its_line_and_the_others_land(place: Path, settings: Any) -> None:
    settings.ETL_MAX_RECORD_BYTES = 1000
    place.write_text(BROKEN.replace('"b" "x":1', f'"{"x" * 1000}"'))
    assert ingest_here(Things()).status == "partial"
    assert (list_ids(), list_refused()) == (["1", "3", "4"], [(2, "too_long")])


def test_a_document_is_read_by_its_path_and_never_as_lines(place: Path) -> None:
    place.write_text(PRETTY)
    outcome = ingest_here(Things())
    assert (outcome.status, UnifiedRecord.objects.count(), QuarantinedRecord.objects.count()) == ("failed", 0, 0)
    assert "its records may be in 'data'" in Run.objects.latest("id").error
    assert ingest_here(Enveloped()).status == "success"
    assert list_ids() == ["1", "2"]


def test_the_path_is_part_of_the_digest() -> None:
    assert len({Things().digest(), Values().digest(), Enveloped().digest()}) == 3
