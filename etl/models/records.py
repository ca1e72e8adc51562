"""Landed records: raw records, one table per kind of source, and unified records."""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Func, Value

from etl.models.columns import JsonTextField
from etl.models.runs import Run
from etl.vocabulary import SourceKind


def _index_by_run(table: str) -> BrinIndex:
    """An index for the raw rows of a run, which are stored together: 24 kB per million rows (docs/decisions/0019)."""
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
            _index_by_run("raw_api_data"),
        )


class RawCsvRecord(RawRecord):
    """A record of a CSV file."""

    class Meta:
        db_table = "raw_csv_data"
        indexes = (
            models.Index(fields=("source", "external_id"), name="raw_csv_data_record"),
            _index_by_run("raw_csv_data"),
        )


class RawThirdSourceRecord(RawRecord):
    """A record of a JSON feed."""

    class Meta:
        db_table = "raw_third_source_data"
        indexes = (
            models.Index(fields=("source", "external_id"), name="raw_third_source_data_record"),
            _index_by_run("raw_third_source_data"),
        )


class AnyRawRecord(RawRecord):
    """The view that combines the raw tables."""

    class Meta:
        managed = False
        db_table = "raw_records"


RAW_MODELS: dict[SourceKind, type[RawRecord]] = {
    SourceKind.API: RawApiRecord,
    SourceKind.CSV: RawCsvRecord,
    SourceKind.THIRD: RawThirdSourceRecord,
}


class UnifiedRecord(models.Model):
    """One record in the unified fields; a field is NULL if its source has no value for it."""

    source = models.TextField()
    external_id = models.TextField()
    # values
    name = models.TextField()
    category = models.TextField(null=True)
    value = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    currency = models.TextField(null=True)
    event_timestamp = models.DateTimeField(null=True)
    # bookkeeping
    ingested_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True, help_text="When a complete read lacked it.")
    content_hash = models.BinaryField(help_text="16 bytes of the content alone, and 4 of its rule if it has one.")
    values_hash = models.BinaryField(
        db_default=b"", help_text="12 bytes: of the values, and of the mapping of the event time."
    )
    sequence = models.BigIntegerField()
    raw = models.ForeignKey(
        AnyRawRecord, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )

    # the row of a source's own target, which holds the values then
    target = models.TextField(null=True, help_text="The label of the model in which its source keeps its values.")
    target_key = models.TextField(null=True, help_text="The primary key of its row there, as text.")

    class Meta:
        db_table = "unified_records"
        constraints = (
            models.UniqueConstraint(fields=("source", "external_id"), name="unified_records_source_external_id"),
        )
        # For the change feed; docs/benchmarks.md has its cost on a first load. The condition is true for every row: it
        # hides the index from a batch's lookup, which would scan the entire source with it if statistics are missing.
        indexes = (
            models.Index(
                fields=("source", "sequence", "id"),
                name="unified_records_changes",
                condition=models.Q(sequence__gt=0),
            ),
            # For the admin of a team's model: which record a row comes from. Other sources pay nothing for it.
            models.Index(
                fields=("target_key", "target"),
                name="unified_records_target",
                condition=models.Q(target_key__isnull=False),
            ),
            # Partial, so that present records cost nothing.
            models.Index(
                fields=("source", "external_id"),
                name="unified_records_removed",
                condition=models.Q(removed_at__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"{self.source} {self.external_id}"
