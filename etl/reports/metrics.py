"""The pipeline's metrics for Prometheus. They are read from the database at each scrape, so they cover all processes.

A view composes and exposes them; nothing is registered here.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import nan

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from etl.reports.statistics import Gauges, Total, read_gauges, read_totals
from etl.runs.standings import Found, find_standings
from etl.sources.registry import list_sources
from etl.storage.waiting import count_waiting
from etl.supervision import liveness
from etl.supervision.liveness import Alive
from etl.vocabulary import CLOSED_STATUSES, COUNTED_OUTCOMES, DURATION_BOUNDS, Reason, StandingWord, Status, TotalName

logger = logging.getLogger(__name__)

_LABELS: dict[TotalName, Sequence[str]] = {
    TotalName.RUNS: CLOSED_STATUSES,
    TotalName.FAILURES: tuple(Reason),
    TotalName.RECORDS: COUNTED_OUTCOMES,
    TotalName.DURATION: DURATION_BOUNDS,
}
OTHER = "other"
"""The label for values that are in no enum (after a downgrade), so that labels stay bounded."""


class PipelineCollector(Collector):
    """The families of the pipeline, or only `etl_up 0` if the database can't be read."""

    def describe(self) -> Iterable[Metric]:
        """Return nothing; otherwise registering would scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read everything in five statements and one request to Redis. Only waiting records are counted, by index."""
        up = GaugeMetricFamily("etl_up", "Whether the pipeline's database could be read.")
        try:
            gauges = read_gauges()
            families = [
                *_describe_pipeline(gauges, read_totals()),
                *_describe_standings(find_standings([gauge.source for gauge in gauges], list_sources())),
                *_describe_alive(liveness.find_alive()),
            ]
        except Exception as error:  # noqa: BLE001  (boundary: a scrape reports a failure, it does not fail)
            logger.warning("The pipeline's metrics can't be read: %s", type(error).__name__)
            families = []
        up.add_metric([], 1 if families else 0)
        yield up
        yield from families


@dataclass(frozen=True, slots=True)
class _Totals:
    """The totals by (source, name, label), and when each source's last successful or partial run finished."""

    values: dict[tuple[str, TotalName, str], Decimal]
    last_success: dict[str, float]

    def find(self, source: str, name: TotalName, label: str = "") -> float:
        return float(self.values.get((source, name, label), 0))


def _index(totals: Iterable[Total]) -> _Totals:
    values: dict[tuple[str, TotalName, str], Decimal] = defaultdict(Decimal)
    last_success: dict[str, float] = defaultdict(float)
    for total in totals:
        label = total.label if total.label in _LABELS.get(total.name, ("",)) else OTHER
        values[total.source, total.name, label] += total.value
        if total.name == TotalName.RUNS and label in (Status.SUCCESS, Status.PARTIAL) and total.latest is not None:
            last_success[total.source] = max(last_success[total.source], total.latest.timestamp())
    return _Totals(dict(values), dict(last_success))


def _describe_pipeline(gauges: Sequence[Gauges], rows: Iterable[Total]) -> Iterator[Metric]:
    totals = _index(rows)
    names = [gauge.source for gauge in gauges]
    yield _count(totals, names, TotalName.RUNS, "etl_runs", "Closed runs.", "status", CLOSED_STATUSES)
    yield _count_failures(totals)
    yield _count(
        totals,
        names,
        TotalName.RECORDS,
        "etl_records",
        "Records by outcome; all but removed ones were seen.",
        "outcome",
        COUNTED_OUTCOMES,
    )
    yield _measure_durations(totals, names)
    yield _count(totals, names, TotalName.RETRIES, "etl_retries", "Requests sent again.")
    yield _count(totals, names, TotalName.SCHEMA_CHANGES, "etl_schema_changes", "Changes of a source's shape.")
    yield _gauge("etl_quarantine_open", "Open refused records.", [(g.source, g.open_quarantine) for g in gauges])
    yield from _describe_waiting(names)
    yield _gauge(
        "etl_last_success_timestamp_seconds",
        "When the last successful or partial run finished; 0 for never.",
        [(name, totals.last_success.get(name, 0)) for name in names],
    )
    yield _gauge(
        "etl_checkpoint_age_seconds",
        "Seconds since the checkpoint was updated; NaN if there is no checkpoint.",
        [(g.source, nan if g.checkpoint_age_s is None else g.checkpoint_age_s) for g in gauges],
    )
    yield _gauge("etl_runs_due", "Queued runs that are due.", [(g.source, g.due_runs) for g in gauges])
    given_up = max((gauge.given_up_alerts for gauge in gauges), default=0)
    yield GaugeMetricFamily("etl_alerts_given_up", "Stored alerts that were not delivered for a day.", given_up)


