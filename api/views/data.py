"""The unified records: pages, one record, its raw versions, and the change feed."""

from collections.abc import Iterator
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from api import cursors, record_queries
from api.envelope import answer_rows
from api.errors import InvalidParameter
from api.filters import FeedFilters, RecordFilters
from api.pages import PAGED, Page, answer_page
from api.parameters import (
    COUNT,
    CURSOR,
    DEEPEST_OFFSET,
    LIMIT,
    OFFSET,
    clean_filters,
    link,
    name_list,
    read_choice,
    read_cursor,
    read_id,
    read_limit,
    read_whole,
)
from api.record_queries import ORDERINGS, Condition, Order, Scope
from api.renderers import Browsable, Json, JsonText
from api.schema import describe
from api.serializers import RecordSerializer, VersionSerializer, make_page
from api.views.base import ApiViewSet, find_or_404
from etl.clock import write_time
from etl.models import AnyRawRecord, Run, UnifiedRecord

ORDERING = OpenApiParameter(
    "ordering",
    str,
    enum=[*ORDERINGS, *(f"-{name}" for name in ORDERINGS)],
    description="By keys that never change. Default: `id`, or `external_id` with `source`.",
)


class DataViewSet(ApiViewSet):
    """The unified records."""

    permission = "view_unifiedrecord"
    filters = RecordFilters
    parameters = {"list": (LIMIT, CURSOR, OFFSET, COUNT, ORDERING), "history": PAGED}

    @describe(responses=make_page(RecordSerializer))
    def list(self, request: Request) -> Response:
        """Unified records in pages. Follow `next`: each page costs the same, regardless of its depth.

        A record that its source no longer has is left out, unless `removed` is `true` or `only`.

        Filters other than `source` and `external_id` scan the table within the statement timeout, unless they have an
        index. So does `ordering=id` for a source with a small part of all records.
        """
        filters = clean_filters(RecordFilters, request)
        scope = Scope(filters.get("removed", Scope.PRESENT))
        wanted = {name: value for name, value in filters.items() if name != "removed"}
        order = _read_order(request, wanted)
        offset = _read_offset(request)
        is_exact = read_choice(request, "count", ("exact",)) is not None
        list_name = name_list("data", filters, order.name + "-" * order.is_descending)
        page = Page(request, list_name, order.types, is_descending=order.is_descending)
        conditions = [_make_condition(name, value) for name, value in wanted.items()]
        is_free = not wanted or wanted.keys() == {"source"}
        rows = record_queries.read_rows(
            conditions,
            order,
            limit=page.limit + 1,
            scope=scope,
            after=page.key,
            is_downward=page.is_downward,
            offset=offset,
            kept_count_of=wanted.get("source", "") if is_free else None,
        )
        count = rows.count
        if count is None and is_free:
            count = record_queries.read_kept_count(wanted.get("source", ""), scope)
        elif is_exact and not is_free:
            count = record_queries.count_rows(conditions, scope)
        found = page.cut(rows.found)
        following, previous = page.link_neighbours(*((found[0][0], found[-1][0]) if found else (None, None)))
        if "offset" in request.query_params:
            if following is not None and offset + page.limit <= DEEPEST_OFFSET:
                following = link(request, offset=offset + page.limit)
            previous = link(request, offset=max(0, offset - page.limit)) if offset else None
        return answer_rows(request, [text for _, text in found], count=count, following=following, previous=previous)

    @describe(responses=RecordSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        """One unified record, also if it is removed (`removed_at`)."""
        row_id = read_id(pk)
        text = record_queries.read_row(row_id) if row_id is not None else None
        if text is None:
            raise NotFound(f"There is no record {pk}.")
        return Response(JsonText(text))

    @describe(responses=make_page(VersionSerializer))
    @action(detail=True)
    def history(self, request: Request, pk: str) -> Response:
        """The raw versions of a record, newest first, each with the run that received it."""
        record: UnifiedRecord = find_or_404(UnifiedRecord.objects.all(), pk)
        versions = AnyRawRecord.objects.filter(source=record.source, external_id=record.external_id)

        def describe(found: list[AnyRawRecord]) -> Iterator[dict[str, Any]]:
            runs = Run.objects.in_bulk({version.run_id for version in found})
            return (_describe_version(version, runs.get(version.run_id), record) for version in found)

        return answer_page(request, versions, describe, name=f"history of {record.pk}")


def _read_order(request: Request, wanted: dict[str, Any]) -> Order:
    given = request.query_params.get("ordering", "external_id" if "source" in wanted else "id")
    name = given.removeprefix("-")
    if name not in ORDERINGS or given not in (name, f"-{name}"):
        raise InvalidParameter("ordering", f"It must be one of: {', '.join(ORDERING.enum or ())}.")
    return Order(name, given != name)


def _read_offset(request: Request) -> int:
    if "offset" in request.query_params and "cursor" in request.query_params:
        raise InvalidParameter("offset", "It can't be combined with `cursor`.")
    advice = "To read deeper, follow `next`, which carries a cursor and costs the same on every page."
    return read_whole(request, "offset", 0, least=0, most=DEEPEST_OFFSET, advice=advice)


def _make_condition(name: str, value: Any) -> Condition:
    filter_ = RecordFilters.base_filters[name]
    return Condition(filter_.field_name or name, filter_.lookup_expr, value)


def _describe_version(version: AnyRawRecord, run: Run | None, record: UnifiedRecord) -> dict[str, Any]:
    return {
        "id": version.pk,
        "sequence": version.sequence,
        "position": version.position,
        "payload": version.payload,
        "is_current": version.pk == record.raw_id,
        "run": run
        and {
            "id": run.pk,
            "trigger": run.trigger,
            "status": run.status,
            "started_at": write_time(run.started_at),
        },
    }


class NdJson(BaseRenderer):
    """Renders one record per line."""

    media_type = "application/x-ndjson"
    format = "ndjson"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        if isinstance(data, list):
            return "".join(f"{text}\n" for text in data).encode()
        return Json().render(data, accepted_media_type, renderer_context) + b"\n"


def _read_source(request: Request) -> str:
    """Return the source's name. Raises InvalidParameter if it is missing or unknown."""
    wanted = clean_filters(FeedFilters, request)
    if "source" not in wanted:
        raise InvalidParameter("source", "It is required, because each source has its own feed.")
    return str(wanted["source"])


class ChangesViewSet(ApiViewSet):
    """The change feed."""

    permission = "view_unifiedrecord"
    renderer_classes = (Json, NdJson, Browsable)
    parameters = {
        "list": (
            OpenApiParameter("source", str, required=True, description="The source's name."),
            OpenApiParameter(
                "after", str, description="Position of the last row read. Without it, from the beginning."
            ),
            LIMIT,
        )
    }

    @describe(
        responses={
            (200, "application/json"): make_page(RecordSerializer),
            (200, "application/x-ndjson"): OpenApiTypes.STR,
        }
    )
    def list(self, request: Request) -> Response:
        """New, changed and removed records, in the source's commit order. Send `after` of each response with the next
        request: no change is missed or repeated (a record that changes again is listed again).

        A record whose `removed_at` is set is one to delete; if it comes back, it is listed again without it.

        With `Accept: application/x-ndjson` the response has one record per line, and the position in `X-After`.
        """
        source = _read_source(request)
        list_name = name_list("changes", {"source": source}, "sequence")
        position = read_cursor(request, "after", list_name, (int, int)) or (0, 0)
        limit = read_limit(request)
        texts, last = record_queries.read_changes(source, position, limit)
        after = cursors.encode(list_name, tuple(last))
        following = link(request, after=after) if len(texts) == limit else None
        if isinstance(request.accepted_renderer, NdJson):
            response = Response(texts)
        else:
            response = answer_rows(request, texts, following=following, more={"after": after})
        response.headers["X-After"] = after
        return response
