"""/metrics is consistent: the pipeline's figures equal the database's, the web's cover all its processes."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.api.landed import SOURCE, land
from tests.api.people import People
from tests.api.web import Web, serving
from tests.execution.test_workers import await_closed, queue, start_worker
from tests.laws.test_crashes import products_file
from tests.listed_source import fetch
from tests.processes import Project, wait_until


def scrape(web: Web, token: str) -> list[Sample]:
    answer = web.ask("/metrics", token=token)
    assert (answer.status, answer.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8"), answer.text
    families = list(text_string_to_metric_families(answer.text))
    names = [family.name for family in families]
    assert len(names) == len(set(names)), "a family appears twice"
    return [sample for family in families for sample in family.samples]


def find(samples: list[Sample], name: str, **labels: str) -> float:
    """The sum of the samples that have these labels."""
    return sum(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())


def test_the_pipelines_families_equal_the_database(web: Web, people: People) -> None:
    land()
    samples = scrape(web, people.viewer)
    for status in ("success", "partial", "failed"):
        ((runs,),) = fetch("SELECT count(*) FROM etl_runs WHERE status = %s AND source = %s", status, SOURCE)
        assert find(samples, "etl_runs_total", source=SOURCE, status=status) == runs, status
    for outcome in ("new", "updated", "unchanged", "duplicate", "quarantined"):
        ((records,),) = fetch(f"SELECT sum({outcome}) FROM etl_runs WHERE source = %s", SOURCE)
        assert find(samples, "etl_records_total", source=SOURCE, outcome=outcome) == records, outcome
    ((quarantined, changes, due, age),) = fetch(
        "SELECT (SELECT count(*) FROM etl_quarantine WHERE status = 'open'), (SELECT count(*) FROM schema_changes),"
        " (SELECT count(*) FROM etl_runs WHERE status = 'queued'),"
        " (SELECT extract(epoch FROM clock_timestamp() - updated_at) FROM ingestion_checkpoints)"
    )
    ((finished,),) = fetch("SELECT extract(epoch FROM max(finished_at)) FROM etl_runs")
    assert find(samples, "etl_quarantine_open", source=SOURCE) == quarantined > 0
    assert find(samples, "etl_schema_changes_total", source=SOURCE) == changes > 0
    assert find(samples, "etl_runs_due", source=SOURCE) == due == 1
    assert 0 <= float(age) - find(samples, "etl_checkpoint_age_seconds", source=SOURCE) < 10
    assert find(samples, "etl_last_success_timestamp_seconds", source=SOURCE) == pytest.approx(
        float(finished), abs=1e-3
    )
    assert find(samples, "etl_duration_seconds_count", source=SOURCE) == 2
    assert find(samples, "etl_duration_seconds_bucket", source=SOURCE, le="+Inf") == 2
    assert find(samples, "etl_up") == 1


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Web]:
    with serving(tmp_path, WEB_PROCESSES="2") as web:
        yield web


def count_requests(samples: list[Sample], view: str = "kasparro_api:stats") -> float:
    return find(samples, "django_http_responses_total_by_status_view_method_total", view=view)


def test_two_web_processes_and_a_worker_report_the_same_figures(
    two: Web,
    people: People,
    workers: Project,
) -> None:
    products_file(workers, count=300)
    run_id = queue(workers)
    start_worker(workers)
    run = await_closed(run_id)
    with ThreadPoolExecutor(8) as pool:
        assert {answer.status for answer in pool.map(lambda _: two.ask("/stats", token=people.viewer), range(60))} == {
            200
        }
        scrapes = list(pool.map(lambda _: scrape(two, people.viewer), range(24)))
    assert {count_requests(samples) for samples in scrapes} == {60}
    assert {find(samples, "etl_records_total", source="products_csv") for samples in scrapes} == {run.seen}
    assert {find(samples, "etl_runs_total", source="products_csv", status="partial") for samples in scrapes} == {1}
    first, *_ = two.list_processes()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: first not in two.list_processes() and len(two.list_processes()) == 2)
    wait_until(lambda: two.log.read_text().count("Booting worker") == 3)
    after = [scrape(two, people.viewer) for _ in range(8)]
    assert {count_requests(samples) for samples in after} == {60}, "the counts of a dead process are not lost"


def test_labels_are_bounded_regardless_of_the_requests(web: Web, people: People) -> None:
    landed = land()

    def list_series() -> set[tuple[str, frozenset[tuple[str, str]]]]:
        return {(sample.name, frozenset(sample.labels.items())) for sample in scrape(web, people.viewer)}

    def ask_around(number: int) -> None:
        for path in (f"/nowhere{number}", f"/api/v1/nowhere/{number}", f"/api/v1/data/{number}", f"/%ED%A0{number}"):
            for method in ("GET", "PUT", f"BREW{number}"):
                web.ask(path, method=method, token=people.viewer)
        web.ask(f"/data?nonsense{number}=1", token=people.viewer, headers={"Host": "127.0.0.1"})
        web.ask("/data", headers={"Host": f"evil{number}.test", "X-Request-ID": f"id{number}"})
        web.ask("/api/v1/runs", method="POST", token=people.operator, content={"source": f"nobody{number}"})
        web.ask("/data", token=people.viewer, headers={"Accept": f"text/x{number}"})

    ask_around(1)
    series = list_series()
    for number in range(2, 6):
        ask_around(number)
    assert list_series() == series
    assert not any(
        "BREW" in value or "evil" in value or "nowhere" in value for _, labels in series for _, value in labels
    )
    assert landed.record


def test_a_stopped_server_leaves_no_metrics_folder(tmp_path: Path, people: People) -> None:
    with serving(tmp_path, WEB_PROCESSES="2", TMPDIR=str(tmp_path)) as web:
        scrape(web, people.viewer)
        assert list(tmp_path.glob("kasparro-metrics-*/*.db"))
    assert not list(tmp_path.glob("kasparro-metrics-*"))
