"""The OpenAPI schema: parameters as the views declare them, problems as the answer to whatever goes wrong."""

from typing import Any

from drf_spectacular.openapi import AutoSchema

REFUSALS = {
    "400": "A parameter or the body can't be used.",
    "401": "No credentials, or wrong ones.",
    "403": "Not permitted.",
    "404": "It does not exist.",
    "409": "It does not go with how things stand.",
    "429": "Too many requests: see Retry-After.",
    "503": "It may succeed later, or asked for in another way.",
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
    """What each view declares of itself."""

    def get_operation_id(self) -> str:
        """Such as `run_cancel`."""
        view: Any = self.view
        return f"{type(view).__name__.removesuffix('ViewSet').lower()}_{view.action}"

    def get_summary(self) -> str:
        """The first sentence of what the view says of itself."""
        return " ".join(str(self.get_description()).split()).partition(". ")[0].rstrip(".")

    def get_override_parameters(self) -> list[Any]:
        """The parameters that are checked are the parameters that are shown."""
        declared = getattr(self.view, "list_parameters", None)
        return declared() if declared is not None else []


def keep_versioned(endpoints: list[tuple[str, str, str, Any]]) -> list[tuple[str, str, str, Any]]:
    """Without the copies at the root."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith("/api/v1/")]


def add_problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:  # noqa: FBT001
    """To each operation, the problems that may come in the place of what it answers."""
    result["components"]["schemas"]["Problem"] = PROBLEM
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for item in result["paths"].values():
        for operation in item.values():
            for status, text in REFUSALS.items():
                operation["responses"].setdefault(status, {"content": content, "description": text})
    return result
