"""The OpenAPI schema: parameters as the views declare them, problems as the answer to whatever goes wrong."""

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from api import authentication  # noqa: F401  (registers the description of the token)
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


class Schema(AutoSchema):  # type: ignore[no-untyped-call]
    """Adds what each view declares of itself."""

    def get_override_parameters(self) -> list[OpenApiParameter]:
        """The parameters that are checked are the parameters that are shown."""
        declared = getattr(self.view, "list_parameters", None)
        return declared() if declared is not None else []

    def get_filter_backends(self) -> list[Any]:
        return []

    def get_response_serializers(self) -> Any:
        """What the view says it answers, and problem+json for each refusal."""
        answers = super().get_response_serializers()
        if not isinstance(answers, dict):
            answers = {200: answers}
        problems = {
            (status, "application/problem+json"): OpenApiResponse(ProblemSerializer, text)
            for status, text in REFUSALS.items()
        }
        return answers | problems


ANY_OBJECT = OpenApiTypes.OBJECT
