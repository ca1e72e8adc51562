"""JSON, also where PostgreSQL has made its rows already."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer, JSONRenderer
from rest_framework.request import Request


@dataclass(frozen=True, slots=True)
class JsonText:
    """An answer that is JSON text already."""

    text: str


class Json(JSONRenderer):
    """DRF's JSON, which passes on what is JSON already."""

    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        if not isinstance(data, JsonText):
            return super().render(data, accepted_media_type, renderer_context)
        if self.get_indent(accepted_media_type or "", renderer_context or {}) is None:
            return data.text.encode()
        return super().render(json.loads(data.text), accepted_media_type, renderer_context)


class Negotiation(DefaultContentNegotiation):
    """DRF's choice of a renderer, which is not weighed for programs that take anything."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        if request.META.get("HTTP_ACCEPT", "*/*") == "*/*":
            first = next(iter(renderers))
            return first, str(first.media_type)
        chosen: tuple[BaseRenderer, str] = super().select_renderer(request, renderers, format_suffix)
        return chosen


class Browsable(BrowsableAPIRenderer):
    """DRF's pages, without forms that would show more than the reader may."""

    def show_form_for_method(self, view: Any, method: str, request: Any, obj: Any) -> bool:
        return method == "POST" and bool(super().show_form_for_method(view, method, request, obj))
