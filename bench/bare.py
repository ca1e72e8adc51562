"""Bare views without token and throttle, which show the cost of Django itself after our middleware."""

from pathlib import Path

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from api import record_queries
from api.parameters import DEFAULT_LIMIT

_PAGE = Path(settings.BENCH_PAGE).read_bytes()  # type: ignore[misc]
_COLUMNS = ("id", "source", "external_id", "name")


def page(request: HttpRequest) -> HttpResponse:
    """The bytes of our page, from memory."""
    return HttpResponse(_PAGE, content_type="application/json")


def read_page(request: HttpRequest) -> HttpResponse:
    """The rows of our page, read by the same statement."""
    order = record_queries.Order("id", is_descending=False)
    rows = record_queries.read_rows([], order, limit=DEFAULT_LIMIT, kept_count_of="")
    return HttpResponse(f'{{"data": [{",".join(text for _, text in rows.found)}]}}', content_type="application/json")


def row(request: HttpRequest) -> JsonResponse:
    """One row, by its primary key."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(_COLUMNS)} FROM unified_records WHERE id = %s", [1])
        (found,) = cursor.fetchall()
    return JsonResponse(dict(zip(_COLUMNS, found, strict=True)))


urlpatterns = [path("page", page), path("read-page", read_page), path("row", row)]
