"""Reads with their verdicts: listed, shown and accepted."""

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api.filters import ReadFilters
from api.pages import PAGED, answer_page, describe_by
from api.schema import describe
from api.serializers import ReadSerializer, RunSerializer, make_page
from api.views.base import ApiViewSet, find_or_404, find_user
from api.views.runs import answer_run
from etl.database import with_user
from etl.models import JudgedRead
from etl.operations.reads import accept
from etl.vocabulary import Trigger


class ReadViewSet(ApiViewSet):
    """Reads that have ended, each with the verdict on it."""

    permission = "view_judgedread"
    filters = ReadFilters
    parameters = {"list": PAGED}

    def _query(self) -> QuerySet[JudgedRead]:
        return with_user(JudgedRead.objects.all(), "accepted_by")

    @describe(responses=make_page(ReadSerializer))
    def list(self, request: Request) -> Response:
        """Reads, newest first."""
        return answer_page(request, self._query(), describe_by(ReadSerializer), filters=ReadFilters, name="reads")

    @describe(responses=ReadSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        """One read."""
        return Response(ReadSerializer(find_or_404(self._query(), pk)).data)

    @describe(request=None, responses={202: RunSerializer})
    @action(detail=True, methods=["post"])
    def accept(self, request: Request, pk: str) -> Response:
        """Accept the source's last judged read in spite of its verdict: a run reads the content again and lands it."""
        read = find_or_404(self._query(), pk)
        by, user_id = f"{request.user} through the API", find_user(request).pk
        return answer_run(request, accept(read.pk, by=by, user_id=user_id, trigger=Trigger.API))
