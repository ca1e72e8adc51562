"""The base of all API views: closed under any project's settings of DRF, throttled, strict about parameters."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import QuerySet
from django.http import HttpRequest
from django_filters import FilterSet
from drf_spectacular.utils import OpenApiParameter
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, NotFound, PermissionDenied
from rest_framework.metadata import SimpleMetadata
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import DEFAULTS, IMPORT_STRINGS, APISettings
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSetMixin

from api import errors, parameters
from api.access.authentication import TokenAuthentication
from api.access.permissions import MayUse
from api.access.throttling import Throttle
from api.caching import keep_from_caches
from api.middleware import stamp
from api.parameters import declare_filters, read_id
from api.parsers import Json as JsonParser
from api.renderers import Browsable, Json
from api.schema import Schema
from etl.database import keep_out_of_transactions

ANYTHING = "*/*"

_DIFFERENT: Any = {"URL_FORMAT_OVERRIDE": None, "FORMAT_SUFFIX_KWARG": None}
_OWN_SETTINGS: Any = APISettings(_DIFFERENT, DEFAULTS, IMPORT_STRINGS)
"""DRF's defaults with these differences, instead of the project's REST_FRAMEWORK."""


class Negotiation(DefaultContentNegotiation):
    """Chooses the renderer by `Accept` alone."""

    settings = _OWN_SETTINGS

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Choose the first renderer, without parsing `Accept`, for a client that accepts anything, as most do."""
        first = next(iter(renderers))
        if request.META.get("HTTP_ACCEPT", ANYTHING) == ANYTHING:
            return first, str(first.media_type)
        chosen: tuple[BaseRenderer, str] = super().select_renderer(request, renderers, format_suffix)
        return chosen


class ApiRequest(Request):
    """A request whose user is anonymous if nobody is logged in, also where UNAUTHENTICATED_USER says otherwise."""

    def _not_authenticated(self) -> None:
        self._authenticator = None
        self.user, self.auth = AnonymousUser(), None


class ClosedView(APIView):
    """A view that takes nothing from the project's REST_FRAMEWORK. Every view of the API derives from it.

    Reading it requires `permission`, one of the app `etl`; without one, any known user may read it.
    """

    permission: ClassVar[str | None] = None
    settings = _OWN_SETTINGS
    authentication_classes: Sequence[type[BaseAuthentication]] = (TokenAuthentication, SessionAuthentication)
    permission_classes: Sequence[type[BasePermission]] = (MayUse,)
    throttle_classes: Sequence[type[BaseThrottle]] = (Throttle,)
    parser_classes: Sequence[type[BaseParser]] = (JsonParser,)
    renderer_classes: Sequence[type[BaseRenderer]] = (Json, Browsable)
    content_negotiation_class = Negotiation
    metadata_class = SimpleMetadata
    versioning_class = None
    schema: Schema | None = Schema()

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        return keep_out_of_transactions(super().as_view(**initkwargs))

    def get_exception_handler(self) -> Any:
        return errors.handle

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Wrap Django's request, which has an id even without the middleware of this API."""
        stamp(request)
        return ApiRequest(
            request,
            parsers=self.get_parsers(),
            authenticators=self.get_authenticators(),
            negotiator=self.get_content_negotiator(),
            parser_context=self.get_parser_context(request),
        )

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Run DRF's checks, then refuse unknown parameters. Requests that DRF refuses count for the throttle too."""
        try:
            super().initial(request, *args, **kwargs)
        except (NotAuthenticated, AuthenticationFailed, PermissionDenied):
            self.check_throttles(request)
            raise
        names = self.name_parameters()
        if names is not None:
            parameters.refuse_unknown(request, names)

    def name_parameters(self) -> Collection[str] | None:
        """Return the names of the parameters that this request may have, or None for any."""
        return ()

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Keep the response from caches, and render an error as JSON, or as a page where the client reads pages."""
        finished = super().finalize_response(request, response, *args, **kwargs)
        if finished.exception:
            _render_problem(finished)
        keep_from_caches(finished)
        return finished


def _render_problem(response: Any) -> None:
    if isinstance(response.accepted_renderer, Browsable):
        response.content_type = None  # the page's own
    else:
        response.accepted_renderer, response.accepted_media_type = Json(), errors.CONTENT_TYPE


class ApiViewSet(ViewSetMixin, ClosedView):
    """A closed view of several actions.

    `parameters` lists each action's parameters, in addition to the filters of a list; all others are refused.
    """

    parameters: ClassVar[Mapping[str, Sequence[OpenApiParameter]]] = {}
    filters: ClassVar[type[FilterSet] | None] = None
    lookup_value_regex = "[0-9]+"

    @classmethod
    def as_view(cls, actions: Any = None, **initkwargs: Any) -> Any:
        return keep_out_of_transactions(super().as_view(actions, **initkwargs))

    def list_parameters(self) -> list[OpenApiParameter]:
        """Return the parameters of the current action."""
        declared = list(self.parameters.get(self.action or "", ()))
        if self.action == "list" and self.filters is not None:
            declared += declare_filters(self.filters)
        return declared

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check the body too, also where an action needs none: a page that shows the response would read it."""
        super().initial(request, *args, **kwargs)
        if self.action is not None and request.method not in SAFE_METHODS:
            _ = request.data

    def name_parameters(self) -> Collection[str] | None:
        if self.action is None:  # the method is not allowed, which is the better error
            return None
        view: Any = type(self)
        return _name_parameters(view, self.action)


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
    return str(queryset.model._meta.verbose_name)
