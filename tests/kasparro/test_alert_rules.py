"""Each rule of deploy/alerts.yml fires when its trouble comes, and stops when it goes, on real scrapes."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.apps import apps
from django.core.cache import cache
from django.db import OperationalError, connection
from django.db.backends.postgresql.base import DatabaseWrapper
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from api.access.groups import make_groups
from etl.models import Alert, Checkpoint, JudgedRead, QuarantinedRecord, Run
from etl.runs import orders
from etl.supervision import liveness
from etl.supervision.liveness import Alive
from etl.vocabulary import Trigger
from tests.api.people import make_token
from tests.kasparro.promql import History, Samples, Vector, evaluate, parse_seconds
from tests.processes import ROOT
from tests.runs import test_standings as standings
from tests.storage.test_totals import drift

pytestmark = pytest.mark.django_db(transaction=True)
RULES = [
    rule for group in yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())["groups"] for rule in group["rules"]
]
MINUTE = 60
ALIVE = Alive([("celery@a", 1.0)], 3.0)


class Prometheus:
    """Scrapes /metrics and evaluates the rules each minute of a clock of its own."""

    def __init__(self) -> None:
        self.now, self.history = time.time(), History()
        self.since: dict[str, float] = {}
        self.firing: set[str] = set()

    def watch(self, minutes: int, *, is_scraping: bool = True) -> set[str]:
        """Let minutes pass in which the metrics stay as they are now. Returns the alerts that fire then."""
        samples = scrape() if is_scraping else None
        for _ in range(minutes):
            self.now += MINUTE
            if samples is not None:
                self.history.scrapes.append((self.now, samples))
            self._evaluate()
        return self.firing

    def _evaluate(self) -> None:
        self.firing = set()
        for rule in RULES:
            name = rule["alert"]
            if not evaluate(rule["expr"], self.history, self.now):
                self.since.pop(name, None)
            elif self.now - self.since.setdefault(name, self.now) >= parse_seconds(rule.get("for", "0s")):
                self.firing.add(name)


def scrape() -> Samples:
    text = Client(SERVER_NAME="localhost").get("/metrics").content.decode()
    samples: dict[str, Vector] = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples[sample.name][frozenset(sample.labels.items())] = sample.value
    return samples


@pytest.fixture(autouse=True)
def everything_is_well(settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings.STATIC_ROOT = str(tmp_path)  # whitenoise warns if the folder does not exist
    settings.ETL_SOURCES = ["tests.runs.test_standings.Hourly"]
    settings.METRICS_ACCESS = "private"
    cache.clear()
    monkeypatch.setattr(liveness, "find_alive", lambda: ALIVE)
    standings.close(hours_ago=1)
    Checkpoint.objects.create(source="listed")


@pytest.fixture
def prometheus() -> Prometheus:
    prometheus = Prometheus()
    assert prometheus.watch(90) == set()
    return prometheus


def fail() -> None:
    standings.close("failed", reason="source_unreachable")


def queue() -> None:
    orders.queue("listed", key="k", trigger=Trigger.API, by="a test")


def cancel() -> None:
    Run.objects.filter(status="queued").update(status="failed", reason="cancelled", finished_at="2026-01-01T00:00:00Z")


def hold() -> None:
    standings.judge("held")


def accept() -> None:
    JudgedRead.objects.update(outcome="accepted")


def be_late() -> None:
    Run.objects.all().delete()
    standings.set_up_schedule(hours_ago=5)


def refuse(count: int = 3) -> None:
    Checkpoint.objects.update(open_quarantine_count=count)


def wait_for_a_row() -> None:
    QuarantinedRecord.objects.create(
        source="listed",
        run=Run.objects.latest("pk"),
        code="parent_missing",
        position=1,
        line=1,
        awaits="[]",
        original=b"",
        original_length=0,
        original_sha256=b"",
    )


def land() -> None:
    QuarantinedRecord.objects.update(status="replayed")


def give_an_alert_up() -> None:
    Alert.objects.create(source="listed", kind="failing", standing="failing", subject="", text="", state="given_up")


def nothing() -> None:
    pass


STORIES: list[tuple[str, Callable[[], object], int, Callable[[], object], int]] = [
    ("RunsWait", queue, 32, cancel, 1),
    ("SourceFailing", fail, 6, standings.close, 1),
    ("SourceLate", be_late, 6, standings.close, 1),
    ("VerdictWaits", hold, 16, accept, 1),
    ("RecordsRefused", refuse, 62, lambda: refuse(0), 1),
    ("QuarantineGrows", lambda: refuse(30), 1, nothing, 361),
    ("RecordsWait", wait_for_a_row, 361, land, 1),
    ("SchemaChanged", drift, 1, nothing, 61),
    ("AlertsUndelivered", give_an_alert_up, 1, nothing, 361),
]
"""Alert, what brings it up, after how many minutes, what brings it down, after how many."""


@pytest.mark.parametrize(("alert", "rise", "up", "fall", "down"), STORIES, ids=[story[0] for story in STORIES])
def test_a_rule_on_the_pipeline_fires_and_stops(
    prometheus: Prometheus, alert: str, rise: Callable[[], object], up: int, fall: Callable[[], object], down: int
) -> None:
    rise()
    assert alert in prometheus.watch(up)
    fall()
    assert alert not in prometheus.watch(down)


def test_runs_that_fail_every_other_time_fire_and_stopped_ones_do_not(prometheus: Prometheus) -> None:
    for reason in ("cancelled", "released", "interrupted"):
        for _ in range(4):
            standings.close("failed", reason=reason)
            prometheus.watch(1)
    assert "RunsFail" not in prometheus.firing
    for _ in range(4):
        fail()
        prometheus.watch(1)
        standings.close()
        prometheus.watch(1)
    assert prometheus.firing == {"RunsFail"}
    assert prometheus.watch(61) == set()


def test_a_source_that_is_paused_fires_nothing(prometheus: Prometheus) -> None:
    standings.be_paused_while_it_failed_and_was_due()
    assert prometheus.watch(120) == set()


@pytest.mark.parametrize(
    ("alert", "alive"),
    [("NoWorker", Alive([], 3.0)), ("NoBeat", Alive([("celery@a", 1.0)], None)), ("RedisUnreachable", None)],
)
def test_a_rule_on_the_processes_fires_and_stops(
    prometheus: Prometheus, alert: str, alive: Alive | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "find_alive", lambda: alive)
    assert alert in prometheus.watch(6)
    monkeypatch.setattr(liveness, "find_alive", lambda: ALIVE)
    assert prometheus.watch(1) == set()


def test_a_scrape_that_fails_fires_and_stops(prometheus: Prometheus) -> None:
    assert "NotScraped" in prometheus.watch(11, is_scraping=False)
    assert prometheus.watch(1) == set()


def test_an_unreadable_database_fires_and_stops(prometheus: Prometheus, no_database: Any) -> None:
    with no_database():
        assert prometheus.watch(3) == {"PipelineUnreadable"}
    assert prometheus.watch(1) == set()


def test_errors_of_the_web_process_fire_and_stop(prometheus: Prometheus, no_database: Any) -> None:
    make_groups(apps)
    client = Client(SERVER_NAME="localhost", headers={"Authorization": f"Token {make_token()}"})
    for _ in range(20):
        with no_database():
            assert client.get("/data").status_code == 503
        prometheus.watch(1)
    assert "WebErrors" in prometheus.firing
    for _ in range(7):
        client.get("/health/live")
        prometheus.watch(1)
    assert prometheus.firing == set()


@pytest.fixture
def no_database(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    def refuse_connection(self: Any, values: Any) -> None:
        raise OperationalError("connection refused")

    @contextmanager
    def without() -> Iterator[None]:
        connection.close()
        with monkeypatch.context() as patch:
            patch.setattr(DatabaseWrapper, "get_new_connection", refuse_connection)
            yield

    return without


def test_each_rule_is_driven() -> None:
    driven = {story[0] for story in STORIES} | {"RunsFail", "NoWorker", "NoBeat", "RedisUnreachable"}
    assert {rule["alert"] for rule in RULES} == driven | {"NotScraped", "PipelineUnreadable", "WebErrors"}
