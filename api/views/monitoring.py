"""The state of the service: health for load balancers, statistics for operators, metrics for Prometheus."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

from django.db import Error
from drf_spectacular.types import OpenApiTypes
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.access import tokens
from api.access.authentication import TokenAuthentication, find_secret
from api.access.permissions import MayUse
from api.conf import conf
from api.database_deadlines import drop_ended_session
from api.renderers import Json, JsonText
from api.schema import describe
from api.views.base import ApiViewSet
from etl.clock import write_time
from etl.database import connection, list_connections
from etl.models import Run
from etl.reports import statistics
from etl.reports.known_sources import list_known
from etl.reports.metrics import PipelineCollector
from etl.reports.standing import Standing, read_standings, read_words
from etl.supervision import liveness
from etl.supervision.liveness import Alive

DATABASE_PATIENCE_SECONDS = 1.6
MULTIPROCESS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

_probes = ThreadPoolExecutor(max_workers=3, thread_name_prefix="health")


class HealthViewSet(ApiViewSet):
    """Health for load balancers and monitors. Open to everyone, with few details; a token shows more."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    renderer_classes = (Json,)

    def name_parameters(self) -> None:
        """Accept any parameter: monitors add some against caches."""

    def get_authenticate_header(self, request: Request) -> str:
        """Make a wrong token a 401; without authentication classes it would be a 403."""
        return TokenAuthentication().authenticate_header(request)

    @describe(responses={200: OpenApiTypes.OBJECT, 503: OpenApiTypes.OBJECT})
    def list(self, request: Request) -> Response:
        """Report `ok`, `degraded` (no Redis, workers or beat) or `error` (503: no database), within 2 s.

        Workers and beat are `unknown` without Redis; a project that uses none is `ok`.

        With a token, it also shows the workers, the time since beat was last seen and the standing of each source.
        A source's standing changes neither `status` nor the code of the response: they are about the service, and a
        load balancer must not stop it because a source fails.
        """
        secret = find_secret(request)
        check = _probes.submit(_check_database, secret)
        alive = liveness.find_alive()
        try:
            is_known, details = check.result(DATABASE_PATIENCE_SECONDS)
        except (TimeoutError, Error):
            check.cancel()
            return Response({"status": "error", "database": "unreachable"}, HTTPStatus.SERVICE_UNAVAILABLE)
        if secret is not None and not is_known:
            raise AuthenticationFailed("The token is unknown, revoked or expired, or its user is not active.")
        return Response(_describe(alive) | (_describe_alive(alive) | details if is_known else {}))

    @describe(responses=OpenApiTypes.OBJECT)
    def live(self, request: Request) -> Response:
        """Report that this process responds; nothing else is checked."""
        return Response({"status": "ok"})


def _check_database(secret: str | None) -> tuple[bool, dict[str, Any]]:
    """Return whether the token is valid and, if so, the state of each source. In a thread: the database may hang."""
    for each in list_connections():
        each.close_if_unusable_or_obsolete()
    drop_ended_session()
    try:
        return _read_details(secret)
    except Error:
        for each in list_connections():
            each.close()
        raise


def _read_details(secret: str | None) -> tuple[bool, dict[str, Any]]:
    if secret is None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return False, {}
    if tokens.find(secret) is None:
        return False, {}
    return True, {"sources": [_describe_standing(standing) for standing in read_standings()]}


def _describe_standing(standing: Standing) -> dict[str, Any]:
    return {
        "source": standing.source,
        "standing": standing.word,
        "last_run": _describe_run(standing.last_run),
        "last_reading_run": _describe_run(standing.last_reading_run),
        "lag_s": standing.lag_s,
        "next_try_at": write_time(standing.next_try_at),
    }


def _describe_run(run: Run | None) -> dict[str, Any] | None:
    if run is None or run.finished_at is None:
        return None
    return {"id": run.pk, "status": run.status, "reason": run.reason, "finished_at": write_time(run.finished_at)}


