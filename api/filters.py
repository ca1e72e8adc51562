"""The filters of lists. Every filter has a type; a value of the wrong type is an error, and none is ignored."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime
from django_filters import CharFilter, ChoiceFilter, FilterSet, IsoDateTimeFilter, NumberFilter
from django_filters.fields import IsoDateTimeField

from api.record_queries import Scope
from etl.models import JudgedRead, QuarantinedRecord, Run, SchemaChange, SchemaSnapshot
from etl.reports.known_sources import list_known
from etl.sources.registry import find_source
from etl.vocabulary import BreachCode, ChangeKind, QuarantineStatus, ReadOutcome, Reason, Status, Trigger

VALUE_DIGITS: dict[str, Any] = {"max_digits": 38, "decimal_places": 18}
ID_DIGITS: dict[str, Any] = {"max_digits": 18, "decimal_places": 0, "min_value": 0}


def _words(enum: type) -> list[tuple[str, str]]:
    return [(word.value, word.value) for word in enum if word.value]  # type: ignore[attr-defined]


class SourceField(forms.CharField):
    """The name of a known source: a misspelt one would look like a source without rows."""

    def clean(self, value: Any) -> Any:
        name = super().clean(value)
        if find_source(name) is None and name not in (known := list_known()):
            raise ValidationError(f"There is no such source. Known sources: {', '.join(known)}.")
        return name


class SourceFilter(CharFilter):
    field_class = SourceField

    def __init__(self, **how: Any) -> None:
        super().__init__(strip=False, help_text="The name of a known source.", **how)


def _text(**how: Any) -> CharFilter:
    """Make a filter that keeps blanks, because an id may start with one."""
    return CharFilter(strip=False, **how)


class InstantField(IsoDateTimeField):
    """A time, which becomes one in UTC, because PostgreSQL accepts fewer offsets than Python.

    Without an offset it is in UTC under any TIME_ZONE. It is an error if its year in UTC does not exist.
    """

    def to_python(self, value: Any) -> datetime | None:
        if value in self.empty_values:
            return None
        try:
            instant = parse_datetime(str(value).strip())
            if instant is None:
                raise ValueError(value)
            return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
        except OverflowError as error:
            raise ValidationError("In UTC it must be in the years 1 to 9999.") from error
        except ValueError as error:
            raise ValidationError(self.error_messages["invalid"]) from error


class Instant(IsoDateTimeFilter):
    field_class = InstantField


class Happened(ChoiceFilter):
    """Filters by whether a time is set: `true` or `false`."""

    def filter(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(**{f"{self.field_name}__isnull": value == "false"})


class InState(ChoiceFilter):
    """Filters refused records by status; `all` leaves none out. Without a status, the view leaves `gone` ones out."""

    def filter(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset if value == "all" else queryset.filter(status=value)


class RecordFilters(FilterSet):
    """Filters of unified records. The view turns them into conditions for record_queries.py, which has its own SQL."""

    source = SourceFilter()
    category = _text(help_text="Exact match.")
    external_id = _text(help_text="The record's id at its source.")
    name = _text(lookup_expr="icontains", help_text="Part of the name, in upper or lower case.")
    value_min = NumberFilter("value", lookup_expr="gte", **VALUE_DIGITS)
    value_max = NumberFilter("value", lookup_expr="lte", **VALUE_DIGITS)
    currency = _text(help_text="Exact match.")
    event_after = Instant("event_timestamp", lookup_expr="gte", help_text="At or after, ISO 8601.")
    event_before = Instant("event_timestamp", lookup_expr="lt", help_text="Before, ISO 8601.")
    updated_since = Instant("updated_at", lookup_expr="gte", help_text="At or after, ISO 8601.")
    removed = ChoiceFilter(
        choices=_words(Scope),
        help_text="List the records that their source no longer has: `false` (the default), `true` (too) or `only`.",
    )


class FeedFilters(FilterSet):
    source = SourceFilter()


class RunFilters(FilterSet):
    source = SourceFilter()
    status = ChoiceFilter(choices=_words(Status))
    reason = ChoiceFilter(choices=_words(Reason))
    trigger = ChoiceFilter(choices=_words(Trigger))
    started_after = Instant("started_at", lookup_expr="gte", help_text="At or after, ISO 8601.")
    started_before = Instant("started_at", lookup_expr="lt", help_text="Before, ISO 8601.")

    class Meta:
        model = Run
        fields = ()


class QuarantineFilters(FilterSet):
    source = SourceFilter()
    code = ChoiceFilter(choices=_words(BreachCode))
    status = InState(
        choices=[*_words(QuarantineStatus), ("all", "all")],
        help_text="Without it, all but the gone ones, which their source no longer sends.",
    )
    external_id = _text(help_text="The record's id at its source, where it could be parsed.")
    run = NumberFilter("run_id", help_text="The run that refused it first.", **ID_DIGITS)

    class Meta:
        model = QuarantinedRecord
        fields = ()


class ReadFilters(FilterSet):
    source = SourceFilter()
    outcome = ChoiceFilter(choices=_words(ReadOutcome))
    run = NumberFilter("run_id", help_text="The run that ended it.", **ID_DIGITS)

    class Meta:
        model = JudgedRead
        fields = ()


class SnapshotFilters(FilterSet):
    source = SourceFilter()

    class Meta:
        model = SchemaSnapshot
        fields = ()


class ChangeFilters(FilterSet):
    source = SourceFilter()
    kind = ChoiceFilter(choices=_words(ChangeKind))
    acknowledged = Happened("acknowledged_at", choices=[("true", "true"), ("false", "false")])

    class Meta:
        model = SchemaChange
        fields = ()
