"""The envelope of every list: request id, latency, count, links to the neighbouring pages, and the rows."""

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from api.renderers import JsonText


def answer_rows(
    request: Request,
    texts: Iterable[str],
    *,
    count: int | None = None,
    following: str | None = None,
    previous: str | None = None,
    more: Mapping[str, Any] | None = None,
) -> Response:
    """Put rows that are already JSON strings into the envelope. Both links are addresses or None."""
    envelope = {
        "request_id": request.request_id,  # type: ignore[attr-defined]
        "api_latency_ms": find_latency(request),
        "count": count,
        "next": following,
        "previous": previous,
        **(more or {}),
    }
    return Response(JsonText(f'{json.dumps(envelope)[:-1]}, "data": [{",".join(texts)}]}}'))


def answer_objects(request: Request, rows: Iterable[Any], **links: Any) -> Response:
    """Put rows that are still objects into the envelope."""
    return answer_rows(request, (json.dumps(row, cls=JSONEncoder) for row in rows), **links)


def find_latency(request: Request) -> float:
    """Return the milliseconds since the request was received."""
    began: float = request.began  # type: ignore[attr-defined]
    return round((time.perf_counter() - began) * 1000, 3)
