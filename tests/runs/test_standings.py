"""The standing of a source: one table of cases on real rows, and the same word wherever a source is shown."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from prometheus_client.parser import text_string_to_metric_families

from api.access.groups import make_groups
from api.views import monitoring
from etl.clock import read_clock
from etl.models import AnnouncedStanding, Checkpoint, JudgedRead, Run
from etl.operations import sources as source_operations
from etl.reports.standing import Standing, read_standings
from etl.runs import schedule
from etl.runs.schedule import find_next_due, floor
from tests.admin.people import make_client
from tests.api.people import make_token
from tests.listed_source import Listed, fetch
from tests.processes import ROOT

pytestmark = pytest.mark.django_db(transaction=True)
HOUR = timedelta(hours=1)


class Hourly(Listed):
    """A source that is due every hour."""


@pytest.fixture(autouse=True)
def sources(settings: Any) -> None:
    settings.ETL_SOURCES = ["tests.runs.test_standings.Hourly"]


def close(status: str = "success", *, hours_ago: float = 0, **columns: Any) -> Run:
    """A run that was closed this many hours ago."""
    at = read_clock() - timedelta(hours=hours_ago)
    key = f"test:{Run.objects.count()}"
    times = {"created_at": at, "started_at": at, "finished_at": at}
    return Run.objects.create(
        **{"source": "listed", "key": key, "trigger": "api", "status": status, **times, **columns}
    )


def set_up_schedule(*, hours_ago: float = 0) -> None:
    """A schedule that was first seen this many hours ago."""
    schedule.make_missing_entry(Hourly())
    AnnouncedStanding.objects.update(scheduled_since=read_clock() - timedelta(hours=hours_ago))


def refuse() -> None:
    Checkpoint.objects.update_or_create(source="listed", defaults={"open_quarantine_count": 3})


def judge(outcome: str) -> None:
    run = close("partial")
    JudgedRead.objects.create(
        source="listed", number=7, run=run, content="", fingerprint="", is_proven=True, is_whole=True,
        is_complete=False, outcome=outcome, begun_at=timezone.now(),
    )  # fmt: skip
    Checkpoint.objects.update_or_create(source="listed", defaults={"judged_read": 7})


def have_run_well() -> None:
    close()


def have_an_accepted_read() -> None:
    judge("accepted")


def have_open_refusals() -> None:
    close("partial", reason="records_refused")
    refuse()


def have_a_verdict_that_waits() -> None:
    judge("held")
    refuse()


def have_content_that_is_too_old() -> None:
    judge("accepted")
    run = close("partial", reason="stale")
    Run.objects.filter(pk=run.pk).update(verdict=[{"gate": "stale", "message": "A test."}])


def have_a_read_that_failed_by_a_gate() -> None:
    judge("failed")


def have_failed_in_its_last_run() -> None:
    close(hours_ago=1)
    close("failed", reason="source_unreachable")


def have_failed_while_a_verdict_waits() -> None:
    judge("held")
    close("failed", reason="source_unreachable")


def have_been_cancelled_after_a_success() -> None:
    close(hours_ago=1)
    for reason in ("cancelled", "released", "interrupted"):
        close("failed", reason=reason)


def have_been_cancelled_after_a_failure() -> None:
    close("failed", reason="source_unreachable", hours_ago=1)
    close("failed", reason="cancelled")


def have_been_replayed_after_a_failure() -> None:
    close("failed", reason="source_unreachable", hours_ago=1)
    close(trigger="replay")


def have_failed_to_replay_after_a_success() -> None:
    close(hours_ago=1)
    close("failed", reason="read_open", trigger="replay")


def have_only_been_cancelled() -> None:
    close("failed", reason="cancelled")


def have_a_new_schedule() -> None:
    set_up_schedule()


def have_missed_instants_without_any_run() -> None:
    set_up_schedule(hours_ago=5)


def have_missed_instants_after_a_success() -> None:
    set_up_schedule(hours_ago=90)
    close(hours_ago=5)


def have_missed_instants_except_by_a_replay() -> None:
    set_up_schedule(hours_ago=90)
    close(hours_ago=5)
    close(trigger="replay")


def have_missed_instants_while_a_verdict_waits() -> None:
    set_up_schedule(hours_ago=90)
    judge("held")
    Run.objects.update(started_at=read_clock() - 5 * HOUR)


def have_failed_at_each_missed_instant() -> None:
    set_up_schedule(hours_ago=5)
    close("failed", reason="source_unreachable")


def be_paused_while_it_failed_and_was_due() -> None:
    have_failed_at_each_missed_instant()
    source_operations.pause("listed")


def be_resumed_after_a_long_pause() -> None:
    set_up_schedule(hours_ago=900)
    close(hours_ago=800)
    source_operations.pause("listed")
    source_operations.resume("listed")


CASES = [
    (lambda: None, "never run"),
    (have_only_been_cancelled, "never run"),
    (have_a_new_schedule, "never run"),
    (have_run_well, "fine"),
    (have_an_accepted_read, "fine"),
    (have_been_cancelled_after_a_success, "fine"),
    (have_failed_to_replay_after_a_success, "fine"),
    (be_resumed_after_a_long_pause, "fine"),
    (have_open_refusals, "refusing"),
    (have_a_verdict_that_waits, "held"),
    (have_content_that_is_too_old, "held"),
    (have_a_read_that_failed_by_a_gate, "failing"),
    (have_failed_in_its_last_run, "failing"),
    (have_failed_while_a_verdict_waits, "failing"),
    (have_been_cancelled_after_a_failure, "failing"),
    (have_been_replayed_after_a_failure, "failing"),
    (have_failed_at_each_missed_instant, "failing"),
    (have_missed_instants_without_any_run, "late"),
    (have_missed_instants_after_a_success, "late"),
    (have_missed_instants_except_by_a_replay, "late"),
    (have_missed_instants_while_a_verdict_waits, "late"),
    (be_paused_while_it_failed_and_was_due, "paused"),
]
NAMES = ["have_nothing", *(happen.__name__ for happen, _ in CASES[1:])]


def find() -> Standing:
    (standing,) = read_standings()
    return standing


@pytest.mark.parametrize(("happen", "word"), CASES, ids=NAMES)
def test_a_source_has_the_standing_of_its_case(happen: Callable[[], None], word: str) -> None:
    happen()
    assert find().word == word


def read_everywhere() -> dict[str, str]:
    """The word of the source in each place that shows one."""
    admin = make_client("superuser")
    api = Client(SERVER_NAME="localhost", headers={"Authorization": f"Token {make_token()}"})
    pages = {"home": "/admin/", "sources": "/admin/etl/checkpoint/", "page": "/admin/etl/checkpoint/listed/change/"}
    shown = {name: admin.get(address).content.decode() for name, address in pages.items()}
    found = {name: re.findall(r"etl-standing-[\w-]+\">([\w ]+)<", text) for name, text in shown.items()}
    (source,) = api.get("/api/v1/sources").json()["data"]
    (counted,) = api.get("/stats").json()["sources"]
    (checked,) = api.get("/health").json()["sources"]
    monitoring._probes.submit(connections.close_all).result()
    families = text_string_to_metric_families(api.get("/metrics").content.decode())
    samples = [sample for family in families if family.name == "etl_source_standing" for sample in family.samples]
    (metric,) = [sample.labels["standing"] for sample in samples if sample.value]
    return {**{name: word for name, (word,) in found.items()}} | {
        "/sources": source["standing"],
        "/stats": counted["standing"],
        "/health": checked["standing"],
        "/metrics": metric,
    }


@pytest.mark.parametrize(("happen", "word"), CASES[::2], ids=NAMES[::2])
def test_every_place_shows_the_same_word(happen: Callable[[], None], word: str, settings: Any, tmp_path: Any) -> None:
    make_groups(apps)
    settings.STATIC_ROOT = str(tmp_path)
    happen()
    assert set(read_everywhere().values()) == {word}


def test_the_lag_counts_from_the_first_missed_instant_without_a_ceiling() -> None:
    set_up_schedule(hours_ago=2000)
    served = close(hours_ago=1000.5)
    first = floor(served.started_at, HOUR) + HOUR  # type: ignore[arg-type]
    lag = find().lag_s
    assert lag is not None
    assert abs(lag - (read_clock() - first).total_seconds()) < 60


def test_a_source_that_never_succeeded_lags_since_its_first_due_instant() -> None:
    set_up_schedule(hours_ago=48)
    close("failed", reason="source_unreachable")
    lag = find().lag_s
    assert lag is not None
    assert 46.9 * 3600 < lag < 48.1 * 3600


def test_a_source_is_late_only_after_its_interval_or_an_hour() -> None:
    set_up_schedule(hours_ago=90)
    now = read_clock()
    due = floor(now, HOUR)
    close(started_at=due - timedelta(seconds=1), finished_at=due - timedelta(seconds=1))
    assert find().word == "fine"
    lag = find().lag_s
    assert lag is not None
    assert 0 <= lag <= 3600 + 60


def test_an_edit_of_the_schedule_does_not_hide_that_a_source_is_late() -> None:
    have_missed_instants_after_a_success()
    daily = IntervalSchedule.objects.create(every=30, period="minutes")
    PeriodicTask.objects.filter(name="ingest listed").update(interval=daily, description="more often")
    schedule.note_entry(Hourly())
    assert find().word == "late"


def test_a_schedule_that_was_switched_off_in_the_admin_counts_from_its_return() -> None:
    have_missed_instants_after_a_success()
    entry = PeriodicTask.objects.filter(name="ingest listed")
    entry.update(enabled=False)
    schedule.note_entry(Hourly())
    entry.update(enabled=True)
    schedule.note_entry(Hourly())
    assert (find().word, find().lag_s) == ("fine", 0)


def test_a_run_that_began_before_the_instant_serves_it_only_by_its_key() -> None:
    set_up_schedule(hours_ago=90)
    due = schedule.find_due(Hourly(), read_clock())
    assert due is not None
    run = close(started_at=due.instant - timedelta(seconds=9), finished_at=due.instant + timedelta(seconds=1))
    assert find().lag_s != 0
    run.further_keys.create(key=due.key)
    assert find().lag_s == 0
    run.further_keys.all().delete()
    Run.objects.update(key=due.key)
    assert find().lag_s == 0


@pytest.mark.parametrize("text", ["*/15 * * * *", "30 2 * * *", "0 6 * * 1-5", "0 0 1 1 *"])
def test_the_next_due_instant_is_the_first_that_the_last_one_precedes(text: str) -> None:
    class Timed(Listed):
        every = text  # type: ignore[assignment]

    schedule.make_missing_entry(Timed())
    (entry,) = PeriodicTask.objects.filter(name="ingest listed")
    now = read_clock()
    following = find_next_due(entry, now)
    assert following is not None
    assert following > now
    assert schedule.find_due_instant(entry, following) == following
    assert schedule.find_due_instant(entry, following - timedelta(seconds=1)) == schedule.find_due_instant(entry, now)


def test_standings_go_by_index_and_take_a_fixed_number_of_statements(settings: Any) -> None:
    settings.ETL_SOURCES = ["tests.runs.test_standings.Hourly", "tests.admin.rows.Wares", "tests.admin.rows.Idle"]
    for source in ("listed", "wares"):
        at = read_clock() - HOUR
        Run.objects.bulk_create(
            Run(source=source, key=f"{source} {n}", trigger="replay", status="success", started_at=at, finished_at=at)
            for n in range(3000)
        )
        close("failed", source=source, reason="cancelled")
    fetch("ANALYZE etl_runs; SELECT 1")
    with CaptureQueriesContext(connection) as captured:
        read_standings()
    statements = [query["sql"] for query in captured.captured_queries]
    assert len(statements) == 4
    plans = [
        line
        for statement in statements
        if "etl_runs" in statement
        for (line,) in fetch("EXPLAIN " + statement.replace("%", "%%"))
    ]
    assert not [line for line in plans if "Seq Scan on etl_runs" in line]
    for index in ("etl_runs_last_reflecting", "etl_runs_last_success"):
        assert [line for line in plans if index in line], index


def test_the_runbook_explains_each_standing() -> None:
    text = (ROOT / "docs/runbook.md").read_text()
    section = text.partition("## Standings")[2].partition("\n## ")[0]
    words = ("fine", "refusing", "held", "failing", "late", "paused", "never run")
    assert [word for word in words if f"| **{word}** |" not in section] == []
