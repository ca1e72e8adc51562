"""The shapes of requests and responses, for the views and the schema."""

from functools import cache
from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from etl.models import Checkpoint, QuarantinedRecord, Run, RunEvent, SchemaChange, SchemaSnapshot
from etl.sources.registry import list_sources
from etl.vocabulary import COUNTERS


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
    sequence = serializers.IntegerField(
        help_text="The source's sequence at the record's last change; each batch that writes raises it."
    )
    raw_id = serializers.IntegerField(help_text="The raw version that it was made from.")


class VersionSerializer(serializers.Serializer[Any]):
    """One version of a record as received, and the run that received it."""

    id = serializers.IntegerField()
    sequence = serializers.IntegerField()
    position = serializers.IntegerField(help_text="Number of the record in its read, from 1.")
    payload = serializers.CharField(help_text="The JSON text as received.")
    is_current = serializers.BooleanField()
    run = serializers.DictField(allow_null=True)


class RunSerializer(serializers.ModelSerializer[Run]):
    """A run brings one source up to date. seen = new + updated + unchanged + duplicate + skipped + quarantined."""

    duration_s = serializers.FloatField(
        read_only=True, allow_null=True, help_text="Seconds from start to end; null until both are known."
    )

    class Meta:
        model = Run
        fields: tuple[str, ...] = (
            *("id", "source", "key", "trigger", "at_terminal", "status", "reason", "error", "attempt", "options"),
            *("epoch", "created_at", "not_before", "started_at", "heartbeat_at", "finished_at", "duration_s"),
            *(*COUNTERS, "cursor_before", "cursor_after"),
        )


class ReplaySerializer(RunSerializer):
    """The run of a replay."""

    note = serializers.CharField(read_only=True, help_text="Why the replay must wait; empty if it need not.")

    class Meta(RunSerializer.Meta):
        fields = (*RunSerializer.Meta.fields, "note")


class EventSerializer(serializers.ModelSerializer[RunEvent]):
    class Meta:
        model = RunEvent
        fields = ("id", "run_id", "kind", "message", "created_at")


class OrderSerializer(serializers.Serializer[Any]):
    """A request for a run. `full` reads all content, even if it seems unchanged."""

    source = serializers.CharField(max_length=255)  # type: ignore[assignment]
    full = serializers.BooleanField(default=False)

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
        return attributes


class CheckpointSerializer(serializers.ModelSerializer[Checkpoint]):
    class Meta:
        model = Checkpoint
        fields = (
            *("source", "epoch", "owner", "owner_run_id", "lease_expires_at", "fingerprint", "cursor", "is_reading"),
            *("is_full_read", "read_number", "batch_number", "sequence", "record_count", "raw_count"),
            *("open_quarantine_count", "updated_at"),
        )


class SnapshotSerializer(serializers.ModelSerializer[SchemaSnapshot]):
    class Meta:
        model = SchemaSnapshot
        fields = ("id", "source", "number", "run_id", "shape", "created_at")


class ChangeSerializer(serializers.ModelSerializer[SchemaChange]):
    acknowledged_by = serializers.CharField(
        source="acknowledged_by.username", default=None, allow_null=True, read_only=True
    )

    class Meta:
        model = SchemaChange
        fields = (
            *("id", "source", "run_id", "path", "kind", "before", "after", "snapshot_before_id", "snapshot_after_id"),
            *("acknowledged_by", "acknowledged_at", "created_at"),
        )


class QuarantinedSerializer(serializers.ModelSerializer[QuarantinedRecord]):
    """A refused record, with its `position` in the read and its physical `line`, both from 1."""

    column = serializers.CharField(source="column_name")

    class Meta:
        model = QuarantinedRecord
        fields: tuple[str, ...] = (
            *("id", "source", "run_id", "position", "line", "external_id", "column", "code", "message", "status"),
            *("created_at", "updated_at"),
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
        """Return the SHA-256 of all its bytes, in hexadecimal."""
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
