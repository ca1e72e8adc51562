"""Runs: listed, shown, compared, requested and cancelled."""

import logging
import re
import uuid
from dataclasses import asdict
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from api.errors import Conflict, InvalidParameter
from api.filters import RunFilters
from api.pages import PAGED, answer_page, describe_by
from api.parameters import read_id
from api.schema import describe
from api.serializers import EventSerializer, OrderSerializer, RunSerializer, make_page
from api.views.base import ApiViewSet, find_or_404, find_user
from etl.models import Run
from etl.operations import runs as operations
from etl.runs import orders
from etl.runs.comparison import compare_runs
from etl.runs.options import Options
from etl.vocabulary import EventKind, Trigger

logger = logging.getLogger(__name__)

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "maxLength": 200, "pattern": "^[!-~]+$"},
    OpenApiParameter.HEADER,
    description="Becomes the run's key, for this user. A repeated request with it returns the same run.",
)
_KEY = re.compile(r"[!-~]{1,200}")


class RunViewSet(ApiViewSet):
    """Runs. Each run brings one source up to date."""

    permission = "view_run"
    filters = RunFilters
    parameters = {"list": PAGED, "events": PAGED, "create": (IDEMPOTENCY_KEY,)}
    serializer_class = OrderSerializer  # for the form of the browsable API

    def _query(self) -> QuerySet[Run]:
        return Run.objects.all()

    @describe(responses=make_page(RunSerializer))
    def list(self, request: Request) -> Response:
        """Runs, newest first."""
        return answer_page(request, self._query(), describe_by(RunSerializer), filters=RunFilters, name="runs")

    @describe(responses=RunSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        """One run."""
        return Response(RunSerializer(find_or_404(self._query(), pk)).data)

    @describe(request=OrderSerializer, responses={202: RunSerializer})
    def create(self, request: Request) -> Response:
        """Queue a run. A plain request returns a plain run that is already waiting; any other request gets a new run.

        `full` reads everything again. `since`, and `until` where the source takes an end, fetch again what has changed
        between two times.

        With the same `Idempotency-Key`, a repeated request returns the same run, and a different body is a 409.
        """
        order = OrderSerializer(data=request.data)
        order.is_valid(raise_exception=True)
        source, options = order.validated_data["source"], order.validated_data["options"]
        by, key = f"{request.user} through the API", _read_key(request)
        run = _find_former_answer(request, by) or orders.queue(
            source, key=key, trigger=Trigger.API, by=by, options=options
        )
        former = Options.from_json(run.options)
        if (run.source, former.full, former.window) != (source, options.full, options.window):
            raise Conflict("This Idempotency-Key was used for a different request. Send a new key.")
        return answer_run(request, run)

    @describe(request=None, responses=RunSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Cancel a run. A waiting run is closed; a running one stops within one batch and releases its source."""
        run = find_or_404(self._query(), pk)
        return Response(RunSerializer(operations.cancel(run.pk, by=f"{request.user} through the API")).data)

    @describe(responses=make_page(EventSerializer))
    @action(detail=True)
    def events(self, request: Request, pk: str) -> Response:
        """The run's event log, oldest event first."""
        run = find_or_404(self._query(), pk)
        return answer_page(
            request, run.events.all(), describe_by(EventSerializer), name=f"events of {run.pk}", is_descending=False
        )


def _read_key(request: Request) -> str:
    """Return the run's key, which belongs to the request's user: another user's equal key is another key."""
    given = request.headers.get("Idempotency-Key")
    if given is not None and not _KEY.fullmatch(given):
        raise InvalidParameter("Idempotency-Key", "It must be 1 to 200 printable ASCII characters without blanks.")
    return f"api/{find_user(request).pk}:{given or uuid.uuid4()}"


def _find_former_answer(request: Request, by: str) -> Run | None:
    """Return the run that this user's key gave before keys belonged to users, so that an upgrade repeats no request.

    The run's first event names the user. Who gave a further key is not stored, so that one still belongs to all.
    """
    key = f"api:{request.headers.get('Idempotency-Key', '')}"
    run = orders.find_answer(key)
    if run is None or run.key != key or run.events.filter(kind=EventKind.QUEUED, message=f"Queued by {by}.").exists():
        return run
    return None


def answer_run(request: Request, run: Run, **more: str) -> Response:
    """Return a 202 with the queued run, its address, and more fields."""
    logger.info("%s: run %d is queued", run.source, run.pk, extra={"run_id": run.pk})
    address = reverse("kasparro_api:run-detail", [run.pk], request=request)
    return Response({**RunSerializer(run).data, **more, "address": address}, status=202, headers={"Location": address})


class ComparisonViewSet(ApiViewSet):
    """Two runs side by side."""

    permission = "view_run"
    parameters = {
        "list": tuple(
            OpenApiParameter(
                name, {"type": "integer", "format": "int64", "minimum": 1}, required=True, description="A run's id."
            )
            for name in ("run_a", "run_b")
        )
    }

    @describe(responses=OpenApiTypes.OBJECT)
    def list(self, request: Request) -> Response:
        """Compare two runs: counters, duration, rate, status and shape of both, the differences, and notes on them."""
        a, b = (_read_run(request, name) for name in ("run_a", "run_b"))
        return Response(_as_answer(asdict(compare_runs(a, b))))


def _read_run(request: Request, name: str) -> Run:
    given = request.query_params.get(name)
    if given is None or not (given.isascii() and given.isdigit()):
        raise InvalidParameter(name, "It is required, and must be a run's id.")
    row_id = read_id(given)
    run = Run.objects.filter(pk=row_id).first() if row_id is not None else None
    if run is None:
        raise NotFound(f"{name}: there is no run {given}.")
    return run


def _as_answer(comparison: dict[str, Any]) -> dict[str, Any]:
    names = {"a": "run_a", "b": "run_b"}
    return {names.get(name, name): value for name, value in comparison.items()}
