"""Sources, their checkpoints, and the changes of their shapes."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api.envelope import answer_objects
from api.filters import ChangeFilters, SnapshotFilters
from api.pages import PAGED, answer_page, describe_by
from api.schema import describe
from api.serializers import ChangeSerializer, CheckpointSerializer, RunSerializer, SnapshotSerializer, make_page
from api.views.base import ApiViewSet, find_or_404, find_user
from etl.clock import write_time
from etl.database import with_user
from etl.models import Checkpoint, SchemaChange, SchemaSnapshot
from etl.operations.drift import acknowledge
from etl.readers.mapping import describe_mapped
from etl.readers.source import Source
from etl.reports.known_sources import list_known
from etl.reports.standing import Standing, load_checkpoints, read_standings
from etl.sources.registry import list_sources
from etl.storage.waiting import Waiting, count_waiting


class SourceViewSet(ApiViewSet):
    """The sources of ETL_SOURCES, and all others that are known from the tables."""

    permission = "view_checkpoint"

    @describe(responses=OpenApiTypes.OBJECT)
    def list(self, request: Request) -> Response:
        """All sources, each with its configuration, contract, mapping and current state."""
        configured = {source.name: source for source in list_sources()}
        names = list_known()
        checkpoints, standings = load_checkpoints(names), read_standings(names)
        waiting = count_waiting(names)
        described = [
            _describe(each, configured.get(each.source), checkpoints.get(each.source), waiting.get(each.source))
            for each in standings
        ]
        return answer_objects(request, described)


def _describe(
    standing: Standing, source: Source | None, checkpoint: Checkpoint | None, waiting: Waiting | None
) -> dict[str, Any]:
    run = standing.last_run
    described: dict[str, Any] = {
        "source": standing.source,
        "standing": standing.word,
        "is_configured": source is not None,
    }
    if source is not None:
        described |= {
            "kind": source.kind,
            "every": str(source.every),
            "location": source.location,
            "contract": source.contract.describe(),
            "unified": {target: describe_mapped(mapped) for target, mapped in source.unified.items()},
        }
    return described | {
        "records": checkpoint.record_count if checkpoint else 0,
        "removed_records": checkpoint.removed_count if checkpoint else 0,
        "raw_records": checkpoint.raw_count if checkpoint else 0,
        "open_quarantine": checkpoint.open_quarantine_count if checkpoint else 0,
        "waiting_records": waiting.count if waiting else 0,
        "waiting_since": write_time(waiting.since) if waiting else None,
        "held_by_run": checkpoint.owner_run_id if checkpoint else None,
        "last_run": RunSerializer(run).data if run else None,
        "lag_s": standing.lag_s,
        "next_try_at": write_time(standing.next_try_at),
    }


class CheckpointViewSet(ApiViewSet):
    """The state of each source's reading."""

    permission = "view_checkpoint"

    @describe(responses=make_page(CheckpointSerializer))
    def list(self, request: Request) -> Response:
        """The checkpoints, by source."""
        return answer_objects(request, CheckpointSerializer(Checkpoint.objects.order_by("source"), many=True).data)


class SnapshotViewSet(ApiViewSet):
    """The observed shapes of the sources."""

    permission = "view_schemasnapshot"
    filters = SnapshotFilters
    parameters = {"list": PAGED}

    def _query(self) -> QuerySet[SchemaSnapshot]:
        return SchemaSnapshot.objects.all()

    @describe(responses=make_page(SnapshotSerializer))
    def list(self, request: Request) -> Response:
        """Snapshots, newest first: fields by path, with type, nullability and presence."""
        return answer_page(
            request, self._query(), describe_by(SnapshotSerializer), filters=SnapshotFilters, name="snapshots"
        )

    @describe(responses=SnapshotSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        """One snapshot."""
        return Response(SnapshotSerializer(find_or_404(self._query(), pk)).data)


class ChangeViewSet(ApiViewSet):
    """Drift: the differences between two snapshots of a source."""

    permission = "view_schemachange"
    filters = ChangeFilters
    parameters = {"list": PAGED}

    def _query(self) -> QuerySet[SchemaChange]:
        return with_user(SchemaChange.objects.all(), "acknowledged_by")

    @describe(responses=make_page(ChangeSerializer))
    def list(self, request: Request) -> Response:
        """Schema changes, newest first."""
        return answer_page(request, self._query(), describe_by(ChangeSerializer), filters=ChangeFilters, name="changes")

    @describe(responses=ChangeSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        """One schema change."""
        return Response(ChangeSerializer(find_or_404(self._query(), pk)).data)

    @describe(request=None, responses=ChangeSerializer)
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: str) -> Response:
        """Acknowledge a schema change. The first acknowledgement is kept."""
        change = find_or_404(self._query(), pk)
        return Response(ChangeSerializer(acknowledge(change.pk, user_id=find_user(request).pk)).data)
