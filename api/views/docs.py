"""The addresses of the API as a list, as an OpenAPI schema and as a page on which requests can be tried."""

from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.settings import patched_settings
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.response import Response
from rest_framework.routers import APIRootView

from api.conf import conf
from api.openapi import DOCUMENT
from api.renderers import Json
from api.views.base import ClosedView


class RootView(ClosedView, APIRootView):
    """The addresses of the API."""

    schema = None


class _Docs(ClosedView):
    """Open to all known users, or to everyone if API_DOCS_OPEN is on. Neither language nor version can be chosen."""

    schema = None

    def get_permissions(self) -> Any:
        permissions: list[BasePermission] = [AllowAny()]
        return permissions if conf.API_DOCS_OPEN else super().get_permissions()

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        """Describe the address as JSON: the page of the docs needs a template."""
        described: Any = super().options(request, *args, **kwargs)
        request.accepted_renderer, request.accepted_media_type = Json(), Json.media_type
        return described  # type: ignore[no-any-return]


class SchemaView(_Docs, SpectacularAPIView):
    renderer_classes = SpectacularAPIView.renderer_classes
    generator_class = SchemaGenerator
    serve_public, urlconf, custom_settings = True, None, DOCUMENT


class DocsView(_Docs, SpectacularSwaggerView):
    renderer_classes = SpectacularSwaggerView.renderer_classes
    title = DOCUMENT["TITLE"]

    def get(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        with patched_settings(DOCUMENT):
            page: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
            return page
