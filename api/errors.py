"""Errors as RFC 9457 problem+json, with the request's id; each names the problem, its place and the remedy."""

import logging
import math
import sys
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import Error
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response

from api.caching import keep_from_caches
from etl.database import list_connections
from etl.exceptions import NotFound, NotPossible
from etl.storage.transactions import describe, find_code, is_transient

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
_TOO_SLOW = {"57014", "25P04"}  # query_canceled, transaction_timeout
_BUSY = {"55P03", "40P01", "40001"}  # lock_not_available, deadlock_detected, serialization_failure


class InvalidParameter(exceptions.APIException):
    """400: a parameter is unknown or has an invalid value."""

    status_code = HTTPStatus.BAD_REQUEST

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(f"{parameter}: {message}", "invalid_parameter")
        self.errors = [{"parameter": parameter, "message": message}]


class Conflict(exceptions.APIException):
    """409: the request conflicts with the current state."""

    status_code = HTTPStatus.CONFLICT
    default_code = "conflict"


class Unavailable(exceptions.APIException):
    """503: a later or a changed request may succeed."""

    status_code = HTTPStatus.SERVICE_UNAVAILABLE
    default_code = "unavailable"
    wait = 5
    """Seconds for Retry-After."""


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Handle exceptions for DRF. Returns None for unexpected ones: Django logs them and calls `server_error`."""
    problem = _translate(error)
    if problem is None:
        return None
    for each in list_connections():
        if each.in_atomic_block:
            each.set_rollback(True)
    status = int(problem.status_code)
    headers = {}
    if scheme := getattr(problem, "auth_header", None):
        headers["WWW-Authenticate"] = scheme
    if wait := getattr(problem, "wait", None):
        headers["Retry-After"] = str(math.ceil(wait))
    request = context["request"]
    content = describe_problem(
        request,
        status,
        code=_find_error_code(problem),
        detail=_find_detail(problem),
        errors=getattr(problem, "errors", None) or _list_errors(problem.detail),
    )
    return Response(content, status=status, headers=headers, content_type=CONTENT_TYPE)


def describe_problem(
    request: Any, status: int, *, code: str, detail: str, errors: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """Return the object of RFC 9457, with the request's id and, if given, the individual errors."""
    described = {
        "type": f"urn:kasparro:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": make_printable(detail),
        "instance": make_printable(request.path),
        "request_id": getattr(request, "request_id", None),
    }
    if errors:
        described["errors"] = [{name: make_printable(text) for name, text in error.items()} for error in errors]
    return described


def make_printable(text: str) -> str:
    """Make a text encodable and at most 1,000 characters long, as it may quote the client's input."""
    return str(text).encode(errors="backslashreplace").decode()[:1000]


def _translate(error: Exception) -> exceptions.APIException | None:
    match error:
        case exceptions.APIException():
            return error
        case NotFound():
            return exceptions.NotFound(str(error))
        case Http404():
            return exceptions.NotFound()
        case NotPossible():
            return Conflict(str(error))
        case PermissionDenied():
            return exceptions.PermissionDenied()
        case RequestDataTooBig():
            return _with_status(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.")
        case SuspiciousOperation():
            return _with_status(HTTPStatus.BAD_REQUEST, "The request can't be understood.")
        case Error():
            return _translate_database_error(error)
    return None


def _with_status(status: HTTPStatus, detail: str) -> exceptions.APIException:
    problem = exceptions.APIException(detail, "bad_request")
    problem.status_code = status
    return problem


def _translate_database_error(error: Error) -> exceptions.APIException | None:
    code = find_code(error)
    if code in _TOO_SLOW:
        advice = "The query took longer than API_STATEMENT_SECONDS. Narrow it: filter by source, or use the cursor."
        return Unavailable(advice, "too_slow")
    if code in _BUSY:
        return Unavailable("The data is locked by another session at the moment. Try again.", "busy")
    if code is None and is_transient(error):
        logger.error("The database can't be reached: %s", describe(error))
        for each in list_connections():
            each.close()
        return Unavailable("The database can't be reached.", "no_database")
    if code is not None and code.startswith(("08", "53", "57")):
        return Unavailable("The database can't serve requests now.", "no_database")
    return None


def _find_error_code(problem: exceptions.APIException) -> str:
    codes = problem.get_codes()
    return codes if isinstance(codes, str) else "invalid"


def _find_detail(problem: exceptions.APIException) -> str:
    if isinstance(problem.detail, str):
        return str(problem.detail)
    return "; ".join(f"{error['parameter']}: {error['message']}" for error in _list_errors(problem.detail) or [])


def _list_errors(detail: Any) -> list[dict[str, str]] | None:
    if isinstance(detail, dict):
        return [
            {"parameter": str(name), "message": " ".join(map(str, found if isinstance(found, list) else [found]))}
            for name, found in detail.items()
        ]
    if isinstance(detail, list):
        return [{"parameter": "", "message": str(text)} for text in detail]
    return None


def answer(request: HttpRequest, status: int, *, code: str, detail: str) -> JsonResponse:
    """Return a problem from outside DRF."""
    described = describe_problem(request, status, code=code, detail=detail)
    response = JsonResponse(described, status=status, content_type=CONTENT_TYPE)
    keep_from_caches(response)
    return response


def bad_request(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Django's handler400."""
    return answer(request, 400, code="bad_request", detail="The request can't be understood.")


def not_found(request: HttpRequest, exception: Exception | None = None, **kwargs: Any) -> JsonResponse:
    """Django's handler404, and the response for any unknown address below /api/."""
    return answer(request, 404, code="not_found", detail="There is nothing at this address. See /api/docs/.")


def server_error(request: HttpRequest) -> JsonResponse:
    """Django's handler500. The log has the details, under the request's id. Database trouble is a 503, not a bug."""
    error = sys.exception()
    problem = _translate_database_error(error) if isinstance(error, Error) else None
    if problem is not None:
        return answer(request, problem.status_code, code=str(problem.get_codes()), detail=str(problem.detail))
    return answer(request, 500, code="internal_error", detail="A bug in Kasparro; the log has the details.")
