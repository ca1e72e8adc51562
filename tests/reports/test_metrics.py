"""A scrape by Prometheus gives the numbers of the database, from the first scrape on and from any process."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.backends.postgresql.base import DatabaseWrapper
from django.test.utils import CaptureQueriesContext
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.openmetrics import exposition, parser
from prometheus_client.parser import text_string_to_metric_families

from etl.models import Checkpoint, Run, SchemaSnapshot
from etl.reports.metrics import PipelineCollector
from etl.runs import orders
from etl.supervision import liveness
from etl.vocabulary import DURATION_BOUNDS, Trigger
from tests.listed_source import Listed, fetch, ingest_here, make_item
from tests.processes import Project
from tests.storage.test_totals import HAPPENINGS, drift, fail, make_closed, refuse_some, retry, succeed

pytestmark = pytest.mark.django_db(transaction=True)

COUNTERS = ("etl_runs", "etl_failures", "etl_records", "etl_retries", "etl_schema_changes")
GAUGES = (
    *("etl_up", "etl_quarantine_open", "etl_last_success_timestamp_seconds", "etl_checkpoint_age_seconds"),
    *("etl_runs_due", "etl_workers", "etl_beat_up", "etl_source_standing", "etl_source_lag_seconds"),
    *("etl_alerts_given_up", "etl_quarantine_waiting", "etl_quarantine_waiting_since_timestamp_seconds"),
)
NOT_OF_A_SOURCE: dict[str, set[str | None]] = {
    **{name: {None} for name in ("etl_up", "etl_workers", "etl_beat_up", "etl_alerts_given_up")},
    "etl_failures": set(),
}
Sample = tuple[str, frozenset[tuple[str, str]]]


class Ordered(Listed):
    """A source found through ETL_SOURCES."""


@pytest.fixture(autouse=True)
def sources(settings: Any) -> None:
    settings.ETL_SOURCES = ["tests.reports.test_metrics.Ordered"]


def expose() -> str:
    registry = CollectorRegistry()
    registry.register(PipelineCollector())
    return generate_latest(registry).decode()


def scrape(text: str | None = None) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text or expose())}


def read_samples(families: dict[str, Metric]) -> dict[Sample, float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families.values()
        for sample in family.samples
    }


def find(name: str, **labels: str) -> float:
    return read_samples(scrape())[name, frozenset({"source": "listed", **labels}.items())]


def is_of_the_moment(sample: Sample) -> bool:
    """Whether it depends on the time, or on the runs that are stored now."""
    return "age" in sample[0] or sample[0].startswith("etl_source_")


def ask(question: str) -> dict[tuple[Any, ...], float]:
    return {tuple(labels): float(value) for *labels, value in fetch(question)}


def read_family(name: str, *labels: str) -> dict[tuple[Any, ...], float]:
    """Return the family's samples that are not 0, by the values of these labels."""
    return {
        tuple(sample.labels[label] for label in labels): sample.value
        for sample in scrape()[name].samples
        if sample.value
    }


def test_each_family_has_its_type_and_every_source_from_the_beginning() -> None:
    families = scrape()
    assert {name: family.type for name, family in families.items()} == (
        dict.fromkeys(COUNTERS, "counter") | dict.fromkeys(GAUGES, "gauge") | {"etl_duration_seconds": "histogram"}
    )
    for name, family in families.items():
        sources = {sample.labels.get("source") for sample in family.samples}
        assert sources == NOT_OF_A_SOURCE.get(name, {"listed"})
    samples = read_samples(families).items()
    zeros = {value for (name, _), value in samples if name not in ("etl_up", "etl_source_standing")}
    assert {value for value in zeros if not math.isnan(value)} == {0.0}
    assert math.isnan(find("etl_checkpoint_age_seconds"))
    assert read_family("etl_source_standing", "standing") == {("never run",): 1}


@pytest.mark.parametrize("happen", HAPPENINGS, ids=lambda happen: happen.__name__)
def test_a_scrape_matches_the_database(happen: Callable[[], None]) -> None:
    happen()
    closed = "FROM etl_runs WHERE finished_at IS NOT NULL"
    assert read_family("etl_runs", "source", "status") == ask(f"SELECT source, status, count(*) {closed} GROUP BY 1, 2")
    failures = ask(f"SELECT source, reason, count(*) {closed} AND status = 'failed' GROUP BY 1, 2")
    assert read_family("etl_failures", "source", "reason") == failures
    assert read_family("etl_records", "source", "outcome") == ask(
        "SELECT source, outcome, sum(number) FROM etl_runs, LATERAL (VALUES ('new', etl_runs.new),"
        " ('updated', updated), ('unchanged', unchanged), ('duplicate', duplicate), ('quarantined', quarantined))"
        " AS counters (outcome, number) GROUP BY 1, 2 HAVING sum(number) <> 0"
    )
    assert read_family("etl_retries", "source") == ask(
        "SELECT source, count(*) FROM etl_run_events JOIN etl_runs ON etl_runs.id = run_id WHERE kind = 'retry'"
        " GROUP BY source"
    )
    assert read_family("etl_schema_changes", "source") == ask("SELECT source, count(*) FROM schema_changes GROUP BY 1")
    assert read_family("etl_quarantine_open", "source") == ask("SELECT source, count(*) FROM etl_quarantine GROUP BY 1")
    assert read_family("etl_last_success_timestamp_seconds", "source") == ask(
        f"SELECT source, max(extract(epoch FROM finished_at)) {closed} AND status <> 'failed' GROUP BY 1"
    )
    assert read_family("etl_runs_due", "source") == ask(
        "SELECT source, count(*) FROM etl_runs WHERE status = 'queued' GROUP BY 1"
    )


