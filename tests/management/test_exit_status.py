"""The exit status of `ingest`: 0 only for what ended well or was only queued."""

import pytest

from etl.execution.outcomes import REFUSED, Outcome
from etl.management.exit_status import ExitStatus, choose_exit_status


def make_outcome(status: str, *, was_queued: bool = False) -> Outcome:
    return Outcome(1, "s", status, "", was_queued=was_queued)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], ExitStatus.SUCCESS),
        (["success"], ExitStatus.SUCCESS),
        (["success", "partial"], ExitStatus.PARTIAL),
        (["partial", REFUSED], ExitStatus.REFUSED),
        ([REFUSED, "failed", "success"], ExitStatus.FAILED),
        (["running"], ExitStatus.FAILED),  # it could not be closed
        (["queued"], ExitStatus.FAILED),  # it was put back while a terminal had it
        (["a word of later software"], ExitStatus.FAILED),
    ],
)
def test_the_worst_end_decides(statuses: list[str], expected: ExitStatus) -> None:
    assert choose_exit_status([make_outcome(status) for status in statuses]) is expected


@pytest.mark.parametrize("status", ["queued", "running", "success"])
def test_a_run_that_was_only_queued_is_no_failure(status: str) -> None:
    assert choose_exit_status([make_outcome(status, was_queued=True)]) is ExitStatus.SUCCESS
