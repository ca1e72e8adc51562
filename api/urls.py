"""The addresses of the API. A project includes them below any prefix: their names are in a namespace."""

from typing import Any

from django.urls import include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from rest_framework.routers import DefaultRouter

from api.errors import not_found
from api.views.data import ChangesViewSet, DataViewSet
from api.views.docs import DocsView, RootView, SchemaView
from api.views.monitoring import health, live, metrics, stats
from api.views.quarantine import QuarantineViewSet
from api.views.reads import ReadViewSet
from api.views.runs import ComparisonViewSet, RunViewSet
from api.views.sources import ChangeViewSet, CheckpointViewSet, SnapshotViewSet, SourceViewSet

app_name = "kasparro_api"

router = DefaultRouter(trailing_slash=False)
router.include_format_suffixes = False
router.APIRootView = RootView
router.register("data", DataViewSet, "data")
router.register("changes", ChangesViewSet, "changes")
router.register("runs", RunViewSet, "run")
router.register("reads", ReadViewSet, "read")
router.register("compare-runs", ComparisonViewSet, "compare-runs")
router.register("sources", SourceViewSet, "source")
router.register("checkpoints", CheckpointViewSet, "checkpoint")
router.register("schema-snapshots", SnapshotViewSet, "schema-snapshot")
router.register("schema-changes", ChangeViewSet, "schema-change")
router.register("quarantine", QuarantineViewSet, "quarantine")

monitoring: list[Any] = [
    path("health", health, name="health"),
    path("health/live", live, name="health-live"),
    path("stats", stats, name="stats"),
    path("metrics", metrics, name="metrics"),
]

urlpatterns = [
    path("api/v1/", include([*monitoring, *router.urls])),
    path("api/schema", SchemaView.as_view(), name="schema"),
    path("api/docs/", DocsView.as_view(url_name="kasparro_api:schema"), name="docs"),
    re_path("^api(/|$)", csrf_exempt(not_found)),
    # The same views at the root, for monitors and old clients.
    *monitoring,
    path("data", DataViewSet.as_view({"get": "list"}), name="data"),
]
