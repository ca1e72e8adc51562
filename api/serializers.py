"""The shapes of requests and responses, for the views and the schema."""

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from django.db import models
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers
from rest_framework.fields import empty

from etl.clock import write_time
from etl.models import Checkpoint, JudgedRead, QuarantinedRecord, Run, RunEvent, SchemaChange, SchemaSnapshot
from etl.operations.windows import WindowRefused, choose_window
from etl.reports.progress import find_progress
from etl.runs.options import Options
from etl.sources.registry import find_source, list_sources
from etl.vocabulary import COUNTERS

Row = TypeVar("Row", bound=models.Model)


class Instant(serializers.DateTimeField):
    """A time that is written as in every other response, whatever the project's DATETIME_FORMAT and TIME_ZONE."""

    def to_representation(self, value: Any) -> Any:
        return write_time(value)


class Whole(serializers.BigIntegerField):
    """A whole number that stays a number, whatever COERCE_BIGINT_TO_STRING says."""

    def __init__(self, **how: Any) -> None:
        super().__init__(coerce_to_string=False, **how)


class RowSerializer(serializers.ModelSerializer[Row]):
    # No docstring: the schema would show it as the description of each row.
    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.DateTimeField: Instant,
        models.BigIntegerField: Whole,
        models.BigAutoField: Whole,
    }


class RecordSerializer(serializers.Serializer[Any]):
    """A unified record. A field is null if the source has no value for it."""

    id = serializers.IntegerField()
    source = serializers.CharField()  # type: ignore[assignment]
    external_id = serializers.CharField()
    name = serializers.CharField()
    category = serializers.CharField(allow_null=True)
    value = serializers.CharField(allow_null=True, help_text="A decimal number without trailing zeros.")
    currency = serializers.CharField(allow_null=True)
    event_timestamp = serializers.DateTimeField(allow_null=True)
    ingested_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    removed_at = serializers.DateTimeField(
        allow_null=True, help_text="When a whole read of its source lacked the record; null while the source has it."
    )
    sequence = serializers.IntegerField(
        help_text="The source's sequence at the record's last change; each batch that writes raises it."
    )
    raw_id = serializers.IntegerField(help_text="The raw version that it was made from.")
    target = serializers.CharField(
        allow_null=True, help_text="The model in which its source keeps its values; null for the unified table."
    )
    target_key = serializers.CharField(allow_null=True, help_text="The primary key of its row there.")


class VersionSerializer(serializers.Serializer[Any]):
    """One version of a record as received, and the run that received it."""

    id = serializers.IntegerField()
    sequence = serializers.IntegerField()
    position = serializers.IntegerField(help_text="Number of the record in its read, from 1.")
    payload = serializers.CharField(help_text="The JSON text as received.")
    is_current = serializers.BooleanField()
    run = serializers.DictField(allow_null=True)


class RunSerializer(RowSerializer[Run]):
    """A run brings one source up to date. seen = new + updated + unchanged + duplicate + skipped + quarantined."""

    duration_s = serializers.FloatField(
        read_only=True, allow_null=True, help_text="Seconds from start to end; null until both are known."
    )
    pages = serializers.SerializerMethodField(help_text="How many pages of an API it has read; null for other content.")
    share = serializers.SerializerMethodField(
        help_text="The share of the content that is read, from 0 to 1; null if it is not known."
    )

    class Meta:
        model = Run
        fields: tuple[str, ...] = (
            *("id", "source", "key", "trigger", "at_terminal", "status", "reason", "error", "attempt", "options"),
            *("epoch", "created_at", "not_before", "started_at", "heartbeat_at", "finished_at", "duration_s"),
            *(*COUNTERS, "waiting", "verdict", "is_unchanged", "pages", "share", "cursor_before", "cursor_after"),
        )

    def get_pages(self, run: Run) -> int | None:
        return find_progress(run).pages

    def get_share(self, run: Run) -> float | None:
        return find_progress(run).share


class ReplaySerializer(RunSerializer):
    """The run of a replay."""

    note = serializers.CharField(read_only=True, help_text="Why the replay must wait; empty if it need not.")

    class Meta(RunSerializer.Meta):
        fields = (*RunSerializer.Meta.fields, "note")


class EventSerializer(RowSerializer[RunEvent]):
    class Meta:
        model = RunEvent
        fields = ("id", "run_id", "kind", "message", "created_at")


class StrictText(serializers.CharField):
    """A string. DRF's own field takes numbers too."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError("It must be a string.")
        return super().to_internal_value(data)


class StrictBoolean(serializers.BooleanField):
    """true or false. DRF's own field takes "yes", "off", 1 and more, and so guesses what a client means."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            raise serializers.ValidationError("It must be true or false.")
        return data