def _describe_waiting(names: Sequence[str]) -> Iterator[Metric]:
    waiting = count_waiting(names)
    since = {name: found.since.timestamp() for name, found in waiting.items()}
    counts = [(name, waiting[name].count if name in waiting else 0) for name in names]
    yield _gauge("etl_quarantine_waiting", "Open refused records that only wait for a row.", counts)
    yield _gauge(
        "etl_quarantine_waiting_since_timestamp_seconds",
        "When the first record that still waits for a row was refused; 0 if none waits.",
        [(name, since.get(name, 0)) for name in names],
    )


def _describe_standings(found: Iterable[Found]) -> Iterator[Metric]:
    standing = GaugeMetricFamily(
        "etl_source_standing", "1 for the standing of the source, 0 for the others.", labels=["source", "standing"]
    )
    lag = GaugeMetricFamily(
        "etl_source_lag_seconds",
        "Seconds since the first due instant that was missed; NaN without a schedule that is on.",
        labels=["source"],
    )
    for each in found:
        for word in StandingWord:
            standing.add_metric([each.source, word], each.word == word)
        lag.add_metric([each.source], nan if each.lag_s is None else each.lag_s)
    yield from (standing, lag)


def _describe_alive(alive: Alive | None) -> Iterator[Metric]:
    workers, beat = (nan, nan) if alive is None else (len(alive.workers), alive.beat_age_s is not None)
    yield GaugeMetricFamily("etl_workers", "Workers that are alive; NaN without Redis.", workers)
    yield GaugeMetricFamily("etl_beat_up", "Whether a beat that sends the sweep is alive; NaN without Redis.", beat)


def _count(
    totals: _Totals,
    names: Sequence[str],
    total: TotalName,
    family: str,
    text: str,
    label: str = "",
    values: Sequence[str] = ("",),
) -> Metric:
    counter = CounterMetricFamily(family, text, labels=["source", label] if label else ["source"])
    for name in names:
        for value in values:
            counter.add_metric([name, value] if label else [name], totals.find(name, total, value))
    return counter


def _count_failures(totals: _Totals) -> Metric:
    counter = CounterMetricFamily("etl_failures", "Failed runs, by reasons seen so far.", labels=["source", "reason"])
    for (source, name, reason), value in sorted(totals.values.items()):
        if name == TotalName.FAILURES:
            counter.add_metric([source, reason], float(value))
    return counter


def _measure_durations(totals: _Totals, names: Sequence[str]) -> Metric:
    histogram = HistogramMetricFamily(
        "etl_duration_seconds", "Closed runs, from their first start to their end.", labels=["source"]
    )
    for name in names:
        buckets, runs = [], 0.0
        for bound in DURATION_BOUNDS:
            runs += totals.find(name, TotalName.DURATION, bound)
            buckets.append((bound, runs))
        histogram.add_metric([name], buckets, totals.find(name, TotalName.DURATION_SUM))
    return histogram


def _gauge(family: str, text: str, values: Iterable[tuple[str, float]]) -> Metric:
    gauge = GaugeMetricFamily(family, text, labels=["source"])
    for source, value in values:
        gauge.add_metric([source], value)
    return gauge
