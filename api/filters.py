"""What lists can be narrowed by. Every filter is typed; a value that does not fit is told, none is ignored."""

from typing import Any

from django_filters import CharFilter, ChoiceFilter, FilterSet, IsoDateTimeFilter, NumberFilter

from etl.models import QuarantinedRecord, Run, SchemaChange, SchemaSnapshot
from etl.records import BreachCode, ChangeKind, QuarantineStatus, Reason, Status, Trigger

VALUE_DIGITS: dict[str, Any] = {"max_digits": 38, "decimal_places": 18}
ID_DIGITS: dict[str, Any] = {"max_digits": 18, "decimal_places": 0, "min_value": 0}


def _words(enum: type) -> list[tuple[str, str]]:
    return [(word.value, word.value) for word in enum if word.value]  # type: ignore[attr-defined]


class RecordFilters(FilterSet):
    """Of unified records. Read by records.py, which writes its own SQL."""

    source = CharFilter(help_text="The source's name.")
    category = CharFilter(help_text="Exactly so.")
    external_id = CharFilter(help_text="The record's id at its source.")
    name = CharFilter(lookup_expr="icontains", help_text="Contains, in upper or lower case.")
    value_min = NumberFilter("value", lookup_expr="gte", **VALUE_DIGITS)
    value_max = NumberFilter("value", lookup_expr="lte", **VALUE_DIGITS)
    currency = CharFilter(help_text="Exactly so.")
    event_after = IsoDateTimeFilter("event_timestamp", lookup_expr="gte", help_text="At or after, ISO 8601.")
    event_before = IsoDateTimeFilter("event_timestamp", lookup_expr="lt", help_text="Before, ISO 8601.")
    updated_since = IsoDateTimeFilter("updated_at", lookup_expr="gte", help_text="At or after, ISO 8601.")


class RunFilters(FilterSet):
    source = CharFilter()
    status = ChoiceFilter(choices=_words(Status))
    reason = ChoiceFilter(choices=_words(Reason))
    trigger = ChoiceFilter(choices=_words(Trigger))
    started_after = IsoDateTimeFilter("started_at", lookup_expr="gte", help_text="At or after, ISO 8601.")
    started_before = IsoDateTimeFilter("started_at", lookup_expr="lt", help_text="Before, ISO 8601.")

    class Meta:
        model = Run
        fields = ()


class QuarantineFilters(FilterSet):
    source = CharFilter()
    code = ChoiceFilter(choices=_words(BreachCode))
    status = ChoiceFilter(choices=_words(QuarantineStatus))
    run = NumberFilter("run_id", help_text="The run that refused it first.", **ID_DIGITS)

    class Meta:
        model = QuarantinedRecord
        fields = ()


class SnapshotFilters(FilterSet):
    source = CharFilter()

    class Meta:
        model = SchemaSnapshot
        fields = ()


class ChangeFilters(FilterSet):
    source = CharFilter()
    kind = ChoiceFilter(choices=_words(ChangeKind))
    acknowledged = ChoiceFilter(
        "acknowledged_at", lookup_expr="isnull", exclude=True, choices=[("true", "true"), ("false", "false")]
    )

    class Meta:
        model = SchemaChange
        fields = ()
