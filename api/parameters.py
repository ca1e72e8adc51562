"""Query parameters, declared once: for the schema, and so that unknown ones are refused."""

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
    description="Rows per page.",
)
CURSOR = OpenApiParameter("cursor", str, description="Position in the list, from `next` or `previous` of a page.")
OFFSET = OpenApiParameter(
    "offset",
    {"type": "integer", "minimum": 0, "maximum": DEEPEST_OFFSET},
    description="For old clients. To go deeper or to read everything, use the cursor.",
)
COUNT = OpenApiParameter(
    "count", str, enum=["exact"], description="Count the matching rows. Without it, `count` may be null."
)


def declare_filters(filters: type[FilterSet]) -> list[OpenApiParameter]:
    """Return the parameters of a FilterSet, for the schema."""
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
    """Raise InvalidParameter if a parameter is unknown, repeated or empty, so that none is ignored."""
    for name, values in request.query_params.lists():
        if name not in names:
            choice = f"Known parameters: {', '.join(sorted(names))}." if names else "This address takes no parameters."
            raise InvalidParameter(name, f"There is no such parameter. {choice}")
        if len(values) > 1:
            raise InvalidParameter(name, "It is given more than once.")
        if values[0] == "":
            raise InvalidParameter(name, "It is empty; leave it out.")


def clean_filters(filters: type[FilterSet], request: Request) -> dict[str, Any]:
    """Return the checked values of the given filters. Raises InvalidParameter."""
    given = request.query_params
    return {name: _clean(name, filter_, given[name]) for name, filter_ in filters.base_filters.items() if name in given}


def _clean(name: str, filter_: Any, given: str) -> Any:
    if len(given) > LONGEST_TEXT:
        raise InvalidParameter(name, f"It has {len(given)} characters; the limit is {LONGEST_TEXT}.")
    try:
        return filter_.field.clean(given)
    except ValidationError as error:
        raise InvalidParameter(name, " ".join(error.messages)) from error


def read_whole(request: Request, name: str, default: int, *, least: int, most: int, advice: str = "") -> int:
    """Return a whole number within these bounds. Raises InvalidParameter."""
    given = request.query_params.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 20 and least <= int(given) <= most):
        raise InvalidParameter(name, f"It must be a whole number from {least} to {most}. {advice}".strip())
    return int(given)


def read_limit(request: Request) -> int:
    """Return the rows per page. Raises InvalidParameter."""
    return read_whole(request, "limit", DEFAULT_LIMIT, least=1, most=MOST_A_PAGE)


def read_cursor(request: Request, name: str, list_name: str, types: Iterable[type]) -> list[Any] | None:
    """Return the key values of a position, or None if it is not given. Raises InvalidParameter."""
    given = request.query_params.get(name)
    if given is None:
        return None
    try:
        return decode(list_name, given, list(types))
    except InvalidCursor as error:
        message = "It is not a position in this list. Send it unchanged, with the same filters and ordering."
        raise InvalidParameter(name, message) from error


def read_choice(request: Request, name: str, choices: Iterable[str]) -> str | None:
    """Return one of these words, or None if it is not given. Raises InvalidParameter."""
    given = request.query_params.get(name)
    if given is not None and given not in (words := list(choices)):
        raise InvalidParameter(name, f"It must be one of: {', '.join(words)}.")
    return given


def read_id(text: str) -> int | None:
    """Return the id in an address, or None if no row can have it."""
    return int(text) if len(text) < 20 and int(text) <= BIGGEST_ID else None


def link(request: Request, **changed: Any) -> str:
    """Return the request's address with these parameters changed; None removes a parameter."""
    parameters = {**request.query_params.dict(), **changed}
    query = urlencode({name: value for name, value in parameters.items() if value is not None})
    return request.build_absolute_uri(request.path) + (f"?{query}" if query else "")


def name_list(kind: str, filters: Mapping[str, Any], ordering: str) -> str:
    """Name a list for its positions, by its kind, its ordering and its filters."""
    return "|".join([kind, ordering, *(f"{name}={filters[name]}" for name in sorted(filters))])
