"""Refused records: listed, shown, replayed and discarded."""

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api.filters import QuarantineFilters
from api.pages import PAGED, answer_page, describe_by
from api.schema import describe
from api.serializers import QuarantinedSerializer, QuarantinedWholeSerializer, ReplaySerializer, make_page
from api.views.base import ApiViewSet, find_or_404, find_user
from api.views.runs import answer_run
from etl.models import QuarantinedRecord
from etl.operations import quarantine
from etl.vocabulary import QuarantineStatus


class QuarantineViewSet(ApiViewSet):
    """Refused records, each with its reason and its exact position."""

    permission = "view_quarantinedrecord"
    filters = QuarantineFilters
    parameters = {"list": PAGED}

    def _query(self) -> QuerySet[QuarantinedRecord]:
        return QuarantinedRecord.objects.all()

    @describe(responses=make_page(QuarantinedSerializer))
    def list(self, request: Request) -> Response:
        """Refused records, newest first; without a status, all but those that are gone."""
        records = self._query().defer("original", "payload")
        if "status" not in request.query_params:
            records = records.exclude(status=QuarantineStatus.GONE)
        return answer_page(
            request, records, describe_by(QuarantinedSerializer), filters=QuarantineFilters, name="quarantine"
        )

    @describe(responses=QuarantinedWholeSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        """One refused record, with its original."""
        return Response(QuarantinedWholeSerializer(find_or_404(self._query(), pk)).data)

    @describe(request=None, responses={202: ReplaySerializer})
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: str) -> Response:
        """Replay the record, open or gone: a run judges it by the current contract.

        It lands once, or stays with its new reason. `note` says if the run must wait for an open read of its source;
        if no run will finish that read, the answer is a 409.
        """
        record = find_or_404(self._query(), pk)
        run = quarantine.replay_one(record.pk, by=f"{request.user} through the API", user_id=find_user(request).pk)
        return answer_run(request, run, note=quarantine.describe_waits([run]))

    @describe(request=None, responses=QuarantinedSerializer)
    @action(detail=True, methods=["post"])
    def discard(self, request: Request, pk: str) -> Response:
        """Discard the record: it stays stored, but is no longer open."""
        record = find_or_404(self._query(), pk)
        quarantine.discard_one(record.pk, by=f"{request.user} through the API", user_id=find_user(request).pk)
        return Response(QuarantinedSerializer(self._query().get(pk=record.pk)).data)
