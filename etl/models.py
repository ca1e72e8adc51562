"""The tables, with the laws that the database itself keeps: unique and check constraints, all of them named.

Everything here is written by the pipeline alone; times that decide anything come from the database's clock.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Now

from etl.records import ChangeKind, MarkKind, QuarantineStatus, SourceKind, Status, TotalName, Trigger


def _choices(words: type[StrEnum]) -> list[tuple[str, str]]:
    return [(word.value, word.value.replace("_", " ")) for word in words]


def _known(column: str, words: Iterable[StrEnum], table: str) -> models.CheckConstraint:
    values = [word.value for word in words]
    return models.CheckConstraint(condition=Q(**{f"{column}__in": values}), name=f"{table}_{column}_known")


class JsonTextField(models.TextField):  # type: ignore[type-arg]
    """PostgreSQL `json`, which keeps the text as received, read as that text (psycopg2 would parse it)."""

    def db_type(self, connection: Any) -> str:
        return "json"

    def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
        return f"{sql}::text", params


class Run(models.Model):
    """One order to bring one source up to date. The row is the order, a message about it only a hint."""

    source = models.TextField()
    key = models.TextField(unique=True)
    trigger = models.TextField(choices=_choices(Trigger))
    at_terminal = models.BooleanField(default=False, help_text="A person at a terminal runs it; nobody succeeds it.")
    status = models.TextField(choices=_choices(Status))
    reason = models.TextField(blank=True, default="", help_text="One of records.Reason.")
    epoch = models.BigIntegerField(null=True)
    attempt = models.PositiveSmallIntegerField(default=1)
    options = models.JSONField(default=dict, help_text="full, allow_removals, selection; empty for a plain run.")
    not_before = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    cursor_before = models.JSONField(null=True)
    cursor_after = models.JSONField(null=True)
    seen = models.BigIntegerField(default=0)
    new = models.BigIntegerField(default=0)
    updated = models.BigIntegerField(default=0)
    unchanged = models.BigIntegerField(default=0)
    duplicate = models.BigIntegerField(default=0)
    quarantined = models.BigIntegerField(default=0)
    pruned_raw = models.BigIntegerField(
        default=0, db_default=0, help_text="Of the raw records that it landed, those that are pruned."
    )
    error = models.TextField(blank=True, default="")

    class Meta:
        db_table = "etl_runs"
        permissions = (("operate", "Can start, cancel and replay runs, discard and acknowledge"),)
        ordering = ("-created_at", "-id")
        # The partial ones keep /stats and /health flat: they hold the open runs, and find each source's last run.
        indexes = (
            models.Index(fields=("-created_at", "-id"), name="etl_runs_newest"),
            models.Index(fields=("source",), condition=Q(status__in=("queued", "running")), name="etl_runs_open"),
            models.Index(
                fields=("source", "-finished_at"), condition=Q(finished_at__isnull=False), name="etl_runs_last_closed"
            ),
            models.Index(
                fields=("source", "-finished_at"),
                condition=Q(finished_at__isnull=False, seen__gt=0),
                name="etl_runs_last_that_read",
            ),
        )
        constraints = (
            _known("status", Status, "etl_runs"),
            _known("trigger", Trigger, "etl_runs"),
            models.UniqueConstraint(fields=("source",), condition=Q(status="running"), name="etl_runs_one_running"),
            # A run that was begun and waits to go on is not asked for again: it may wait beside a new order.
            models.UniqueConstraint(
                fields=("source",),
                condition=Q(status="queued", options={}, started_at=None),
                name="etl_runs_one_queued_plain",
            ),
            models.CheckConstraint(
                condition=Q(
                    seen=F("new") + F("updated") + F("unchanged") + F("duplicate") + F("quarantined"),
                    new__gte=0,
                    updated__gte=0,
                    unchanged__gte=0,
                    duplicate__gte=0,
                    quarantined__gte=0,
                ),
                name="etl_runs_counters_add_up",
            ),
            models.CheckConstraint(
                condition=Q(pruned_raw__gte=0, pruned_raw__lte=F("new") + F("updated")),
                name="etl_runs_pruned_raw_was_landed",
            ),
            models.CheckConstraint(
                condition=Q(status__in=("queued", "running"), finished_at=None)
                | Q(status__in=("success", "partial", "failed"), finished_at__isnull=False),
                name="etl_runs_finished_when_closed",
            ),
            models.CheckConstraint(
                condition=~Q(status="running") | Q(started_at__isnull=False, epoch__isnull=False),
                name="etl_runs_running_is_claimed",
            ),
        )

    def __str__(self) -> str:
        return f"run {self.pk} of {self.source}"

    @property
    def duration_s(self) -> float | None:
        """Seconds from its first start to its end, to the millisecond; None if one of them is not there (yet)."""
        if self.started_at is None or self.finished_at is None:
            return None
        return round((self.finished_at - self.started_at).total_seconds(), 3)


class RunKey(models.Model):
    """A further key that was answered with an existing run, and keeps that answer."""

    key = models.TextField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="further_keys")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "etl_run_keys"

    def __str__(self) -> str:
        return self.key


class RunEvent(models.Model):
    """One line of a run's audit log."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events")
    kind = models.TextField(help_text="One of records.EventKind.")
    message = models.TextField()
    created_at = models.DateTimeField(db_default=Func(function="clock_timestamp"))

    class Meta:
        db_table = "etl_run_events"
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


