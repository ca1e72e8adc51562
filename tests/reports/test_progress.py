"""How far a run has come: pages and share by its cursor, in the API, on the home page and in the terminal."""

from typing import Any

import pytest

from etl.management.progress import ProgressDisplay
from etl.models import Run
from etl.pipeline import Progress
from etl.reports.overview import read_overview
from etl.reports.progress import RunProgress, find_progress

CASES: list[tuple[dict[str, Any] | None, RunProgress]] = [
    (None, RunProgress(None, None)),
    ({"offset": 50, "size": 200, "position": 7}, RunProgress(None, 0.25)),
    ({"offset": 0, "size": 0}, RunProgress(None, None)),
    ({"pages": 4, "position": 30, "total": None, "size": 0}, RunProgress(4, None)),
    ({"pages": 4, "position": 30, "total": 120, "size": 0}, RunProgress(4, 0.25)),
    ({"pages": 4, "position": 130, "total": 120, "size": 0}, RunProgress(4, 1.0)),
    ({"external_id": "a", "left": 0}, RunProgress(None, None)),
]


@pytest.mark.parametrize(("cursor", "progress"), CASES)
def test_a_run_has_the_progress_of_its_cursor(cursor: dict[str, Any] | None, progress: RunProgress) -> None:
    assert find_progress(Run(cursor_after=cursor)) == progress


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("cursor", "progress"), CASES)
def test_the_home_page_shows_the_same_progress(cursor: dict[str, Any] | None, progress: RunProgress) -> None:
    times = {"started_at": "2026-01-01T00:00:00Z", "epoch": 1}
    Run.objects.create(source="listed", key="k", trigger="api", status="running", cursor_after=cursor, **times)
    (live,) = read_overview().live
    assert RunProgress(live["pages"], live["share"]) == progress


LINES = [
    (Progress(1234, 0.5), "things: 1,234 records, 50%"),
    (Progress(1234, None, 12), "things: 1,234 records on 12 pages"),
    (Progress(1234, 0.25, 12), "things: 1,234 records on 12 pages, 25%"),
]


@pytest.mark.parametrize(("progress", "line"), LINES)
def test_a_terminal_shows_pages_records_and_a_share_that_is_known(
    capsys: pytest.CaptureFixture[str], progress: Progress, line: str
) -> None:
    report, _ = ProgressDisplay(verbosity=2).begin("things")
    report(progress)
    assert capsys.readouterr().err == f"{line}\n"
