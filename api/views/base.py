"""The base of all API views: permissions, throttling and strict parameters."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet
from django_filters import FilterSet
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.viewsets import ViewSet

from api import parameters
from api.access.throttling import Throttle
from api.parameters import (
    declare_filters,
    read_id,
)


class ApiViewSet(ViewSet):
    """A view of the API. Reading it requires `permission`, one of the app `etl`.

    `parameters` lists each action's parameters, in addition to the filters of a list; all others are refused.
    """

    permission: ClassVar[str]
    parameters: ClassVar[Mapping[str, Sequence[OpenApiParameter]]] = {}
    filters: ClassVar[type[FilterSet] | None] = None
    lookup_value_regex = "[0-9]+"
    throttle_classes = (Throttle,)

    def list_parameters(self) -> list[OpenApiParameter]:
        """Return the parameters of the current action."""
        declared = list(self.parameters.get(self.action or "", ()))
        if self.action == "list" and self.filters is not None:
            declared += declare_filters(self.filters)
        return declared

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Run DRF's checks, then refuse unknown parameters. Requests that DRF refuses count for the throttle too."""
        try:
            super().initial(request, *args, **kwargs)
        except (NotAuthenticated, AuthenticationFailed, PermissionDenied):
            self.check_throttles(request)
            raise
        view: Any = type(self)
        if self.action is not None:  # otherwise the method is not allowed, which is the better error
            parameters.refuse_unknown(request, _name_parameters(view, self.action))


@cache
def _name_parameters(view: Any, action: str | None) -> frozenset[str]:
    declared = view(action=action).list_parameters()
    return frozenset(parameter.name for parameter in declared if parameter.location == OpenApiParameter.QUERY)


def find_user(request: Request) -> AbstractBaseUser:
    """Return the request's user, for views whose permissions exclude anonymous requests."""
    user: Any = request.user
    return user  # type: ignore[no-any-return]


def find_or_404(queryset: QuerySet[Any], pk: str | int) -> Any:
    """Return the row with this id. Raises NotFound."""
    row_id = read_id(str(pk))
    row = queryset.filter(pk=row_id).first() if row_id is not None else None
    if row is None:
        raise NotFound(f"There is no {_name(queryset)} {pk}.")
    return row


def _name(queryset: QuerySet[Any]) -> str:
    return str(queryset.model._meta.verbose_name)  # noqa: SLF001  (Django's own way to a model's name)
