"""Tags and filters of the admin's templates: coloured statuses, links to rows and lists, formatted numbers."""

from datetime import datetime
from typing import Any

from django import template
from django.contrib.admin.utils import quote
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from etl.admin.formatting import show_text
from etl.admin.rendering import describe_time, show_standing, show_status

register = template.Library()


@register.simple_tag
def status(word: str) -> SafeString:
    """Render a status as a coloured word."""
    return show_status(word)


@register.simple_tag
def standing(word: str) -> SafeString:
    """Render a source's standing as a coloured word."""
    return show_standing(word)


@register.simple_tag
def row(model: str, pk: int | str) -> str:
    """Return the address of one row of this `etl` model."""
    return reverse(f"admin:etl_{model}_change", args=[quote(pk)])


@register.simple_tag
def listing(model: str, **filters: Any) -> str:
    """Return the address of this model's filtered list."""
    return f"{reverse(f'admin:etl_{model}_changelist')}?{urlencode(filters)}"


@register.filter
def thousands(number: float | None) -> str:
    """Format a number with thousands separators: 12,345."""
    return f"{number:,}" if number is not None else "-"


@register.filter
def moment(time: datetime | None) -> str:
    """Format a time in UTC, to the second."""
    return describe_time(time)


@register.filter
def outside(text: object) -> SafeString:
    """Render a string from outside in one line."""
    return show_text(text)


@register.filter
def words(name: str) -> str:
    """Replace the underscores of an identifier with spaces."""
    return name.replace("_", " ")


@register.filter
def admin_address(options: Any, page: str) -> str:
    """Return the name of a page of this model's admin, for `url`."""
    return f"admin:{options.app_label}_{options.model_name}_{page}"


_SIGNS = {"added": "+", "removed": "−", "same": ""}


@register.simple_tag
def change(kind: str) -> SafeString:
    """Render a kind of difference as a coloured sign and word."""
    return format_html('<span class="etl-{}">{} {}</span>', kind, _SIGNS.get(kind, "≠"), kind if kind != "same" else "")
