"""What all pages of the desk have in common: read-only rows, and actions for those who may operate."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

OPERATE = "etl.operate"


def may_operate(request: HttpRequest) -> bool:
    """Whether the user may start, cancel, replay, discard, acknowledge, release and pause."""
    return bool(request.user.is_active and request.user.has_perm(OPERATE))


class Kept(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that the pipeline wrote: nobody adds, changes or deletes one by hand."""

    actions_on_bottom = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """For actions declared with `permissions=["operate"]`: viewers don't see them."""
        return may_operate(request)


def show_status(status: str) -> SafeString:
    """A status in colour and word."""
    return format_html('<span class="desk-status desk-{}">{}</span>', status, status)


def link_list(model: str, text: object, **filters: Any) -> SafeString:
    """A number or word that links to the filtered list of this model of `etl`."""
    query = f"?{urlencode(filters)}" if filters else ""
    return format_html('<a href="{}{}">{}</a>', reverse(f"admin:etl_{model}_changelist"), query, text)


def link_row(model: str, pk: object, text: object) -> SafeString:
    """A link to one row of this model of `etl`."""
    return format_html('<a href="{}">{}</a>', reverse(f"admin:etl_{model}_change", args=[pk]), text)


def describe_seconds(seconds: float | None) -> str:
    """A duration for people: 0.4 s, 12 s, 3 min, 5 h, 2 d."""
    if seconds is None:
        return "-"
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
