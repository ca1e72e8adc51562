"""The project's settings in a foreign project: REST_FRAMEWORK is unset, or opens and changes whatever it can."""

import os
from typing import Any

from rest_framework.response import Response

from kasparro.settings import *  # noqa: F403


def forgive(error: Exception, context: dict[str, Any]) -> Response:
    """An exception handler that answers every error with 200."""
    return Response({"forgiven": str(error)})


HOSTILE: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.AnonRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"anon": "1/day", "user": "1/day"},
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.StaticHTMLRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.FormParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "rest_framework.negotiation.BaseContentNegotiation",
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.AcceptHeaderVersioning",
    "ALLOWED_VERSIONS": ["9"],
    "DEFAULT_VERSION": "9",
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "PAGE_SIZE": 1,
    "DEFAULT_FILTER_BACKENDS": ["rest_framework.filters.SearchFilter"],
    "EXCEPTION_HANDLER": "tests.api.foreign.forgive",
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": "builtins.object",
    "NON_FIELD_ERRORS_KEY": "__all__",
    "URL_FORMAT_OVERRIDE": "limit",
    "FORMAT_SUFFIX_KWARG": "pk",
    "DATETIME_FORMAT": "%d.%m.%Y",
    "COMPACT_JSON": False,
    "UNICODE_JSON": False,
    "STRICT_JSON": False,
    "COERCE_BIGINT_TO_STRING": True,
    "COERCE_DECIMAL_TO_STRING": False,
}
REST_FRAMEWORK = HOSTILE if os.environ.get("REST_FRAMEWORK") == "hostile" else {}
TIME_ZONE = os.environ.get("TIME_ZONE", "UTC")
USE_TZ = os.environ.get("USE_TZ", "on") == "on"
