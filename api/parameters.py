"""The parameters of an address, declared once: for the schema, and so that an unknown one is refused."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import ValidationError
from django_filters import FilterSet
from django_filters.filters import ChoiceFilter, IsoDateTimeFilter, NumberFilter
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from api.cursors import BIGGEST_ID, InvalidCursor, decode
from api.errors import InvalidParameter

DEFAULT_LIMIT = 50
MOST_A_PAGE = 1000
DEEPEST_OFFSET = 10_000
LONGEST_TEXT = 1000

LIMIT = OpenApiParameter(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": MOST_A_PAGE, "default": DEFAULT_LIMIT},
    description="Rows a page.",
)
CURSOR = OpenApiParameter("cursor", str, description="Where to go on: from `next` or `previous` of a page.")
OFFSET = OpenApiParameter(
    "offset",
    {"type": "integer", "minimum": 0, "maximum": DEEPEST_OFFSET},
    description="For old clients; deeper, or to read everything, use the cursor.",
)
COUNT = OpenApiParameter(
    "count", str, enum=["exact"], description="Count the rows that match; without it, only what is known for free."
)


def declare_filters(filters: type[FilterSet]) -> list[OpenApiParameter]:
    """The parameters of a FilterSet, for the schema."""
    return [_declare(name, filter_) for name, filter_ in filters.base_filters.items()]


def _declare(name: str, filter_: Any) -> OpenApiParameter:
    description = str(filter_.extra.get("help_text", ""))
    if isinstance(filter_, ChoiceFilter):
        return OpenApiParameter(
            name, str, description=description, enum=[value for value, _ in filter_.extra["choices"]]
        )
    if isinstance(filter_, IsoDateTimeFilter):
        return OpenApiParameter(name, OpenApiTypes.DATETIME, description=description)
    if isinstance(filter_, NumberFilter):
        kind = (
            {"type": "integer", "format": "int64"} if filter_.extra.get("decimal_places") == 0 else {"type": "number"}
        )
        return OpenApiParameter(name, kind, description=description)
    return OpenApiParameter(name, {"type": "string", "maxLength": LONGEST_TEXT}, description=description)


def refuse_unknown(request: Request, names: Collection[str]) -> None:
    """Raise InvalidParameter for one that is not of these names, given twice, or empty: none is ignored."""
    for name, values in request.query_params.lists():
        if name not in names:
            choice = f"Known here: {', '.join(sorted(names))}." if names else "There are none here."
            raise InvalidParameter(name, f"There is no such parameter. {choice}")
        if len(values) > 1:
            raise InvalidParameter(name, "It is given more than once.")
        if values[0] == "":
            raise InvalidParameter(name, "It is empty: leave it out.")


def clean_filters(filters: type[FilterSet], request: Request) -> dict[str, Any]:
    """The values of the filters that are given, checked one by one. Raises InvalidParameter."""
    cleaned = {}
    for name, filter_ in filters.base_filters.items():
        given = request.query_params.get(name)
        if given is not None:
            cleaned[name] = _clean(name, filter_, given)
    return cleaned


def _clean(name: str, filter_: Any, given: str) -> Any:
    if len(given) > LONGEST_TEXT:
        raise InvalidParameter(name, f"It has {len(given)} characters, at most {LONGEST_TEXT} fit.")
    try:
        return filter_.field.clean(given)
    except ValidationError as error:
        raise InvalidParameter(name, " ".join(error.messages)) from error


def read_whole(request: Request, name: str, default: int, *, least: int, most: int, advice: str = "") -> int:
    """A whole number within these bounds. Raises InvalidParameter."""
    given = request.query_params.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 20 and least <= int(given) <= most):
        raise InvalidParameter(name, f"It must be a whole number from {least} to {most}. {advice}".strip())
    return int(given)


def read_limit(request: Request) -> int:
    """Rows a page."""
    return read_whole(request, "limit", DEFAULT_LIMIT, least=1, most=MOST_A_PAGE)


def read_cursor(request: Request, name: str, list_name: str, types: Iterable[type]) -> list[Any] | None:
    """The key values of a position, or None if none is given. Raises InvalidParameter."""
    given = request.query_params.get(name)
    if given is None:
        return None
    try:
        return decode(list_name, given, list(types))
    except InvalidCursor as error:
        message = "It is no position in this list: take it as it was given, with the same filters and ordering."
        raise InvalidParameter(name, message) from error


def read_choice(request: Request, name: str, choices: Iterable[str]) -> str | None:
    """One of these words, or None. Raises InvalidParameter."""
    given = request.query_params.get(name)
    if given is not None and given not in (words := list(choices)):
        raise InvalidParameter(name, f"It must be one of: {', '.join(words)}.")
    return given


def read_id(text: str) -> int | None:
    """The id in an address; None if no row can have it."""
    return int(text) if len(text) < 20 and int(text) <= BIGGEST_ID else None


def link(request: Request, **changed: Any) -> str:
    """The address of the request with these parameters changed; None takes one away."""
    parameters = {**request.query_params.dict(), **changed}
    query = urlencode({name: value for name, value in parameters.items() if value is not None})
    return request.build_absolute_uri(request.path) + (f"?{query}" if query else "")


def name_list(kind: str, filters: Mapping[str, Any], ordering: str) -> str:
    """A list's name for its positions: what is listed, by which filters, in which order."""
    return "|".join([kind, ordering, *(f"{name}={filters[name]}" for name in sorted(filters))])
