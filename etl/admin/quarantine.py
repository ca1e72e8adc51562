"""Quarantine: refused records, each with its cell marked and its original; replay and discard, one or many."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from etl.admin.base import Button, Done, ReadOnlyAdmin, link_row
from etl.admin.formatting import flatten, make_visible, show_original, show_payload, show_text
from etl.admin.lists import ByIndex, Capped, RunFilter, SourceFilter, WordFilter, make_filter, read_id
from etl.admin.records import find_raw_model
from etl.admin.rendering import describe_time, show_status
from etl.database import connection
from etl.exceptions import NotFound, NotPossible
from etl.models import QuarantinedRecord, UnifiedRecord
from etl.operations import quarantine
from etl.storage.refusal_selection import Selection
from etl.vocabulary import BreachCode, QuarantineStatus

_NEWEST_COLUMNS = """
    SELECT DISTINCT column_name FROM (SELECT column_name FROM etl_quarantine ORDER BY id DESC LIMIT 10000) AS newest
    WHERE column_name <> '' ORDER BY column_name LIMIT 30
"""
MOST_AT_ONCE = 5000
"""The most open records that a request discards itself; a worker discards larger selections."""

OUTCOMES = {
    QuarantineStatus.OPEN: "",
    QuarantineStatus.REPLAYED: "A replay accepted it.",
    QuarantineStatus.DISCARDED: "An operator discarded it.",
    QuarantineStatus.LANDED: "A record with its id was accepted later.",
    QuarantineStatus.GONE: "The last whole read of its source lacked it. If the source sends it again, it is reopened.",
}

_SELECTING = {"source", "code", "run", "status"}
_PAGING = {"p", "e"}


class ColumnFilter(admin.SimpleListFilter):
    """Filters by column. Offers the columns of the newest records."""

    title = "column"
    parameter_name = "column_name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        with connection.cursor() as cursor:
            cursor.execute(_NEWEST_COLUMNS)
            shown = [name for (name,) in cursor.fetchall()]
        chosen = request.GET.get("column_name")
        if chosen and chosen not in shown:
            shown.append(chosen)
        return [(name, make_visible(name)) for name in shown]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        return queryset.filter(column_name=value) if "\0" not in value else queryset.none()


class StateFilter(WordFilter):
    """Filters by status. Without one, records that are gone are left out."""

    title = parameter_name = "status"
    words = (*QuarantineStatus, "all")

    def choices(self, changelist: Any) -> Iterator[Any]:
        first, *others = super().choices(changelist)
        yield {**first, "display": "All but gone"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "all":
            return queryset
        return super().queryset(request, queryset) if self.value() else queryset.exclude(status=QuarantineStatus.GONE)


class QuarantineAdmin(ReadOnlyAdmin):
    list_display = (
        *(
            "id",
            "show_status",
            "source",
            "show_file",
            "position",
            "line",
            "show_id",
            "show_column",
            "code",
            "show_message",
        ),
        *("show_run", "show_created"),
    )
    list_filter = (
        SourceFilter,
        StateFilter,
        make_filter("code", BreachCode),
        ColumnFilter,
        RunFilter,
    )
    ordering = ("-id",)
    sortable_by = ()
    paginator = Capped
    actions = ("replay", "discard")
    defer = ("original", "payload")
    page_template = "etl/quarantined.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ByIndex]:
        return ByIndex

    @admin.display(description="status")
    def show_status(self, record: QuarantinedRecord) -> SafeString:
        return show_status(record.status)

    @admin.display(description="file")
    def show_file(self, record: QuarantinedRecord) -> SafeString:
        return show_text(record.file, most=40)

    @admin.display(description="external id")
    def show_id(self, record: QuarantinedRecord) -> SafeString:
        return show_text(record.external_id or "", most=40)

    @admin.display(description="column")
    def show_column(self, record: QuarantinedRecord) -> SafeString:
        return show_text(record.column_name, most=40)

    @admin.display(description="message")
    def show_message(self, record: QuarantinedRecord) -> SafeString:
        return show_text(record.message, most=100)

    @admin.display(description="run")
    def show_run(self, record: QuarantinedRecord) -> SafeString:
        return link_row("run", record.run_id, record.run_id)

    @admin.display(description="refused")
    def show_created(self, record: QuarantinedRecord) -> str:
        return describe_time(record.created_at)

    def name_row(self, row: QuarantinedRecord) -> str:
        return f"Quarantined record {row.pk} of {row.source}"

    def describe(self, request: HttpRequest, row: QuarantinedRecord) -> dict[str, Any]:
        original = bytes(row.original)
        return {
            "record": row,
            "column": show_text(row.column_name),
            "message": show_text(row.message),
            "awaits": show_text(row.awaits or ""),
            "outcome": OUTCOMES[QuarantineStatus(row.status)],
            "external_id": show_text(row.external_id or ""),
            "stored": _find_stored(row),
            "cells": _mark_cells(row),
            "payload": show_payload(row.payload) if row.payload is not None else "",
            "original": show_original(original),
            "is_cut": len(original) < row.original_length,
            "kept_length": len(original),
            "sha256": bytes(row.original_sha256).hex(),
            "raw_model": find_raw_model(row.raw_id),
        }

    def list_buttons(self, request: HttpRequest, row: QuarantinedRecord) -> list[Button]:
        replay = Button("replay", "Replay", lambda: self._replay_one(request, row))
        if row.status == QuarantineStatus.GONE:
            return [replay]
        if row.status != QuarantineStatus.OPEN:
            return []
        question = (
            f"This discards record {row.pk} of {row.source} for good. It remains visible, but no longer counts as open"
            " and can't be replayed."
        )
        return [
            replay,
            Button("discard", "Discard", lambda: self._discard_one(request, row), question),
        ]

    def _replay_one(self, request: HttpRequest, record: QuarantinedRecord) -> Done:
        user: Any = request.user
        run = quarantine.replay_one(record.pk, by=f"{user} in the admin", user_id=user.pk)
        waits = quarantine.describe_waits([run])
        return Done(f"{waits} Record {record.pk} will be judged again by the current contract:".lstrip(), [run])

    def _discard_one(self, request: HttpRequest, record: QuarantinedRecord) -> Done:
        user: Any = request.user
        quarantine.discard_one(record.pk, by=f"{user} in the admin", user_id=user.pk)
        return Done(f"Record {record.pk} is discarded.")

    @admin.action(description="Replay", permissions=["operate"])
    def replay(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._act_on_many(request, self._replay_many, quarantine.REPLAYABLE)

    @admin.action(description="Discard", permissions=["operate"])
    def discard(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        if request.POST.get("is_confirmed"):
            self._act_on_many(request, self._discard_many, (QuarantineStatus.OPEN,))
            return None
        try:
            selection, described = self._read_selection(request, (QuarantineStatus.OPEN,))
        except NotPossible as error:
            self.message_user(request, str(error), messages.ERROR)
            return None
        count = quarantine.count_open(selection, most=MOST_AT_ONCE + 1)
        context = {
            "title": "Discard refused records?",
            "described": described,
            "count": f"more than {MOST_AT_ONCE:,}" if count > MOST_AT_ONCE else f"{count:,}",
            "in_background": count > MOST_AT_ONCE,
            "ticked": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "select_across": request.POST.get("select_across", "0"),
            "checkbox": ACTION_CHECKBOX_NAME,
        }
        return self.render(request, "etl/discard.html", None, context)

    def _act_on_many(self, request: HttpRequest, act: Any, statuses: Sequence[QuarantineStatus]) -> None:
        try:
            selection, described = self._read_selection(request, statuses)
            done = act(request, selection, described)
        except (NotFound, NotPossible) as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            if selection.ids:
                chosen = QuarantinedRecord.objects.filter(pk__in=selection.ids).defer(*self.defer)
                self.log_all(request, chosen, str(done))
            else:
                self.log_list(request, described, str(done))
            self.tell(request, done)

    def _replay_many(self, request: HttpRequest, selection: Selection, described: str) -> Done:
        user: Any = request.user
        queued = quarantine.replay(selection, by=f"{user} in the admin", user_id=user.pk)
        if not queued:
            raise NotPossible(f"There is nothing to replay among {described}.")
        waits = quarantine.describe_waits(queued)
        return Done(f"{waits} A worker will judge {described} again by the current contract:".lstrip(), queued)

    def _discard_many(self, request: HttpRequest, selection: Selection, described: str) -> Done:
        user: Any = request.user
        by = f"{user} in the admin"
        if quarantine.count_open(selection, most=MOST_AT_ONCE + 1) > MOST_AT_ONCE:
            quarantine.discard_later(selection, by=by, user_id=user.pk)
            return Done(f"A worker will discard {described} in the background: more than {MOST_AT_ONCE:,} records.")
        return Done(f"{quarantine.discard(selection, by=by, user_id=user.pk):,} discarded ({described}).")

    def _read_selection(self, request: HttpRequest, statuses: Sequence[QuarantineStatus]) -> tuple[Selection, str]:
        """Return the operator's selection and its description. Raises NotPossible if a Selection can't express it."""
        if request.POST.get("select_across") == "1":
            selection, described = read_filters(request)
            if selection.gone and QuarantineStatus.GONE not in statuses:
                raise NotPossible("Only open records can be discarded; this list shows gone records.")
            return selection, described
        given = map(read_id, request.POST.getlist(ACTION_CHECKBOX_NAME))
        ticked = {number for number in given if number is not None}
        chosen = QuarantinedRecord.objects.filter(pk__in=ticked, status__in=statuses)
        ids = tuple(sorted(chosen.values_list("pk", flat=True)))
        if not ids:
            raise NotPossible(f"None of the ticked records is still {' or '.join(statuses)}.")
        closed = len(ticked) - len(ids)
        words = f"{len(ids)} ticked" if len(ids) == 1 else f"{len(ids)} ticked records"
        return Selection(ids=ids), f"{words} ({closed} skipped: no longer {' or '.join(statuses)})" if closed else words


def read_filters(request: HttpRequest) -> tuple[Selection, str]:
    """Select all open records that match the list's filters. Raises NotPossible if a Selection can't express them."""
    given = {name: str(value) for name, value in request.GET.items() if value and name not in _PAGING}
    if any("\0" in value for value in given.values()):
        raise NotPossible("There is no such filter.")
    status = given.pop("status", QuarantineStatus.OPEN)
    if status not in (QuarantineStatus.OPEN, QuarantineStatus.GONE):
        raise NotPossible(f"Only open and gone records can be replayed; this list shows {status} records.")
    is_gone = status == QuarantineStatus.GONE
    others = sorted(given.keys() - _SELECTING)
    if others:
        raise NotPossible(
            f"All matching records can be selected only by source, code and run, not by {', '.join(others)}. Clear that"
            " filter or tick the records page by page. Nothing was changed."
        )
    run = read_id(given["run"]) if "run" in given else None
    if "run" in given and not run:
        raise NotPossible(f"There is no run {given['run']}.")
    selection = Selection(
        source=given.get("source", ""),
        code=given.get("code", ""),
        run=run,
        gone=is_gone,
        everything=not given and not is_gone,
    )
    words = ", ".join(f"{name} {given[name]}" for name in ("source", "code", "run") if name in given)
    return selection, f"all {status} records of {words or 'all sources'}"


def _find_stored(record: QuarantinedRecord) -> UnifiedRecord | None:
    if record.external_id is None:
        return None
    return UnifiedRecord.objects.filter(source=record.source, external_id=record.external_id).first()


def _mark_cells(record: QuarantinedRecord) -> list[dict[str, Any]]:
    """Return the record's fields, with the offending column marked, even if the record lacks it."""
    fields = flatten(record.payload)
    if fields is None:
        return []
    name = record.column_name
    cells = [
        {
            "path": show_text(path),
            "value": show_text(value, most=2000),
            "is_marked": bool(name) and (path == name or path.startswith((f"{name}.", f"{name}["))),
        }
        for path, value in fields.items()
    ]
    if name and not any(cell["is_marked"] for cell in cells):
        cells.append({"path": show_text(name), "value": "(missing)", "is_marked": True})
    return cells
