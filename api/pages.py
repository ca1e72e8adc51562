"""Pages of a list by key instead of by offset, so that each page costs the same, regardless of its depth."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from django.db.models import QuerySet
from django_filters import FilterSet
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from api import cursors
from api.envelope import answer_objects
from api.parameters import CURSOR, LIMIT, clean_filters, link, name_list, read_cursor, read_limit

Row = TypeVar("Row")
PAGED = (LIMIT, CURSOR)


class Page:
    """The requested page: `limit` rows after or before the key of its cursor, or the first rows.

    `list_name` identifies the list in its cursors; `types` are the types of its key. `is_downward`: rows are read from
    high keys to low ones. A page before a cursor is read against the order of the list.
    """

    def __init__(self, request: Request, list_name: str, types: Iterable[type], *, is_descending: bool) -> None:
        self.request, self.list_name, self.limit = request, list_name, read_limit(request)
        way, *key = read_cursor(request, "cursor", list_name, (str, *types)) or ("",)
        self.key: Sequence[Any] | None = key or None
        self.is_backward = way == "before"
        self.is_downward = is_descending is not self.is_backward
        self.has_more = False

    def cut(self, rows: list[Row]) -> list[Row]:
        """Return the page's rows in the order of the list, given `limit` + 1 rows in reading order."""
        self.has_more, rows = len(rows) > self.limit, rows[: self.limit]
        return rows[::-1] if self.is_backward else rows

    def link_neighbours(self, first: Sequence[Any] | None, last: Sequence[Any] | None) -> tuple[str | None, str | None]:
        """Return the addresses of the next and the previous page, from the keys of the first and the last row."""
        if first is None or last is None:
            return None, None
        following = self._link("after", last) if self.has_more or self.is_backward else None
        has_previous = self.key is not None and (self.has_more or not self.is_backward)
        return following, self._link("before", first) if has_previous else None

    def _link(self, way: str, key: Sequence[Any]) -> str:
        return link(self.request, cursor=cursors.encode(self.list_name, (way, *key)), offset=None)


def describe_by(serializer: type[BaseSerializer[Any]]) -> Callable[[list[Any]], Iterable[Any]]:
    """Return a function that serializes rows."""
    return lambda rows: serializer(rows, many=True).data


def answer_page(
    request: Request,
    queryset: QuerySet[Any],
    describe: Callable[[list[Any]], Iterable[Any]],
    *,
    filters: type[FilterSet] | None = None,
    name: str,
    is_descending: bool = True,
) -> Response:
    """Return a page of a table by id, newest or oldest first; `describe` turns rows into objects."""
    wanted = clean_filters(filters, request) if filters is not None else {}
    if filters is not None:
        for parameter, value in wanted.items():
            queryset = filters.base_filters[parameter].filter(queryset, value)
    list_name = name_list(name, wanted, "-id" if is_descending else "id")
    page = Page(request, list_name, (int,), is_descending=is_descending)
    if page.key is not None:
        queryset = queryset.filter(**{"pk__lt" if page.is_downward else "pk__gt": page.key[0]})
    rows = page.cut(list(queryset.order_by("-pk" if page.is_downward else "pk")[: page.limit + 1]))
    ends = ((rows[0].pk,), (rows[-1].pk,)) if rows else (None, None)
    following, previous = page.link_neighbours(*ends)
    return answer_objects(request, describe(rows), following=following, previous=previous)
