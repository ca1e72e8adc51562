"""A frozen sweep keeps other processes from sweeping only until its lease ends."""

import signal

import pytest

from etl.execution import sweep as sweeping
from etl.models import Run
from etl.readers.source import Source
from etl.runs import arrivals
from tests.listed_source import fetch
from tests.processes import Project, await_stop, wait_until

SOURCES = ("coingecko_api", "products_csv", "vendors_csv", "listings_json")


def list_queued() -> list[str]:
    return sorted(Run.objects.filter(status="queued").values_list("source", flat=True))


@pytest.mark.parametrize("place", ["between_sources", "inside_request"])
def test_after_the_lease_of_a_frozen_sweep_another_one_queues_every_source(project: Project, place: str) -> None:
    frozen = project.start_python("-m", "tests.freezing", place, "sweep")
    await_stop(frozen)
    assert len(list_queued()) == 1
    wait_until(lambda: fetch("SELECT FROM etl_task_leases WHERE expires_at <= clock_timestamp()"))
    swept = project.run("sweep")
    assert swept.returncode == 0
    assert list_queued() == sorted(SOURCES)
    frozen.send_signal(signal.SIGCONT)
    _, errors = frozen.communicate(timeout=60)
    assert "took longer than its lease" in errors
    assert list_queued() == sorted(SOURCES)


def test_while_the_lease_of_a_sweep_lives_another_one_leaves_the_work_to_it(project: Project) -> None:
    project.run("sweep")
    Run.objects.all().delete()
    fetch("UPDATE etl_task_leases SET expires_at = clock_timestamp() + interval '1 minute' RETURNING name")
    assert project.run("sweep").returncode == 0
    assert list_queued() == []


@pytest.mark.django_db(transaction=True)
def test_a_list_that_can_not_be_made_stops_no_other_step(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks: list[str] = []

    def fail() -> list[Source]:
        raise ValueError("no standing")

    def look() -> list[Source]:
        looks.append("looked")
        return []

    monkeypatch.setattr(sweeping, "_find_changed", fail)
    monkeypatch.setattr(arrivals, "list_looks", look)
    for _ in range(2):  # the first one gives up its lease
        sweeping.sweep()
    assert len(looks) == 2
    assert "The sweep failed at listing changed standings" in caplog.text
    assert list_queued() == sorted(SOURCES)
