"""Removes rows that are no longer needed: superseded raw records, settled refusals, old events and old runs.

Works in small transactions, each complete in itself: however a pass ends, `verify` finds no problem and the next pass
continues. Rows that a batch may need are removed while the source's checkpoint is locked, for one such transaction at
a time. No epoch is raised.
"""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q

from etl.clock import read_clock
from etl.conf import conf
from etl.database import connection
from etl.fence.counts import count_pruned
from etl.fence.locking import PATIENT_ATTEMPTS, CheckpointLocked, lock_checkpoint
from etl.models import Checkpoint, Run, RunEvent
from etl.reports.known_sources import list_known
from etl.runs import pruning as run_removal
from etl.runs import schedule
from etl.runs.announcements import REFLECTS_SOURCE
from etl.sources.registry import find_source
from etl.storage import files
from etl.storage import pruning as removal
from etl.storage.pruning import QUARANTINE, RAW_TABLES, Limits
from etl.storage.transactions import bounded_transaction, retry_transient
from etl.supervision import shutdown
from etl.vocabulary import Status

logger = logging.getLogger(__name__)

BATCH = 5000
"""Number of rows that one transaction examines: few enough to remove in a fraction of a second."""

RUNS, EVENTS, ALERTS, FILES = "etl_runs", "etl_run_events", "etl_alerts", "etl_files"

_FIND_EVENTS = """
    WITH page AS MATERIALIZED (
        SELECT id, run_id, created_at FROM etl_run_events WHERE id > %(after_id)s ORDER BY id LIMIT %(most)s
    )
    SELECT max(id), NULL, bool_or(created_at < %(before)s) FROM page
    UNION ALL SELECT page.id, source, NULL FROM page JOIN etl_runs AS run ON run.id = page.run_id
    WHERE page.created_at < %(before)s AND run.finished_at IS NOT NULL AND source = ANY(%(sources)s)
"""
_COUNT_REFUSED = "SELECT run_id, count(*) FROM etl_quarantine WHERE source = ANY(%s) GROUP BY run_id"
_LEFT_OF_RUN = F("versions") - F("pruned_raw")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Rows are removed if they are older than a number of days (None: never) and not among the newest to keep.

    The lowest age is one day. By then, every process has noticed that its run was closed from outside.
    """

    raw_days: int | None = None
    keep_versions: int = 1
    quarantine_days: int | None = None
    events_days: int | None = None
    runs_days: int | None = None
    keep_runs: int = 1

    @property
    def is_empty(self) -> bool:
        days = (self.raw_days, self.quarantine_days, self.events_days, self.runs_days)
        return all(number is None for number in days)


@dataclass(slots=True)
class Pruned:
    """Number of rows removed, or to be removed, by table and source. `left`: the sources left unfinished, and why."""

    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    left: dict[str, str] = field(default_factory=dict)
    is_through: bool = True


def read_policy() -> Policy:
    """Return the policy that the settings ETL_PRUNE_* define."""
    return Policy(
        raw_days=conf.ETL_PRUNE_RAW_DAYS,
        keep_versions=conf.ETL_PRUNE_KEEP_VERSIONS,
        quarantine_days=conf.ETL_PRUNE_QUARANTINE_DAYS,
        events_days=conf.ETL_PRUNE_EVENTS_DAYS,
        runs_days=conf.ETL_PRUNE_RUNS_DAYS,
        keep_runs=conf.ETL_PRUNE_KEEP_RUNS,
    )


def prune_in_task() -> None:
    """Prune by the settings until everything is removed, the task's time is up, or the worker is to stop."""
    ends_at = time.monotonic() + conf.ETL_TASK_SECONDS
    prune(read_policy(), should_stop=lambda: shutdown.has_begun() or time.monotonic() > ends_at)