def test_durations_are_a_cumulative_histogram() -> None:
    for number, seconds in enumerate(("0.05", "0.1", "4", "4000")):
        Run.objects.create(**make_closed(str(number), seconds))
    buckets = [
        (sample.labels["le"], sample.value)
        for sample in scrape()["etl_duration_seconds"].samples
        if sample.name == "etl_duration_seconds_bucket"
    ]
    assert [float(bound) for bound, _ in buckets] == [float(bound) for bound in DURATION_BOUNDS]
    assert [value for _, value in buckets] == [2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 4]
    assert find("etl_duration_seconds_count") == 4
    assert find("etl_duration_seconds_sum") == pytest.approx(4004.15)


def test_the_openmetrics_format_can_be_parsed_too() -> None:
    refuse_some()
    registry = CollectorRegistry()
    registry.register(PipelineCollector())
    text = exposition.generate_latest(registry).decode()
    families = parser.text_string_to_metric_families(text)
    assert {"etl_runs", "etl_duration_seconds"} <= {family.name for family in families}


def test_a_run_becomes_due_at_its_time() -> None:
    orders.queue("listed", key="k", trigger=Trigger.API, by="a test")
    assert find("etl_runs_due") == 1
    Run.objects.update(not_before="2999-01-01T00:00:00Z")
    assert find("etl_runs_due") == 0
    Run.objects.update(not_before="2020-01-01T00:00:00Z")
    assert find("etl_runs_due") == 1


def test_the_age_of_a_checkpoint_follows_the_databases_clock() -> None:
    succeed()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ingestion_checkpoints SET updated_at = clock_timestamp() - interval '100 seconds'")
    assert 100 <= find("etl_checkpoint_age_seconds") < 160


def test_no_counter_falls_when_runs_are_pruned() -> None:
    for happen in (drift, refuse_some, fail, retry):
        happen()
    before = {key: value for key, value in read_samples(scrape()).items() if not is_of_the_moment(key)}
    Checkpoint.objects.update(owner_run=None)
    Run.objects.all().delete()
    SchemaSnapshot.objects.all().delete()
    after = read_samples(scrape())
    assert {key: after[key] for key in before} == before


def test_unknown_labels_become_other() -> None:
    for number, reason in enumerate(("odd", "odder", "timed_out")):
        Run.objects.create(**make_closed(f"k{number}", status="failed", reason=reason))
    assert read_family("etl_failures", "reason") == {("other",): 2, ("timed_out",): 1}


def test_a_scrape_is_five_statements() -> None:
    ingest_here(Listed([make_item(1)]))
    with CaptureQueriesContext(connection) as queries:
        expose()
    assert len(queries) == 5


def test_workers_and_beat_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "find_alive", lambda: liveness.Alive([("celery@a", 1.0), ("celery@b", 2.0)], 3.0))
    samples = read_samples(scrape())
    assert (samples["etl_workers", frozenset()], samples["etl_beat_up", frozenset()]) == (2, 1)


def test_without_redis_workers_and_beat_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "find_alive", lambda: None)
    samples = read_samples(scrape())
    assert samples["etl_up", frozenset()] == 1
    assert math.isnan(samples["etl_workers", frozenset()])
    assert math.isnan(samples["etl_beat_up", frozenset()])


def test_registering_does_not_scrape() -> None:
    with CaptureQueriesContext(connection) as queries:
        CollectorRegistry().register(PipelineCollector())
    assert len(queries) == 0


def test_without_a_database_a_scrape_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, values: Any) -> None:
        raise OperationalError("connection refused")

    connection.close()
    with monkeypatch.context() as patch:
        patch.setattr(DatabaseWrapper, "get_new_connection", refuse)
        samples = read_samples(scrape())
    assert samples == {("etl_up", frozenset()): 0.0}
    assert read_samples(scrape())["etl_up", frozenset()] == 1.0


def test_another_process_exposes_the_same(project: Project) -> None:
    for happen in (drift, refuse_some, fail):
        happen()
    code = "from tests.reports.test_metrics import expose; print('#', flush=True); print(expose())"
    done = project.run("shell", "--no-imports", "-c", code, ETL_SOURCES="tests.reports.test_metrics.Ordered")
    here, there = read_samples(scrape()), read_samples(scrape(done.stdout))
    assert {key: there[key] for key in here if not is_of_the_moment(key)} == {
        key: value for key, value in here.items() if not is_of_the_moment(key)
    }
