"""What drf-spectacular needs to know of the OpenAPI document, instead of a project's SPECTACULAR_SETTINGS."""

from typing import Any

from etl.vocabulary import QuarantineStatus, Status

DOCUMENT: dict[str, Any] = {
    "TITLE": "Kasparro",
    "DESCRIPTION": (
        "The data collected from outside sources, and the runs that collected it.\n\n"
        "**Credentials**: a token from `manage.py token create`, as `Authorization: Token …` or `X-API-Key: …`.\n\n"
        "**Lists** are paged: follow `next`, and don't build cursors yourself.\n\n"
        "**Errors** are RFC 9457 problem details with the request's id. Unknown parameters are errors."
    ),
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": ".*/api/v1",
    "PREPROCESSING_HOOKS": ["api.schema.keep_versioned"],
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "api.schema.add_problems"],
    "ENUM_NAME_OVERRIDES": {"RunStatus": [*Status], "QuarantineStatus": [*QuarantineStatus]},
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}
