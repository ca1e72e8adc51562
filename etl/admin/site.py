"""The admin site: its index page shows the overview, refreshed in place; it works without JavaScript."""

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path

from etl.admin.base import ReadOnlyAdmin
from etl.admin.drift import ChangeAdmin, SnapshotAdmin
from etl.admin.log import LogAdmin
from etl.admin.overview import describe_overview
from etl.admin.quarantine import QuarantineAdmin
from etl.admin.reads import ReadAdmin
from etl.admin.records import RawAdmin, UnifiedAdmin
from etl.admin.runs import RunAdmin
from etl.admin.sources import SourceAdmin
from etl.models import (
    RAW_MODELS,
    Checkpoint,
    JudgedRead,
    QuarantinedRecord,
    Run,
    SchemaChange,
    SchemaSnapshot,
    UnifiedRecord,
)

PAGES: Mapping[type[Model], type[ReadOnlyAdmin]] = {
    Checkpoint: SourceAdmin,
    Run: RunAdmin,
    JudgedRead: ReadAdmin,
    QuarantinedRecord: QuarantineAdmin,
    SchemaSnapshot: SnapshotAdmin,
    SchemaChange: ChangeAdmin,
    UnifiedRecord: UnifiedAdmin,
    **dict.fromkeys(RAW_MODELS.values(), RawAdmin),
    LogEntry: LogAdmin,
}


class PipelineAdminSite(admin.AdminSite):
    """Django's admin with the overview as its index page, and the pages above.

    They are registered here and not by decorators, which need the site while it is still being created.
    """

    site_header = "Kasparro"
    site_title = "Kasparro"
    index_title = "Overview"
    index_template = "etl/home.html"
    site_url = "/api/docs/"
    enable_nav_sidebar = False  # base_site.html links to the pages; the lists need the width

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        for model, page in PAGES.items():
            self.register(model, page)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Say that base_site.html loads the pipeline's style, so that its pages need not."""
        return {**super().each_context(request), "is_pipeline_site": True}

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        return super().index(request, {**(extra_context or {}), **describe_overview(request)})

    def get_urls(self) -> list[URLResolver | URLPattern]:
        return [path("overview/", self.admin_view(self.show_overview), name="overview"), *super().get_urls()]

    def show_overview(self, request: HttpRequest) -> HttpResponse:
        """Return only the overview, which the index page fetches to refresh itself."""
        return TemplateResponse(request, "etl/overview.html", describe_overview(request))


def register_pages(site: admin.AdminSite) -> None:
    """Register the pages that the site does not have yet. The log of all users' actions stays the project's own."""
    for model, page in PAGES.items():
        if model is not LogEntry and not site.is_registered(model):
            site.register(model, page)
