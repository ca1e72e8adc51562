"""What the desk's templates need: statuses in colour, links to rows and lists, numbers for people."""

from datetime import datetime
from typing import Any

from django import template
from django.contrib.admin.utils import quote
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from etl.admin.base import describe_time, show_status
from etl.admin.formatting import show_text

register = template.Library()


@register.simple_tag
def status(word: str) -> SafeString:
    """A status in colour and word."""
    return show_status(word)


@register.simple_tag
def row(model: str, pk: int | str) -> str:
    """The address of one row of this model of `etl`."""
    return reverse(f"admin:etl_{model}_change", args=[quote(pk)])


@register.simple_tag
def listing(model: str, **filters: Any) -> str:
    """The address of this model's list, filtered."""
    return f"{reverse(f'admin:etl_{model}_changelist')}?{urlencode(filters)}"


@register.filter
def thousands(number: float | None) -> str:
    """12,345"""
    return f"{number:,}" if number is not None else "-"


@register.filter
def moment(time: datetime | None) -> str:
    """A time in UTC, to the second."""
    return describe_time(time)


@register.filter
def outside(text: object) -> SafeString:
    """A text from outside, in one line."""
    return show_text(text)


@register.filter
def words(name: str) -> str:
    """One of our words, as people write it."""
    return name.replace("_", " ")


@register.filter
def admin_address(options: Any, page: str) -> str:
    """The name of a page of this model's admin, for `url`."""
    return f"admin:{options.app_label}_{options.model_name}_{page}"


_SIGNS = {"added": "+", "removed": "−", "same": ""}


@register.simple_tag
def change(kind: str) -> SafeString:
    """A kind of difference in colour, sign and word."""
    return format_html('<span class="etl-{}">{} {}</span>', kind, _SIGNS.get(kind, "≠"), kind if kind != "same" else "")
