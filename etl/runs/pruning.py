"""Removes runs, their events and alerts, for pruning. A run is removed only after all of its raw records."""

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from django.db.models import F, QuerySet

from etl.models import Alert, Run, RunEvent
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import CLOSED_STATUSES, AlertState

MOST_ALERTS = 5000


def count_pruned(cursor: Any, raw_of_runs: Mapping[int, int]) -> None:
    """Count the removed raw records of closed runs, in the transaction that removes them."""
    cursor.execute(
        "UPDATE etl_runs SET pruned_raw = pruned_raw + gone.count"
        " FROM unnest(%s::bigint[], %s::bigint[]) AS gone (run_id, count) WHERE etl_runs.id = gone.run_id",
        [list(raw_of_runs), list(raw_of_runs.values())],
    )


def remove_events(ids: Collection[int]) -> int:
    """Remove these events. Returns their number."""
    with bounded_transaction():
        removed, _ = RunEvent.objects.filter(pk__in=ids).delete()
        return removed


def remove_alerts(before: datetime, sources: Collection[str]) -> Counter[str]:
    """Remove the alerts written before that time, except those that wait. Returns their number by source."""
    with bounded_transaction():
        found = dict(_find_old(before, sources).values_list("pk", "source")[:MOST_ALERTS])
        Alert.objects.filter(pk__in=found).delete()
        return Counter(found.values())


def count_alerts(before: datetime, sources: Collection[str]) -> Counter[str]:
    """Return the number of alerts that `remove_alerts` would remove, by source."""
    return Counter(_find_old(before, sources).values_list("source", flat=True))


def _find_old(before: datetime, sources: Collection[str]) -> QuerySet[Alert]:
    old = Alert.objects.filter(created_at__lt=before, source__in=sources)
    return old.exclude(state=AlertState.WAITING).order_by("pk")


def remove_closed(ids: Collection[int]) -> tuple[int, int, int]:
    """Remove closed runs that have no raw records left. Returns the numbers of runs, events and `new` records.

    Deletes them through the model, so that rows referring to a run are deleted or unlinked as models/ says.
    """
    going = Run.objects.select_for_update().filter(pk__in=ids, status__in=CLOSED_STATUSES).order_by("pk")
    counts = dict(going.filter(pruned_raw=F("versions")).values_list("pk", "new"))
    _, removed = Run.objects.filter(pk__in=counts).delete()
    events = removed.get(RunEvent._meta.label, 0)
    return len(counts), events, sum(counts.values())
