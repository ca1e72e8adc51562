"""Python's garbage collector runs rarely during a command or run, and as before after it."""

import gc

import pytest

from etl.execution.garbage_collection import RELAXED_THRESHOLD, relaxed_garbage_collection
from tests.processes import Project


def test_the_collector_is_relaxed_inside_and_restored_afterwards() -> None:
    former = gc.get_threshold()

    @relaxed_garbage_collection()
    def run() -> None:
        assert gc.get_threshold() == (RELAXED_THRESHOLD, *former[1:])
        raise ValueError

    with pytest.raises(ValueError):
        run()
    assert gc.get_threshold() == former


def test_a_command_starts_with_a_relaxed_collector(project: Project) -> None:
    done = project.run("shell", "--no-imports", "-c", "import gc; print(gc.get_threshold()[0])")
    assert done.stdout.split() == [str(RELAXED_THRESHOLD)], done.stderr
