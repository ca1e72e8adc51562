"""A JSON renderer that also accepts rows already encoded by PostgreSQL."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer


@dataclass(frozen=True, slots=True)
class JsonText:
    """A response that is already encoded as JSON."""

    text: str


class Json(JSONRenderer):
    """DRF's JSON renderer, which passes encoded responses on unchanged."""

    charset = None
    ensure_ascii, compact, strict = False, True, True

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        if not isinstance(data, JsonText):
            return super().render(data, accepted_media_type, renderer_context)
        if self.get_indent(accepted_media_type or "", renderer_context or {}) is None:
            return data.text.encode()
        return super().render(json.loads(data.text), accepted_media_type, renderer_context)


class Browsable(BrowsableAPIRenderer):
    """DRF's pages, with a form only for POST, and only if the user may send it.

    Their template is not DRF's own, so that the project's other pages keep theirs.
    """

    template = "kasparro_api/browsable.html"

    def show_form_for_method(self, view: Any, method: str, request: Any, obj: Any) -> bool:
        return method == "POST" and bool(super().show_form_for_method(view, method, request, obj))
