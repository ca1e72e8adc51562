"""A worker and a beat are listed while they are alive, by Redis' clock, and an error of Redis does not affect them."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from django.db import connection

from etl.runs.schedule import make_missing_sweep
from etl.supervision import liveness
from etl.supervision.liveness import Alive, find_alive, name_worker, sign, sign_off
from tests.processes import Project, wait_until

pytestmark = pytest.mark.servers
NOWHERE = "redis://127.0.0.1:1/0"
BEAT = ("-m", "celery", "-A", "kasparro", "beat", "--loglevel", "WARNING", "--pidfile=")
WORKER = (
    "-m",
    "celery",
    "-A",
    "kasparro",
    "worker",
    "--without-gossip",
    "--without-mingle",
    "--concurrency",
    "1",
    "--loglevel",
    "WARNING",
)


@pytest.fixture
def products(project: Project) -> Project:
    """The project with only the products source: a worker sweeps when it is ready."""
    project.environment["ETL_SOURCES"] = "etl.sources.products.ProductsCsv"
    make_missing_sweep()  # as a migration does: beat may miss what is created while it reads its entries
    return project


@pytest.fixture(autouse=True)
def prefix(settings: Any) -> Iterator[str]:
    """A new prefix of keys, under which no process has reported yet."""
    settings.REDIS_KEY_PREFIX = f"kasparro:{connection.settings_dict['NAME']}:"
    liveness._signed.clear()
    yield settings.REDIS_KEY_PREFIX
    connect(settings).delete(liveness._key())


def connect(settings: Any) -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL)


def see() -> Alive:
    alive = find_alive()
    assert alive is not None
    return alive


def list_workers() -> list[str]:
    return [name for name, _ in see().workers]


def test_no_process_is_alive_before_the_first_report() -> None:
    assert see() == Alive([], None)


def test_a_process_that_has_reported_is_alive_with_an_age() -> None:
    sign(name_worker("celery@b"))
    sign(name_worker("celery@a"))
    sign(liveness.BEAT)
    time.sleep(0.05)
    alive = see()
    assert [name for name, _ in alive.workers] == ["celery@a", "celery@b"]
    assert alive.beat_age_s is not None
    assert all(0.05 <= age < 20 for age in (alive.beat_age_s, *(age for _, age in alive.workers)))


def test_a_process_that_reports_its_end_is_not_alive() -> None:
    sign(name_worker("celery@a"))
    sign_off(name_worker("celery@a"))
    assert see() == Alive([], None)


def test_a_process_reports_at_most_every_five_seconds(settings: Any) -> None:
    sign(liveness.BEAT)
    connect(settings).delete(liveness._key())
    sign(liveness.BEAT)
    assert see().beat_age_s is None
    liveness._signed[liveness.BEAT] -= liveness.SIGN_SECONDS
    sign(liveness.BEAT)
    assert see().beat_age_s is not None


def test_a_process_that_stops_reporting_is_not_alive_and_leaves_the_list(settings: Any) -> None:
    long_ago = time.time() - liveness.ALIVE_SECONDS - 10
    connect(settings).zadd(liveness._key(), {name_worker("celery@dead"): long_ago})
    assert see() == Alive([], None)
    sign(liveness.BEAT)
    assert connect(settings).zrange(liveness._key(), 0, -1) == [b"beat"]
    assert 0 < connect(settings).ttl(liveness._key()) <= liveness.ALIVE_SECONDS


def test_the_clock_is_the_clock_of_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    sign(liveness.BEAT)
    age = see().beat_age_s
    assert age is not None
    assert age < 20


def test_without_redis_nothing_is_known_and_nothing_fails(settings: Any) -> None:
    url, settings.REDIS_URL = settings.REDIS_URL, NOWHERE
    assert find_alive() is None
    sign(liveness.BEAT)
    sign_off(liveness.BEAT)
    settings.REDIS_URL = url


def test_a_redis_that_does_not_respond_costs_one_second(settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url, settings.REDIS_URL = settings.REDIS_URL, f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        began = time.monotonic()
        assert find_alive() is None
        assert time.monotonic() - began < 20
    settings.REDIS_URL = url


def test_a_client_that_another_thread_replaces_keeps_its_connection(settings: Any) -> None:
    url = settings.REDIS_URL
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor() as threads:
        settings.REDIS_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        looking = threads.submit(find_alive)
        with silent.accept()[0] as accepted:
            accepted.recv(1)
            time.sleep(0.2)  # now it waits for the answer
            liveness._connect.cache_clear()
            assert looking.result() is None
    settings.REDIS_URL = url


def test_a_worker_and_a_beat_are_seen_and_vanish_when_killed(
    products: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = products.start_python(*WORKER, "--hostname", "one@here")
    beat = products.start_python(*BEAT)
    wait_until(lambda: list_workers() == ["one@here"] and see().beat_age_s is not None)
    first = time.monotonic()
    wait_until(lambda: see().workers[0][1] < time.monotonic() - first - 1)  # it has reported again
    for process in (worker, beat):
        os.killpg(process.pid, signal.SIGKILL)
    monkeypatch.setattr(liveness, "ALIVE_SECONDS", 2)
    wait_until(lambda: see() == Alive([], None))


def test_a_worker_and_a_beat_that_are_told_to_stop_report_their_end(products: Project) -> None:
    worker = products.start_python(*WORKER, "--hostname", "one@here")
    beat = products.start_python(*BEAT)
    wait_until(lambda: list_workers() == ["one@here"] and see().beat_age_s is not None)
    for process in (worker, beat):
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert see() == Alive([], None)