class Checkpoint(models.Model):
    """One source: where its reading stands, who owns it, and the counts kept with each batch.

    `batch_number` and `epoch` are the fence: a batch lands only if both are still what its run knows.
    The columns `read_*` and `cursor` belong to the read that is open while `is_reading`.
    """

    source = models.TextField(primary_key=True)
    epoch = models.BigIntegerField(default=0)
    owner = models.TextField(blank=True, default="")
    owner_run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, db_index=False, related_name="+")
    owner_pid = models.IntegerField(null=True)
    owner_backend_start = models.DateTimeField(null=True)
    lease_expires_at = models.DateTimeField(null=True)
    fingerprint = models.TextField(blank=True, default="")
    validators = models.JSONField(default=dict)
    cursor = models.JSONField(null=True)
    is_reading = models.BooleanField(default=False)
    is_full_read = models.BooleanField(default=False)
    read_number = models.BigIntegerField(default=0)
    read_fingerprint = models.TextField(blank=True, default="")
    read_sequence = models.BigIntegerField(default=0, help_text="The sequence when the read began.")
    read_quarantined = models.BigIntegerField(default=0)
    read_shape = models.JSONField(null=True)
    batch_number = models.BigIntegerField(default=0)
    sequence = models.BigIntegerField(default=0)
    record_count = models.BigIntegerField(default=0)
    raw_count = models.BigIntegerField(default=0)
    open_quarantine_count = models.BigIntegerField(default=0)
    pruned_new = models.BigIntegerField(
        default=0, db_default=0, help_text="Of the records counted as new, those whose run is pruned."
    )
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "ingestion_checkpoints"
        ordering = ("source",)
        constraints = (
            models.CheckConstraint(
                condition=Q(record_count__gte=0, raw_count__gte=0, open_quarantine_count__gte=0),
                name="ingestion_checkpoints_counts_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(pruned_new__gte=0), name="ingestion_checkpoints_pruned_new_not_negative"
            ),
        )

    def __str__(self) -> str:
        return self.source


class ReadMark(models.Model):
    """What a source's last read has met: a bitmap of the ids of one table, one block a row.

    Records that it found unchanged (those it wrote are told by their sequence) and refused ones. Kept until the
    next read begins.
    """

    source = models.TextField()
    read_number = models.BigIntegerField()
    kind = models.TextField(choices=_choices(MarkKind), default=MarkKind.RECORD)
    block = models.BigIntegerField()
    bits = models.BinaryField()

    class Meta:
        db_table = "etl_read_marks"
        constraints = (
            models.UniqueConstraint(
                fields=("source", "read_number", "kind", "block"), name="etl_read_marks_one_a_block"
            ),
            _known("kind", MarkKind, "etl_read_marks"),
        )

    def __str__(self) -> str:
        return f"{self.source} read {self.read_number} block {self.block}"


def _find_by_run(table: str) -> BrinIndex:
    """The raw rows of one run, which lie together: 24 kB a million rows (docs/decisions/0019)."""
    return BrinIndex(fields=("run",), name=f"{table}_run", pages_per_range=32, autosummarize=True)


class RawRecord(models.Model):
    """One version of one record as it was received. The three tables draw ids from one sequence."""

    id = models.BigIntegerField(primary_key=True, db_default=Func(Value("raw_record_id"), function="nextval"))
    run = models.ForeignKey(Run, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    source = models.TextField()
    external_id = models.TextField()
    position = models.BigIntegerField()
    sequence = models.BigIntegerField()
    payload = JsonTextField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.source} {self.external_id}"

    @classmethod
    def table(cls) -> str:
        return cls._meta.db_table


class RawApiRecord(RawRecord):
    """A record of an API."""

    class Meta:
        db_table = "raw_api_data"
        indexes = (
            models.Index(fields=("source", "external_id"), name="raw_api_data_record"),
            _find_by_run("raw_api_data"),
        )


class RawCsvRecord(RawRecord):
    """A record of a CSV file."""

    class Meta:
        db_table = "raw_csv_data"
        indexes = (
            models.Index(fields=("source", "external_id"), name="raw_csv_data_record"),
            _find_by_run("raw_csv_data"),
        )


class RawThirdSourceRecord(RawRecord):
    """A record of a JSON feed."""

    class Meta:
        db_table = "raw_third_source_data"
        indexes = (
            models.Index(fields=("source", "external_id"), name="raw_third_source_data_record"),
            _find_by_run("raw_third_source_data"),
        )


class AnyRawRecord(RawRecord):
    """The view that unites the raw tables."""

    class Meta:
        managed = False
        db_table = "raw_records"


