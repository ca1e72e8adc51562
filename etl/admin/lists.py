"""Lists whose cost does not grow with their tables: fixed filter choices, a bounded count and indexed orderings."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from etl.reports.known_sources import list_known

MOST_ROWS = 5000


def read_id(text: str) -> int | None:
    """Parse an id that a user typed. Returns None if it is not a number of at most 18 digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


class Capped(Paginator):  # type: ignore[type-arg]
    """Counts and shows only the first MOST_ROWS rows, in the order of the list."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows[:MOST_ROWS].count())


class ByIndex(ChangeList):
    """Sorts only by the page's own ordering and ignores the ordering in the address."""

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        return list(self.model_admin.get_ordering(request))

    def get_ordering_field_columns(self) -> dict[Any, Any]:
        return {}


class WordFilter(admin.SimpleListFilter):
    """Filters by one of a few words in a column. The parameter has the column's name."""

    words: ClassVar[Iterable[str]] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return [(word, word.replace("_", " ")) for word in self.words if word]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        return queryset.filter(**{self.parameter_name or "": value}) if "\0" not in value else queryset.none()


def make_filter(column: str, words: Iterable[StrEnum]) -> type[WordFilter]:
    """Make a filter for a column whose words are the values of an enum."""
    named = {"parameter_name": column, "title": column, "words": tuple(word.value for word in words)}
    return type("WordFilter", (WordFilter,), named)


class SourceFilter(WordFilter):
    """Filters by source. Offers the known sources, without scanning a million rows for others."""

    title = "source"
    parameter_name = "source"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return [(name, name) for name in list_known()]


class RunFilter(admin.SimpleListFilter):
    """Filters by the run in the address, which only links set. Its only choice is to clear it."""

    title = "run"
    parameter_name = "run"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        run = request.GET.get("run", "")
        return [(run, f"run {run}")] if run else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        run = read_id(self.value() or "")
        return queryset.filter(run_id=run) if run is not None else queryset.none()