def prune(
    policy: Policy,
    *,
    sources: Sequence[str] | None = None,
    batch: int = BATCH,
    is_dry_run: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Pruned:
    """Remove the rows that the policy selects, of these sources or all. A dry run only counts, and takes no lock."""
    sources = sources if sources is not None else list_known()
    pruning = _Pruning(sources, batch, is_dry_run=is_dry_run, should_stop=should_stop)
    now = read_clock()
    steps: tuple[tuple[int | None, Callable[[datetime], None]], ...] = (
        (policy.quarantine_days, pruning.prune_quarantine),
        (policy.raw_days, lambda before: pruning.prune_raw(before, policy.keep_versions)),
        (policy.events_days, pruning.prune_events),
        (policy.events_days, pruning.prune_alerts),
        (policy.runs_days, lambda before: pruning.prune_runs(before, policy.keep_runs)),
        (policy.runs_days, pruning.prune_files),
    )
    for days, step in steps:
        if days is not None:
            step(now - timedelta(days=days))
    pruned = pruning.pruned
    counts = ", ".join(f"{count} of {table} ({source})" for (table, source), count in sorted(pruned.rows.items()))
    if not is_dry_run:
        logger.info("Pruned: %s", counts or "nothing")
    return pruned


class _Pruning:
    """One pass. A dry run remembers the rows that earlier steps would have removed, for the later steps."""

    def __init__(
        self, sources: Sequence[str], batch: int, *, is_dry_run: bool, should_stop: Callable[[], bool]
    ) -> None:
        self.sources, self.batch, self.is_dry_run, self.should_stop = sources, batch, is_dry_run, should_stop
        self.pruned = Pruned()
        self.foreseen_refusals: set[int] = set()
        self.foreseen_of_run: dict[str, Counter[int]] = defaultdict(Counter)
        self.events_before: datetime | None = None

    def prune_quarantine(self, before: datetime) -> None:
        self._prune_table(QUARANTINE, Limits(self.sources, before))

    def prune_raw(self, before: datetime, keep: int) -> None:
        # If there are no more raw than unified records, none is superseded and no table needs to be scanned.
        grown = Checkpoint.objects.filter(source__in=self.sources, raw_count__gt=F("record_count") + F("removed_count"))
        sources = list(grown.values_list("source", flat=True))
        for table in RAW_TABLES if sources else ():
            self._prune_table(table, Limits(sources, before, keep, self.foreseen_refusals))

    def prune_events(self, before: datetime) -> None:
        self.events_before, after_id, has_older = before, 0, True
        while has_older and not self._stops():
            found, after_id, has_older = self._find_events(before, after_id)
            for source, ids in found.items():
                if self.is_dry_run:
                    self.pruned.rows[EVENTS, source] += len(ids)
                else:
                    self.pruned.rows[EVENTS, source] += _remove_events(ids)

    def prune_alerts(self, before: datetime) -> None:
        """Remove old alerts; there are few, so a dry run counts them all at once."""
        if self.is_dry_run:
            found = run_removal.count_alerts(before, self.sources)
            self.pruned.rows.update({(ALERTS, source): number for source, number in found.items()})
            return
        while not self._stops() and (removed := run_removal.remove_alerts(before, self.sources)):
            self.pruned.rows.update({(ALERTS, source): number for source, number in removed.items()})

    def prune_runs(self, before: datetime, keep: int) -> None:
        refused = self._count_refused()
        for source in self.sources:
            kept = _list_kept_runs(source, keep)
            for page in self._list_pages(source, before):
                ids = [
                    run_id
                    for run_id, left in page
                    if run_id not in kept and left == self.foreseen_of_run["raw"][run_id] and not refused[run_id]
                ]
                if ids and not self._remove_runs(source, ids):
                    break

    def prune_files(self, before: datetime) -> None:
        """Forget files that have been gone since before this time; there are few rows, one for each file."""
        gone = files.count_gone(self.sources, before)
        self.pruned.rows.update({(FILES, source): number for source, number in gone.items()})
        if gone and not self.is_dry_run:
            with bounded_transaction(durable=True) as cursor:
                files.forget_gone(cursor, self.sources, before)

    def _prune_table(self, table: str, limits: Limits) -> None:
        after_id: int | None = 0
        while after_id is not None and not self._stops():
            with bounded_transaction() as cursor:  # only for its plans
                found = removal.find(cursor, table, limits, after_id=after_id, most=self.batch)
            after_id = found.end
            for source, rows in found.rows.items():
                if self.is_dry_run:
                    self._foresee(table, source, rows)
                elif source not in self.pruned.left:
                    self._remove(table, limits, source, rows)

    def _foresee(self, table: str, source: str, rows: dict[int, int]) -> None:
        self.pruned.rows[table, source] += len(rows)
        if table == QUARANTINE:
            self.foreseen_refusals.update(rows)
        self.foreseen_of_run[QUARANTINE if table == QUARANTINE else "raw"].update(rows.values())

    def _remove(self, table: str, limits: Limits, source: str, rows: Collection[int]) -> None:
        with self._noting_a_locked_checkpoint(source):
            for attempt in retry_transient(time.sleep):
                with attempt:
                    removed = _remove_rows(table, limits, source, rows)
            self.pruned.rows[table, source] += removed

    def _find_events(self, before: datetime, after_id: int) -> tuple[dict[str, list[int]], int, bool]:
        """Return the next page's events to remove by source, the page's last id, and whether any event is old enough.

        Ids and times grow together: after a page without an old event, no later page has one.
        """
        values: dict[str, Any] = {
            "after_id": after_id,
            "most": self.batch,
            "before": before,
            "sources": list(self.sources),
        }
        with bounded_transaction() as cursor:
            cursor.execute(_FIND_EVENTS, values)
            (end, _, has_older), *rows = sorted(cursor.fetchall(), key=lambda row: row[1] is not None)
        found: dict[str, list[int]] = defaultdict(list)
        for event_id, source, _ in rows:
            found[source].append(event_id)
        return found, end or after_id, bool(has_older)

    def _count_refused(self) -> Counter[int]:
        """Count the refused records that each run still has. Once is enough: a closed run gains no refused records."""
        with connection.cursor() as cursor:
            cursor.execute(_COUNT_REFUSED, [list(self.sources)])
            return Counter(dict(cursor.fetchall())) - self.foreseen_of_run[QUARANTINE]

    def _list_pages(self, source: str, before: datetime) -> Iterator[list[tuple[int, int]]]:
        """Yield the source's runs closed before that time, oldest first, each with its number of raw records left."""
        old = Run.objects.filter(source=source, finished_at__lt=before).order_by("finished_at", "pk")
        rest = Q()
        while not self._stops():
            page = list(old.filter(rest).values_list("pk", "finished_at", _LEFT_OF_RUN)[: self.batch])
            if not page:
                return
            yield [(run_id, left) for run_id, _, left in page]
            last_id, last_time, _ = page[-1]
            rest = Q(finished_at__gt=last_time) | Q(finished_at=last_time, pk__gt=last_id)

    def _remove_runs(self, source: str, ids: Sequence[int]) -> bool:
        """Remove the runs with their events and keys. Returns False if the source's checkpoint stays locked."""
        if self.is_dry_run:
            events = RunEvent.objects.filter(run_id__in=ids)
            if self.events_before is not None:
                events = events.filter(created_at__gte=self.events_before)
            self.pruned.rows.update({(RUNS, source): len(ids), (EVENTS, source): events.count()})
            return True
        with self._noting_a_locked_checkpoint(source):
            for attempt in retry_transient(time.sleep):
                with attempt:
                    removed = _remove_closed(source, ids)
            self.pruned.rows.update({(RUNS, source): removed[0], (EVENTS, source): removed[1]})
        return source not in self.pruned.left

    @contextmanager
    def _noting_a_locked_checkpoint(self, source: str) -> Iterator[None]:
        """Skip the rest of a source if a batch keeps its checkpoint locked for half a minute."""
        try:
            yield
        except CheckpointLocked as error:
            self.pruned.left[source] = str(error)
            logger.warning("%s was not pruned completely: %s", source, error)

    def _stops(self) -> bool:
        if self.should_stop():
            self.pruned.is_through = False
        return not self.pruned.is_through


def _list_kept_runs(source: str, keep: int) -> set[int]:
    """Return the runs to keep regardless of age: the newest, those that give the standing, and the last scheduled one.

    Without the run for the latest due instant, the sweeper would queue one for that instant again.
    """
    closed = Run.objects.filter(source=source, finished_at__isnull=False).order_by("-finished_at")
    succeeded = Q(status__in=(Status.SUCCESS, Status.PARTIAL))
    conditions = (Q(seen__gt=0), succeeded, succeeded & REFLECTS_SOURCE, REFLECTS_SOURCE)
    kept = set(closed.values_list("pk", flat=True)[: max(keep, 1)])
    for condition in conditions:
        kept.update(closed.filter(condition).values_list("pk", flat=True)[:1])
    found = find_source(source)
    due = schedule.find_due(found, read_clock()) if found is not None else None
    if due is not None:
        kept.update(Run.objects.filter(Q(key=due.key) | Q(further_keys__key=due.key)).values_list("pk", flat=True))
    return kept


def _remove_events(ids: Sequence[int]) -> int:
    for attempt in retry_transient(time.sleep):
        with attempt:
            removed = run_removal.remove_events(ids)
    return removed


def _remove_rows(table: str, limits: Limits, source: str, rows: Collection[int]) -> int:
    with lock_checkpoint(source, attempts=PATIENT_ATTEMPTS) as cursor:
        of_runs = removal.remove(cursor, table, limits, source, rows)
        if table != QUARANTINE and of_runs:
            run_removal.count_pruned(cursor, of_runs)
            count_pruned(cursor, source, raw=of_runs.total())
        return of_runs.total()


def _remove_closed(source: str, ids: Sequence[int]) -> tuple[int, int]:
    """Remove the runs. Returns how many runs and how many events were removed."""
    with lock_checkpoint(source, attempts=PATIENT_ATTEMPTS) as cursor:
        count, events, new = run_removal.remove_closed(ids)
        count_pruned(cursor, source, new=new)
        return count, events