class OrderSerializer(serializers.Serializer[Any]):
    """A request for a run. `full` reads all content, even if it seems unchanged.

    `since`, and with it `until`, fetch again what has changed between two times.
    """

    source = StrictText(max_length=255)  # type: ignore[assignment]
    full = StrictBoolean(default=False)
    since = StrictText(default="", max_length=100)
    until = StrictText(default="", max_length=100)

    def run_validation(self, data: Any = empty) -> Any:
        """Refuse a body that is no object, by a name that does not depend on NON_FIELD_ERRORS_KEY."""
        if not isinstance(data, dict):
            raise serializers.ValidationError({"body": "It must be an object with the field `source`."})
        return super().run_validation(data)

    def validate_source(self, name: str) -> str:
        """Refuse unknown sources."""
        known = [source.name for source in list_sources()]
        if name not in known:
            raise serializers.ValidationError(f"There is no such source. Known sources: {', '.join(known)}.")
        return name

    def validate(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Refuse unknown fields, so that none is ignored."""
        unknown = sorted(set(self.initial_data) - set(self.fields))
        if unknown:
            message = f"There is no such field. Known fields: {', '.join(self.fields)}."
            raise serializers.ValidationError(dict.fromkeys(unknown, message))
        return {**attributes, "options": _choose_options(attributes)}


def _choose_options(order: Mapping[str, Any]) -> Options:
    """Return the options of the run. Raises ValidationError."""
    if not order["since"] and not order["until"]:
        return Options(full=order["full"])
    if order["full"]:
        raise serializers.ValidationError({"full": "A full read has no since and no until."})
    source = find_source(order["source"])
    assert source is not None  # its name has been validated
    try:
        return choose_window(source, order["since"], order["until"])
    except WindowRefused as error:
        raise serializers.ValidationError({error.field: str(error)}) from error


class CheckpointSerializer(RowSerializer[Checkpoint]):
    class Meta:
        model = Checkpoint
        fields = (
            *("source", "epoch", "owner", "owner_run_id", "lease_expires_at", "fingerprint", "cursor", "is_reading"),
            *("is_full_read", "read_number", "batch_number", "sequence", "record_count", "raw_count"),
            *("removed_count", "open_quarantine_count", "accepted_read", "judged_read", "watermark", "updated_at"),
        )


class ReadSerializer(RowSerializer[JudgedRead]):
    """A read that has ended. `verdict` lists the gates that it missed, each with figure, limit and message."""

    accepted_by = serializers.CharField(
        source="accepted_by.get_username", default=None, allow_null=True, read_only=True
    )

    class Meta:
        model = JudgedRead
        fields = (
            *("id", "source", "number", "run_id", "file", "content", "is_proven", "is_whole", "is_complete", "outcome"),
            *("verdict", "seen", "quarantined", "met", "removed", "begun_at", "ended_at", "accepted_by", "accepted_at"),
        )


class SnapshotSerializer(RowSerializer[SchemaSnapshot]):
    class Meta:
        model = SchemaSnapshot
        fields = ("id", "source", "number", "run_id", "shape", "created_at")


class ChangeSerializer(RowSerializer[SchemaChange]):
    acknowledged_by = serializers.CharField(
        source="acknowledged_by.get_username", default=None, allow_null=True, read_only=True
    )

    class Meta:
        model = SchemaChange
        fields = (
            *("id", "source", "run_id", "path", "kind", "before", "after", "snapshot_before_id", "snapshot_after_id"),
            *("acknowledged_by", "acknowledged_at", "created_at"),
        )


class QuarantinedSerializer(RowSerializer[QuarantinedRecord]):
    """A refused record, with its `position` in the read and its physical `line`, both from 1.

    `file` is the name of its file if the source's path is a pattern, and empty otherwise. `awaits` names the missing
    row for which it waits, as JSON: the model, then column and value; it is null for a record that waits for none.
    """

    column = serializers.CharField(source="column_name")

    class Meta:
        model = QuarantinedRecord
        fields: tuple[str, ...] = (
            *("id", "source", "run_id", "file", "position", "line", "external_id", "column", "code", "message"),
            *("awaits", "status", "created_at", "updated_at"),
        )


class QuarantinedWholeSerializer(QuarantinedSerializer):
    """A refused record with its payload and its original bytes."""

    original = serializers.SerializerMethodField()
    original_sha256 = serializers.SerializerMethodField()

    class Meta(QuarantinedSerializer.Meta):
        fields = (*QuarantinedSerializer.Meta.fields, "payload", "original", "original_length", "original_sha256")

    def get_original(self, record: QuarantinedRecord) -> str:
        """Return at most its first 64 KiB as text, with invalid UTF-8 as hexadecimal escapes."""
        return bytes(record.original).decode(errors="backslashreplace")

    def get_original_sha256(self, record: QuarantinedRecord) -> str:
        """Return the SHA-256 of all its bytes, or of what the source does not ignore of it, in hexadecimal."""
        return bytes(record.original_sha256).hex()


@cache
def make_page(row: type[serializers.BaseSerializer[Any]]) -> type[serializers.Serializer[Any]]:
    """Make the envelope of a page of such rows, for the schema."""
    fields = {
        "request_id": serializers.CharField(),
        "api_latency_ms": serializers.FloatField(),
        "count": serializers.IntegerField(
            allow_null=True, help_text="Exact, or null if it is not known without counting."
        ),
        "next": serializers.URLField(allow_null=True),
        "previous": serializers.URLField(allow_null=True),
        "data": row(many=True),
    }
    page = type(f"{row.__name__.removesuffix('Serializer')}Page", (serializers.Serializer,), fields)
    return extend_schema_serializer(many=False)(page)  # a response is one page, not an array of pages
