"""The admin's log of all users' actions, read-only."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from etl.admin.base import ReadOnlyAdmin
from etl.admin.formatting import make_visible, show_text
from etl.admin.lists import ByIndex, Capped
from etl.admin.rendering import describe_time


class LogAdmin(ReadOnlyAdmin):
    list_display = ("show_time", "user", "content_type", "show_object", "show_message")
    list_display_links = None
    list_select_related = ("user", "content_type")
    ordering = ("-id",)
    sortable_by = ()
    paginator = Capped

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ByIndex]:
        return ByIndex

    @admin.display(description="time")
    def show_time(self, entry: LogEntry) -> str:
        return describe_time(entry.action_time)

    @admin.display(description="object")
    def show_object(self, entry: LogEntry) -> str:
        return show_text(entry.object_repr, most=80)

    @admin.display(description="action")
    def show_message(self, entry: LogEntry) -> str:
        return make_visible(entry.get_change_message())

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return HttpResponseRedirect(self.find_address("changelist"))
