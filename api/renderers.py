"""JSON, also where PostgreSQL has made its rows already."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer


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


class Browsable(BrowsableAPIRenderer):
    """DRF's pages, without forms that would show more than the reader may."""

    def show_form_for_method(self, view: Any, method: str, request: Any, obj: Any) -> bool:
        return method == "POST" and bool(super().show_form_for_method(view, method, request, obj))
