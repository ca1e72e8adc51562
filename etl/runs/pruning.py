"""Runs and their events taken out again, for pruning. A run goes only once none of its raw records is left."""

from collections.abc import Collection, Mapping
from typing import Any

from django.db.models import F

from etl.models import Run, RunEvent
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import Status

CLOSED = (Status.SUCCESS, Status.PARTIAL, Status.FAILED)


def count_pruned(cursor: Any, raw_of_runs: Mapping[int, int]) -> None:
    """Note with closed runs how many of their raw records go, in the transaction that removes them."""
    cursor.execute(
        "UPDATE etl_runs SET pruned_raw = pruned_raw + gone.count"
        " FROM unnest(%s::bigint[], %s::bigint[]) AS gone (run_id, count) WHERE etl_runs.id = gone.run_id",
        [list(raw_of_runs), list(raw_of_runs.values())],
    )


def remove_events(ids: Collection[int]) -> int:
    """Remove these events; how many there were."""
    with bounded_transaction():
        removed, _ = RunEvent.objects.filter(pk__in=ids).delete()
        return removed


def remove_closed(ids: Collection[int]) -> tuple[int, int, int]:
    """Remove closed runs that have no raw records left; how many, how many of their events, and their `new` records.

    By their model: what refers to a run goes or lets go of it as models/ says.
    """
    going = Run.objects.select_for_update().filter(pk__in=ids, status__in=CLOSED).order_by("pk")
    counts = dict(going.filter(pruned_raw=F("new") + F("updated")).values_list("pk", "new"))
    _, removed = Run.objects.filter(pk__in=counts).delete()
    events = removed.get(RunEvent._meta.label, 0)  # noqa: SLF001  (the name that delete() uses)
    return len(counts), events, sum(counts.values())
