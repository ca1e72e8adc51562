"""The OpenAPI schema: parameters as the views declare them, and problems as the responses to errors."""

from collections.abc import Callable
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import extend_schema

REFUSALS = {
    "400": "A parameter or the body is invalid.",
    "401": "Missing or wrong credentials.",
    "403": "Not permitted.",
    "404": "It does not exist.",
    "409": "The request conflicts with the current state.",
    "429": "Too many requests. See Retry-After.",
    "503": "A later or a changed request may succeed.",
}
_TEXT = {"type": "string"}
PROBLEM = {
    "type": "object",
    "description": "An error, by RFC 9457.",
    "properties": {
        **dict.fromkeys(("type", "title", "detail", "instance", "request_id"), _TEXT),
        "status": {"type": "integer"},
        "errors": {"type": "array", "items": {"type": "object", "additionalProperties": _TEXT}},
    },
    "required": ["detail", "instance", "request_id", "status", "title", "type"],
}


class Schema(AutoSchema):
    """Describes operations from the declarations of their views."""

    def get_operation_id(self) -> str:
        """Return an id such as `run_cancel`."""
        view: Any = self.view
        return f"{type(view).__name__.removesuffix('ViewSet').lower()}_{view.action}"

    def get_summary(self) -> str:
        """Return the first sentence of the view's description."""
        return " ".join(str(self.get_description()).split()).partition(". ")[0].rstrip(".")

    def get_override_parameters(self) -> list[Any]:
        """Return the view's own list of parameters, by which requests are checked too."""
        declared = getattr(self.view, "list_parameters", None)
        return declared() if declared is not None else []


def describe(**how: Any) -> Callable[[Any], Any]:
    """Describe an action like `extend_schema`, by this project's own class, regardless of DEFAULT_SCHEMA_CLASS."""

    def decorate(action: Any) -> Any:
        action.kwargs = {"schema": Schema, **getattr(action, "kwargs", {})}
        return extend_schema(**how)(action)

    return decorate


def keep_versioned(endpoints: list[tuple[str, str, str, Any]]) -> list[tuple[str, str, str, Any]]:
    """Leave out the copies at the root, and what else the project serves."""
    return [each for each in endpoints if "/api/v1/" in each[0] and isinstance(_find_schema(each[3]), Schema)]


def _find_schema(callback: Any) -> Any:
    return getattr(getattr(callback, "cls", None), "schema", None)


def add_problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:  # noqa: FBT001
    """Add to each operation the problems that it may return instead of its response."""
    result["components"]["schemas"]["Problem"] = PROBLEM
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for item in result["paths"].values():
        for operation in item.values():
            for status, text in REFUSALS.items():
                operation["responses"].setdefault(status, {"content": content, "description": text})
    return result
