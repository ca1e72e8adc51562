"""Law 11: the database enforces what it can. Each named constraint exists, and refuses rows that violate it."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.db.models import Model

from etl import landing
from etl.change_detection import Stored, classify
from etl.fence import reads
from etl.models import (
    Alert,
    AnnouncedStanding,
    Checkpoint,
    JudgedRead,
    QuarantinedRecord,
    ReadMark,
    Run,
    SchemaChange,
    SchemaSnapshot,
    SourceFile,
    Total,
    UnifiedRecord,
)
from etl.runs import orders
from etl.storage.ledger import find_stored
from etl.vocabulary import Trigger
from tests.listed_source import Listed, dump_raw, fetch, ingest_here, judge_all, make_item
from tests.single_steps import start

pytestmark = pytest.mark.django_db(transaction=True)


def double(row: Model, **changes: Any) -> None:
    """Insert a copy of the row."""
    row.pk = None
    for name, value in changes.items():
        setattr(row, name, value)
    row.save(force_insert=True)


BREACHES: Mapping[str, Callable[[], object]] = {
    "etl_runs_status_known": lambda: Run.objects.filter(status="queued").update(status="lost"),
    "etl_runs_trigger_known": lambda: Run.objects.update(trigger="nobody"),
    "etl_runs_one_running": lambda: double(Run.objects.get(status="running"), key="another"),
    "etl_runs_one_queued_plain": lambda: double(Run.objects.get(status="queued"), key="another"),
    "etl_runs_counters_add_up": lambda: Run.objects.filter(seen__gt=0).update(seen=1000),
    "etl_runs_waiting_were_refused": lambda: Run.objects.filter(quarantined=0).update(waiting=1),
    "etl_runs_versions_were_counted": lambda: Run.objects.filter(new=0).update(versions=1),
    "etl_runs_pruned_raw_was_landed": lambda: Run.objects.filter(new=0).update(pruned_raw=1),
    "etl_runs_finished_when_closed": lambda: Run.objects.filter(status="success").update(finished_at=None),
    "etl_runs_running_is_claimed": lambda: Run.objects.filter(status="running").update(epoch=None),
    "ingestion_checkpoints_counts_not_negative": lambda: Checkpoint.objects.update(open_quarantine_count=-1),
    "ingestion_checkpoints_pruned_new_not_negative": lambda: Checkpoint.objects.update(pruned_new=-1),
    "ingestion_checkpoints_removed_count_not_negative": lambda: Checkpoint.objects.update(removed_count=-1),
    "etl_reads_one_a_number": lambda: double(JudgedRead.objects.all()[0]),
    "etl_reads_outcome_known": lambda: JudgedRead.objects.update(outcome="lost"),
    "etl_reads_whole_is_proven": lambda: JudgedRead.objects.update(is_proven=False),
    "etl_reads_complete_is_whole": lambda: JudgedRead.objects.update(is_whole=False, is_complete=True),
    "etl_files_one_a_name": lambda: double(SourceFile.objects.all()[0]),
    "etl_files_outcome_known": lambda: SourceFile.objects.update(outcome="lost"),
    "etl_read_marks_one_a_block": lambda: double(ReadMark.objects.all()[0]),
    "etl_read_marks_kind_known": lambda: ReadMark.objects.update(kind="nothing"),
    "etl_quarantine_one_in_a_file": lambda: double(QuarantinedRecord.objects.all()[0]),
    "etl_quarantine_status_known": lambda: QuarantinedRecord.objects.update(status="lost"),
    "unified_records_source_external_id": lambda: double(UnifiedRecord.objects.all()[0]),
    "etl_alerts_kind_known": lambda: Alert.objects.update(kind="nothing"),
    "etl_alerts_standing_known": lambda: Alert.objects.update(standing="nothing"),
    "etl_alerts_state_known": lambda: Alert.objects.update(state="nothing"),
    "etl_standings_announced_known": lambda: AnnouncedStanding.objects.update(announced="nothing"),
    "schema_snapshots_one_a_number": lambda: double(SchemaSnapshot.objects.all()[0]),
    "schema_changes_one_a_path_and_kind": lambda: double(SchemaChange.objects.all()[0]),
    "schema_changes_kind_known": lambda: SchemaChange.objects.update(kind="nothing"),
    "etl_totals_one_a_label": lambda: double(Total.objects.all()[0]),
    "etl_totals_name_known": lambda: Total.objects.update(name="nothing"),
}


def list_named() -> dict[str, str]:
    """Map each constraint that the models name to its table."""
    models = apps.get_app_config("etl").get_models()
    return {constraint.name: model._meta.db_table for model in models for constraint in model._meta.constraints}


def fill_tables() -> None:
    """Insert rows into each table."""
    ingest_here(Listed([*map(make_item, range(5)), make_item("bad", price="x")]))
    ingest_here(Listed([make_item(number, colour="red") for number in range(5)]))
    ingest_here(Listed([make_item(number, colour="red") for number in range(5)]), full=True)
    start("another")
    SourceFile.objects.create(source="another", name="a.csv", outcome="accepted", run_id=1)
    orders.queue("third", key="k", trigger=Trigger.API, by="a test")


def drop_others(cursor: Any, table: str, kept: str) -> None:
    """Drop the table's other constraints: where constraints overlap, each must hold without the others."""
    for name in (name for name, of in list_named().items() if of == table and name != kept):
        is_constraint = fetch("SELECT 1 FROM pg_constraint WHERE conname = %s", name)
        cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}" if is_constraint else f"DROP INDEX {name}")


def test_every_named_constraint_has_its_proof() -> None:
    assert list_named().keys() == BREACHES.keys()


@pytest.mark.parametrize("name", BREACHES)
def test_each_constraint_refuses_what_breaks_it(name: str) -> None:
    fill_tables()
    with pytest.raises(IntegrityError) as caught, transaction.atomic(), connection.cursor() as cursor:
        drop_others(cursor, list_named()[name], name)
        BREACHES[name]()
    assert caught.value.__cause__.diag.constraint_name == name  # type: ignore[union-attr]


def test_a_batch_that_misses_a_record_to_update_lands_nothing() -> None:
    """The row existed when the batch was classified, but was deleted before the batch landed."""
    ingest_here(Listed([make_item(1), make_item(2)]))
    started = start()
    read = reads.choose_read(started.checkpoint, "content", is_full=False)
    judged = judge_all(Listed(), [make_item(1, name="other"), make_item(2, name="other")])
    known = find_stored(Listed(), judged, read_number=read.number, read_sequence=read.first_sequence)
    UnifiedRecord.objects.filter(external_id="2").delete()
    with pytest.raises(RuntimeError, match="Only 1 of the 2 records"):
        landing.land(
            started.claim, Listed(), read, classify(judged, Stored(known)), reached={}, wait=lambda seconds: None
        )
    assert len(dump_raw("listed")) == 2
    assert Checkpoint.objects.get().batch_number == started.checkpoint.batch_number
