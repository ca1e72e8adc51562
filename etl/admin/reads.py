"""Reads with their verdicts, and the acceptance of a read that a gate has stopped."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from etl.admin.base import Button, Done, ReadOnlyAdmin, link_row
from etl.admin.formatting import show_text
from etl.admin.lists import SourceFilter, make_filter
from etl.admin.rendering import describe_time, show_status
from etl.database import with_user
from etl.models import JudgedRead
from etl.operations.reads import accept, find_obstacle
from etl.vocabulary import ReadOutcome, Trigger


class ReadAdmin(ReadOnlyAdmin):
    list_display = (
        *(
            "id",
            "show_outcome",
            "source",
            "number",
            "show_file",
            "seen",
            "quarantined",
            "removed",
            "show_verdict",
            "show_ended",
        ),
        "show_run",
    )
    list_filter = (SourceFilter, make_filter("outcome", ReadOutcome))
    ordering = ("-id",)
    sortable_by = ("id", "source")
    page_template = "etl/read.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[JudgedRead]:
        return with_user(super().get_queryset(request), "accepted_by")

    @admin.display(description="outcome")
    def show_outcome(self, read: JudgedRead) -> SafeString:
        return show_status(read.outcome)

    @admin.display(description="file")
    def show_file(self, read: JudgedRead) -> SafeString:
        return show_text(read.file, most=40)

    @admin.display(description="verdict")
    def show_verdict(self, read: JudgedRead) -> SafeString:
        return show_text(", ".join(failure["gate"] for failure in read.verdict).replace("_", " ") or "–")

    @admin.display(description="ended")
    def show_ended(self, read: JudgedRead) -> str:
        return describe_time(read.ended_at)

    @admin.display(description="run")
    def show_run(self, read: JudgedRead) -> SafeString:
        return link_row("run", read.run_id, read.run_id)

    def name_row(self, row: JudgedRead) -> str:
        return f"Read {row.number} of {row.source}"

    def describe(self, request: HttpRequest, row: JudgedRead) -> dict[str, Any]:
        accepted = f"{row.accepted_by or 'a command'}, {describe_time(row.accepted_at)}" if row.accepted_at else ""
        return {
            "read": row,
            "verdict": [{**each, "message": show_text(each["message"])} for each in row.verdict],
            "accepted": accepted,
            "obstacle": find_obstacle(row) if row.outcome != ReadOutcome.ACCEPTED else "",
        }

    def list_buttons(self, request: HttpRequest, row: JudgedRead) -> list[Button]:
        if find_obstacle(row):
            return []
        question = f"This accepts read {row.number} of {row.source} in spite of its verdict: a run lands its content."
        return [Button("accept", "Accept this read", lambda: self._accept(request, row), question)]

    def _accept(self, request: HttpRequest, read: JudgedRead) -> Done:
        user: Any = request.user
        run = accept(read.pk, by=f"{user} in the admin", user_id=user.pk, trigger=Trigger.ADMIN)
        return Done(f"Read {read.number} of {read.source} is accepted.", [run])
