"""The OpenAPI schema: parameters as the views declare them, problems as the answer to whatever goes wrong."""

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiResponse

from api.serializers import ProblemSerializer

REFUSALS = {
    "400": "A parameter or the body can't be used.",
    "401": "No credentials, or wrong ones.",
    "403": "Not permitted.",
    "404": "It does not exist.",
    "409": "It does not go with how things stand.",
    "429": "Too many requests: see Retry-After.",
    "503": "It may succeed later, or asked for in another way.",
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

    def _is_list_view(self, serializer: Any = None) -> bool:
        """No answer is a bare array: every list has its envelope."""
        return False

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        """What the view says it answers, and the problems that may come instead."""
        answers: dict[str, Any] = super()._get_response_bodies(direction)
        for status, text in REFUSALS.items():
            problem = OpenApiResponse(ProblemSerializer, text)
            described = self._get_response_for_code(  # type: ignore[no-untyped-call]
                problem, status, ["application/problem+json"], direction
            )
            answers.setdefault(status, described)
        return answers


def keep_versioned(endpoints: list[tuple[str, str, str, Any]]) -> list[tuple[str, str, str, Any]]:
    """Without the copies at the root."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith("/api/v1/")]
