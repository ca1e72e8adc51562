"""Python's collector looks seldom during a run, and as before behind it."""

import gc

import pytest

from etl.collector import PATIENCE, patient_collector


def test_the_collector_is_patient_inside_and_as_before_behind() -> None:
    former = gc.get_threshold()

    @patient_collector()
    def run() -> None:
        assert gc.get_threshold() == (PATIENCE, *former[1:])
        raise ValueError

    with pytest.raises(ValueError):
        run()
    assert gc.get_threshold() == former