def _describe(alive: Alive | None) -> dict[str, str]:
    """Without a Redis nothing is known of workers and beat, so a project that has none is not degraded."""
    if alive is None:
        unknown = {"workers": "unknown", "beat": "unknown"}
        if not liveness.is_used():
            return {"status": "ok", "database": "ok", "redis": "not used", **unknown}
        return {"status": "degraded", "database": "ok", "redis": "unreachable", **unknown}
    workers, beat = "ok" if alive.workers else "none seen", _describe_beat(alive)
    status = "ok" if (workers, beat) == ("ok", "ok") else "degraded"
    return {"status": status, "database": "ok", "redis": "ok", "workers": workers, "beat": beat}


def _describe_beat(alive: Alive) -> str:
    if alive.beat_age_s is not None:
        return "ok"
    return "sends no sweep" if alive.idle_beat_age_s is not None else "not seen"


def _describe_alive(alive: Alive | None) -> dict[str, Any]:
    if alive is None:
        return {"workers_seen": None, "beat_age_s": None}
    seen = [{"worker": name, "age_s": round(age, 1)} for name, age in alive.workers]
    return {"workers_seen": seen, "beat_age_s": alive.beat_age_s and round(alive.beat_age_s, 1)}


class StatsViewSet(ApiViewSet):
    """Statistics of the pipeline."""

    permission = "view_run"

    @describe(responses=OpenApiTypes.OBJECT)
    def list(self, request: Request) -> Response:
        """Runs, records and quarantine, in total and by source, at most `API_STATS_SECONDS` old (default: 1).

        The cost does not grow with any table.
        """
        return Response(JsonText(_read_recent_statistics()))


def _read_recent_statistics() -> str:
    """Return the statistics. However many clients ask, each process reads them once per API_STATS_SECONDS."""
    seconds = conf.API_STATS_SECONDS
    return _read_statistics_of(time.monotonic() // seconds) if seconds else _read_statistics()


@lru_cache(maxsize=1)
def _read_statistics_of(period: float) -> str:
    return _read_statistics()


def _read_statistics() -> str:
    return statistics.read_statistics_json(read_words(list_known()))


class Exposition(BaseRenderer):
    """Prometheus' text format."""

    media_type = "text/plain"
    format = "txt"
    charset = "utf-8"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return data if isinstance(data, bytes) else Json().render(data, accepted_media_type, renderer_context)


class MayScrape(MayUse):
    """Permits tokens and, if METRICS_ACCESS is `private`, private addresses."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        is_open = conf.METRICS_ACCESS == "private" and _is_private(request.META.get("REMOTE_ADDR", ""))
        return is_open or super().has_permission(request, view)


def _is_private(address: str) -> bool:
    try:
        return ip_address(address).is_private
    except ValueError:
        return False


class MetricsViewSet(ApiViewSet):
    """Metrics of the web server and the pipeline."""

    permission = "view_run"
    permission_classes = (MayScrape,)
    renderer_classes = (Exposition, Json)

    @describe(responses={(200, "text/plain"): OpenApiTypes.STR})
    def list(self, request: Request) -> Response:
        """Metrics for Prometheus, of this server's web processes and, from the database, of the pipeline."""
        text = generate_latest(_find_web_registry()) + generate_latest(_make_pipeline_registry())
        return Response(text, content_type="text/plain; version=0.0.4; charset=utf-8")


def _find_web_registry() -> CollectorRegistry:
    """Return the counts of django-prometheus for this process, or for all processes that share a folder."""
    if MULTIPROCESS_FOLDER not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return registry


@cache
def _make_pipeline_registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(PipelineCollector())
    return registry


health = HealthViewSet.as_view({"get": "list"})
live = HealthViewSet.as_view({"get": "live"})
stats = StatsViewSet.as_view({"get": "list"})
metrics = MetricsViewSet.as_view({"get": "list"})
