"""What the desk's templates need: statuses in colour, links to rows and lists, numbers for people."""

from typing import Any

from django import template
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from etl.admin.base import show_status

register = template.Library()


@register.simple_tag
def status(word: str) -> SafeString:
    """A status in colour and word."""
    return show_status(word)


@register.simple_tag
def row(model: str, pk: object) -> str:
    """The address of one row of this model of `etl`."""
    return reverse(f"admin:etl_{model}_change", args=[pk])


@register.simple_tag
def listing(model: str, **filters: Any) -> str:
    """The address of this model's list, filtered."""
    return f"{reverse(f'admin:etl_{model}_changelist')}?{urlencode(filters)}"


@register.filter
def thousands(number: float | None) -> str:
    """12,345"""
    return f"{number:,}" if number is not None else "-"
