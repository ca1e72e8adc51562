"""What all views have in common: who may, how often, with which parameters; and pages of rows by key."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet
from django_filters import FilterSet
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.utils.encoders import JSONEncoder
from rest_framework.viewsets import ViewSet

from api import parameters, positions
from api.parameters import (
    CURSOR,
    LIMIT,
    clean_filters,
    declare_filters,
    link,
    name_list,
    read_id,
    read_limit,
    read_position,
)
from api.renderers import JsonText
from api.throttling import Throttle


class Window(ViewSet):
    """A view of the API. `permission` is what reading it needs, of the app `etl`.

    `parameters` are those of each action, beyond the filters of a list; any other is refused.
    """

    permission: ClassVar[str]
    parameters: ClassVar[Mapping[str, Sequence[OpenApiParameter]]] = {}
    filters: ClassVar[type[FilterSet] | None] = None
    lookup_value_regex = "[0-9]+"
    throttle_classes = (Throttle,)

    def list_parameters(self) -> list[OpenApiParameter]:
        """Those of the current action."""
        declared = list(self.parameters.get(self.action or "", ()))
        if self.action == "list" and self.filters is not None:
            declared += declare_filters(self.filters)
        return declared

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """DRF's checks, and ours of the parameters. DRF counts what it lets in; what it refuses counts too."""
        try:
            super().initial(request, *args, **kwargs)
        except (NotAuthenticated, AuthenticationFailed, PermissionDenied):
            self.check_throttles(request)
            raise
        view: Any = type(self)
        if self.action is not None:  # else the method is not allowed, which says more
            parameters.refuse_unknown(request, _name_parameters(view, self.action))


@cache
def _name_parameters(view: Any, action: str | None) -> frozenset[str]:
    declared = view(action=action).list_parameters()
    return frozenset(parameter.name for parameter in declared if parameter.location == OpenApiParameter.QUERY)


def answer_rows(
    request: Request,
    texts: Iterable[str],
    *,
    count: int | None = None,
    following: str | None = None,
    previous: str | None = None,
    more: Mapping[str, Any] | None = None,
) -> Response:
    """The envelope of every list, around rows that are JSON texts; both links are addresses or None."""
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
    """The envelope around rows that are objects yet."""
    return answer_rows(request, (json.dumps(row, cls=JSONEncoder) for row in rows), **links)


def find_user(request: Request) -> AbstractBaseUser:
    """Who asks, where permissions let nobody else through."""
    user: Any = request.user
    return user  # type: ignore[no-any-return]


def find_latency(request: Request) -> float:
    """Milliseconds since the request came in."""
    began: float = request.began  # type: ignore[attr-defined]
    return round((time.perf_counter() - began) * 1000, 3)


def answer_queryset(
    request: Request,
    queryset: QuerySet[Any],
    serializer: type[BaseSerializer[Any]],
    *,
    filters: type[FilterSet] | None = None,
    name: str,
    is_descending: bool = True,
) -> Response:
    """A page of a table by its id: newest first, or oldest first."""
    wanted = clean_filters(filters, request) if filters is not None else {}
    if filters is not None:
        for parameter, value in wanted.items():
            queryset = filters.base_filters[parameter].filter(queryset, value)
    limit, list_name = read_limit(request), name_list(name, wanted, "-id" if is_descending else "id")
    position = read_position(request, "cursor", list_name, (str, int))
    is_backward = position is not None and position[0] == "before"
    is_downward = is_descending is not is_backward
    if position is not None:
        queryset = queryset.filter(**{"pk__lt" if is_downward else "pk__gt": position[1]})
    rows = list(queryset.order_by("-pk" if is_downward else "pk")[: limit + 1])
    has_more, rows = len(rows) > limit, rows[:limit]
    if is_backward:
        rows.reverse()
    ends = ((rows[0].pk,), (rows[-1].pk,)) if rows else None
    following, previous = link_neighbours(request, list_name, ends, position, has_more=has_more)
    return answer_objects(request, serializer(rows, many=True).data, following=following, previous=previous)


def link_neighbours(
    request: Request,
    list_name: str,
    ends: tuple[Sequence[Any], Sequence[Any]] | None,
    position: Sequence[Any] | None,
    *,
    has_more: bool,
) -> tuple[str | None, str | None]:
    """The addresses of the pages behind and before one that has these keys at its ends (None: it is empty).

    `position` is where it was asked for; `has_more` whether rows go on in the way it was read.
    """
    if ends is None:
        return None, None
    is_backward = position is not None and position[0] == "before"

    def point(way: str, key: Sequence[Any]) -> str:
        return link(request, cursor=positions.encode(list_name, (way, *key)), offset=None)

    following = point("after", ends[1]) if has_more or is_backward else None
    previous = point("before", ends[0]) if position is not None and (has_more or not is_backward) else None
    return following, previous


def find_or_404(queryset: QuerySet[Any], pk: str | int) -> Any:
    """The row of this id. Raises NotFound."""
    row_id = read_id(str(pk))
    row = queryset.filter(pk=row_id).first() if row_id is not None else None
    if row is None:
        raise NotFound(f"There is no {_name(queryset)} {pk}.")
    return row


def _name(queryset: QuerySet[Any]) -> str:
    return str(queryset.model._meta.verbose_name)  # noqa: SLF001  (Django's own way to a model's name)


PAGED = (LIMIT, CURSOR)
