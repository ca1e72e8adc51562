"""Beat counts as alive for as long as its scheduler ticks in time, whatever scheduler a project has."""

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from django.db import connection

from etl.supervision import beat_watch, liveness
from etl.supervision.beat_watch import BeatWatch
from etl.supervision.liveness import Alive, find_alive
from etl.supervision.sweep_watch import SWEEP_TASK
from tests.processes import wait_until

pytestmark = pytest.mark.servers


class Scheduler:
    """The public part of Celery's schedulers."""

    def __init__(self, seconds: float, *tasks: str) -> None:
        self.seconds = seconds
        self.schedule = {task: SimpleNamespace(task=task) for task in tasks}
        self.is_closed = False

    def tick(self) -> float:
        return self.seconds

    def close(self) -> None:
        self.is_closed = True


Watch = Callable[..., Scheduler]


@pytest.fixture
def watch(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Watches a scheduler that has ticked once. A process that has not reported for half a second is not alive."""
    settings.REDIS_KEY_PREFIX = f"kasparro:{connection.settings_dict['NAME']}:"
    liveness._signed.clear()
    monkeypatch.setattr(liveness, "ALIVE_SECONDS", 1)
    monkeypatch.setattr(liveness, "SIGN_SECONDS", 0)
    monkeypatch.setattr(beat_watch, "LOOK_SECONDS", 0.05)
    watched: list[Scheduler] = []

    def start(seconds: float, *tasks: str) -> Scheduler:
        watched.append(Scheduler(seconds, *tasks))
        BeatWatch(watched[-1])
        assert watched[-1].tick() == seconds
        return watched[-1]

    yield start
    for scheduler in watched:
        scheduler.close()
    redis.Redis.from_url(settings.REDIS_URL).delete(liveness._key())


def see() -> Alive:
    alive = find_alive()
    assert alive is not None
    return alive


def test_a_beat_that_sleeps_until_an_entry_is_due_stays_alive(watch: Watch) -> None:
    watch(300, "other", SWEEP_TASK)
    wait_until(lambda: see().beat_age_s is not None)
    time.sleep(1.5)
    wait_until(lambda: see().beat_age_s is not None)


def test_a_beat_that_does_not_tick_again_in_time_is_not_alive(watch: Watch) -> None:
    scheduler = watch(0.1, SWEEP_TASK)
    wait_until(lambda: scheduler.tick() and see().beat_age_s is not None)
    wait_until(lambda: see() == Alive([], None))


def test_a_beat_whose_schedule_lacks_the_sweep_is_alive_but_idle(watch: Watch) -> None:
    scheduler = watch(300, "other")
    wait_until(lambda: see().idle_beat_age_s is not None)
    assert see().beat_age_s is None
    scheduler.schedule["sweep"] = SimpleNamespace(task=SWEEP_TASK)
    scheduler.tick()
    wait_until(lambda: see().beat_age_s is not None)


def test_a_beat_that_ends_reports_it(watch: Watch) -> None:
    scheduler = watch(300, SWEEP_TASK)
    wait_until(lambda: see().beat_age_s is not None)
    scheduler.close()
    assert (see(), scheduler.is_closed) == (Alive([], None), True)