RAW_MODELS: dict[SourceKind, type[RawRecord]] = {
    SourceKind.API: RawApiRecord,
    SourceKind.CSV: RawCsvRecord,
    SourceKind.THIRD: RawThirdSourceRecord,
}


class UnifiedRecord(models.Model):
    """One record in our fields; NULL where its source has none."""

    source = models.TextField()
    external_id = models.TextField()
    name = models.TextField()
    category = models.TextField(null=True)
    value = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    currency = models.TextField(null=True)
    event_timestamp = models.DateTimeField()
    ingested_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    content_hash = models.BinaryField()
    sequence = models.BigIntegerField()
    raw = models.ForeignKey(
        AnyRawRecord, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )

    class Meta:
        db_table = "unified_records"
        constraints = (
            models.UniqueConstraint(fields=("source", "external_id"), name="unified_records_source_external_id"),
        )
        # The change feed. Its price on a first load: docs/benchmarks.md. The condition holds for every row; it keeps
        # the index from the lookup of a batch, which would walk the whole source by it while statistics are missing.
        indexes = (
            models.Index(
                fields=("source", "sequence", "id"),
                name="unified_records_changes",
                condition=models.Q(sequence__gt=0),
            ),
        )

    def __str__(self) -> str:
        return f"{self.source} {self.external_id}"


class QuarantinedRecord(models.Model):
    """One refused record, at the first place where it was met; equal ones share the row."""

    source = models.TextField()
    run = models.ForeignKey(Run, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    position = models.BigIntegerField()
    line = models.BigIntegerField()
    column_name = models.TextField(blank=True, default="")
    code = models.TextField(help_text="One of records.BreachCode.")
    message = models.TextField()
    payload = JsonTextField(null=True)
    original = models.BinaryField()
    original_length = models.BigIntegerField()
    original_sha256 = models.BinaryField()
    status = models.TextField(choices=_choices(QuarantineStatus), default=QuarantineStatus.OPEN)
    read_number = models.BigIntegerField(null=True, help_text="The read that recorded it, or opened it again.")
    raw_id = models.BigIntegerField(null=True, help_text="The raw record as which it landed when it was replayed.")
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, db_index=False, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "etl_quarantine"
        ordering = ("id",)
        # Partial, so that they cost nothing where they tell nothing; their price stands in docs/decisions/0012.
        indexes = (
            models.Index(fields=("source", "id"), condition=Q(status="open"), name="etl_quarantine_open"),
            models.Index(fields=("raw_id",), condition=Q(raw_id__isnull=False), name="etl_quarantine_landed"),
        )
        constraints = (
            models.UniqueConstraint(fields=("source", "original_sha256"), name="etl_quarantine_one_an_original"),
            _known("status", QuarantineStatus, "etl_quarantine"),
        )

    def __str__(self) -> str:
        return f"{self.source} record {self.position}: {self.message}"


class SchemaSnapshot(models.Model):
    """One observed shape of a source: field paths with their types, nullability and presence."""

    source = models.TextField()
    number = models.PositiveIntegerField()
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="+")
    shape = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "schema_snapshots"
        ordering = ("source", "number")
        constraints = (models.UniqueConstraint(fields=("source", "number"), name="schema_snapshots_one_a_number"),)

    def __str__(self) -> str:
        return f"{self.source} snapshot {self.number}"


class SchemaChange(models.Model):
    """One difference between two snapshots of a source."""

    source = models.TextField()
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="+")
    snapshot_before = models.ForeignKey(SchemaSnapshot, on_delete=models.CASCADE, related_name="+")
    snapshot_after = models.ForeignKey(SchemaSnapshot, on_delete=models.CASCADE, related_name="changes")
    path = models.TextField()
    kind = models.TextField(choices=_choices(ChangeKind))
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    acknowledged_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "schema_changes"
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=("snapshot_after", "path", "kind"), name="schema_changes_one_a_path_and_kind"
            ),
            _known("kind", ChangeKind, "schema_changes"),
        )

    def __str__(self) -> str:
        return f"{self.source} {self.path}: {self.kind}"


class Total(models.Model):
    """How often something has happened to a source, ever. Written by triggers alone (migration total_triggers).

    `value` never falls. `pruned` is the part of it whose rows are deleted by now: `value - pruned` is what the
    tables hold, which `manage.py verify` proves. `latest` is when the last such run finished.
    """

    source = models.TextField()
    name = models.TextField(choices=_choices(TotalName))
    label = models.TextField(
        blank=True, default="", help_text="A status, reason, outcome, or a bound of the histogram in seconds."
    )
    value = models.DecimalField(max_digits=38, decimal_places=6)
    pruned = models.DecimalField(max_digits=38, decimal_places=6, default=0)
    latest = models.DateTimeField(null=True)

    class Meta:
        db_table = "etl_totals"
        ordering = ("source", "name", "label")
        constraints = (
            models.UniqueConstraint(fields=("source", "name", "label"), name="etl_totals_one_a_label"),
            _known("name", TotalName, "etl_totals"),
        )

    def __str__(self) -> str:
        return f"{self.source} {self.name} {self.label}: {self.value}"
