"""If the database is slow, locked, frozen or down, requests get a precise 503 in time and succeed afterwards."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.db import connection as configured
from django.db.backends.postgresql import base

from api.database_deadlines import Sessions
from etl.storage.driver import open_session
from kasparro.embedded import Servers
from tests.api.landed import land
from tests.api.people import People, make_session
from tests.api.web import SECRET_KEY, Answer, Web, serving, start_web
from tests.execution.test_workers import BEAT, start_worker
from tests.listed_source import fetch
from tests.processes import Project, test_database_url, wait_until

SECONDS = 1.0
SESSION = "a" * 32


@pytest.fixture(scope="module")
def impatient(shared_web: Web, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A web process with a statement timeout of one second."""
    with start_web(tmp_path_factory.mktemp("impatient"), API_STATEMENT_SECONDS=str(SECONDS)) as web:
        yield web


def ask_in_time(web: Web, path: str, seconds: float, token: str | None = None, **how: Any) -> Answer:
    """Ask up to three times until an answer comes in time: a busy machine is not slow each time."""
    for _ in range(3):
        began = time.monotonic()
        answer = web.ask(path, token=token, **how)
        took = time.monotonic() - began
        if took < seconds:
            return answer
    raise AssertionError(f"{path} took {took:.2f} s")


def assert_unavailable(answer: Answer, code: str) -> None:
    assert (answer.status, answer.content_type) == (503, "application/problem+json"), answer.body
    assert answer.json()["type"] == f"urn:kasparro:problem:{code}"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert int(answer.headers["retry-after"]) >= 1


@contextmanager
def slow_records() -> Iterator[None]:
    """Make each record take half a minute to read."""
    fetch("ALTER TABLE unified_records RENAME TO kept_records; SELECT 1")
    fetch(
        "CREATE VIEW unified_records AS SELECT kept_records.* FROM kept_records,"
        " LATERAL (SELECT pg_sleep(30 + kept_records.id * 0)) AS slow; SELECT 1"
    )
    try:
        yield
    finally:
        fetch("DROP VIEW unified_records; ALTER TABLE kept_records RENAME TO unified_records; SELECT 1")


def test_a_slow_query_ends_with_advice_and_blocks_no_other_request(impatient: Web, people: People) -> None:
    land()
    with slow_records(), ThreadPoolExecutor(8) as pool:
        slow = [
            pool.submit(ask_in_time, impatient, "/data?name=Thing&count=exact", 12, people.viewer) for _ in range(3)
        ]
        time.sleep(0.2)
        assert ask_in_time(impatient, "/health/live", 0.5).status == 200
        assert ask_in_time(impatient, "/stats", 0.8, people.viewer).status == 200
        for each in slow:
            assert_unavailable(each.result(), "too_slow")
            assert "source" in each.result().json()["detail"]
        assert_unavailable(
            ask_in_time(impatient, "/api/v1/changes?source=listed", SECONDS + 2, people.viewer), "too_slow"
        )
    assert ask_in_time(impatient, "/data", 1, people.viewer).status == 200


def test_a_locked_table_is_not_waited_for(impatient: Web, people: People) -> None:
    landed = land()
    with open_session(test_database_url()) as session, session.cursor() as cursor:
        cursor.execute("LOCK TABLE unified_records, etl_runs, schema_changes IN ACCESS EXCLUSIVE MODE")
        for path in ("/data", f"/api/v1/data/{landed.record}", "/stats"):
            answer = ask_in_time(impatient, path, SECONDS + 2, people.viewer)
            assert answer.status == 503, path
            assert answer.json()["type"] in ("urn:kasparro:problem:busy", "urn:kasparro:problem:too_slow")
        ordered = ask_in_time(
            impatient,
            "/api/v1/runs",
            SECONDS + 2,
            people.operator,
            method="POST",
            body='{"source": "products_csv"}',
            headers={"Content-Type": "application/json"},
        )
        assert ordered.status == 503
        scrape = ask_in_time(impatient, "/metrics", 2 * SECONDS + 2, people.viewer)
        assert (scrape.status, "\netl_up 0.0\n" in scrape.text) == (200, True)
        session.rollback()
    assert impatient.ask("/data", token=people.viewer).status == 200
    assert "\netl_up 1.0\n" in impatient.ask("/metrics", token=people.viewer).text


def test_a_session_that_the_server_ends_is_replaced(impatient: Web, people: People) -> None:
    assert impatient.ask("/data", token=people.viewer).status == 200
    fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    assert {ask_in_time(impatient, "/health", 2).status for _ in range(6)} == {200}
    statuses = [impatient.ask("/data", token=people.viewer).status for _ in range(12)]
    assert set(statuses) <= {200, 503}
    assert statuses.count(503) <= 4  # at most one per thread


def list_backends(postmaster: int) -> list[int]:
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return [postmaster, *map(int, children)]


@contextmanager
def frozen(postmaster: int) -> Iterator[None]:
    """Suspend all processes of PostgreSQL."""
    stopped: set[int] = set()
    while more := set(list_backends(postmaster)) - stopped:
        for process in more:
            os.kill(process, signal.SIGSTOP)
        stopped |= more
    try:
        yield
    finally:
        for process in stopped:
            os.kill(process, signal.SIGCONT)


def assert_health(web: Web, status: int, word: str, token: str | None = None) -> None:
    answer = ask_in_time(web, "/health", 2, token)
    assert (answer.status, answer.json()["status"]) == (status, word), answer.text


def test_a_frozen_or_killed_database_is_reported_in_time_and_recovers(
    own_servers: Servers, project: Project, tmp_path: Path
) -> None:
    own = {
        "DATABASE_URL": own_servers.database_url(),
        "REDIS_URL": own_servers.redis_url(),
        "SECRET_KEY": SECRET_KEY,
        "KASPARRO_HOME": str(tmp_path / "no"),
    }
    assert project.run("migrate", "-v0", **own).returncode == 0
    token = project.run("token", "create", "vera", **own).stdout.strip()
    postmaster = own_servers.list_used()[0].find_process()
    assert postmaster is not None
    with serving(tmp_path, **own, API_STATEMENT_SECONDS=str(SECONDS), WEB_THREADS="4") as web:
        assert web.ask("/data", token=token).status == 200
        assert_health(web, 200, "degraded")
        with frozen(postmaster), ThreadPoolExecutor(8) as pool:
            hanging: list[Future[Answer]] = []
            for _ in range(3):
                hanging.append(pool.submit(ask_in_time, web, "/data", 3 * SECONDS + 3, token))
                assert_health(web, 503, "error")
                assert_health(web, 503, "error", token)
                assert ask_in_time(web, "/health/live", 0.5).status == 200
                assert ask_in_time(web, "/health/live", 0.5, headers={"Cookie": f"sessionid={SESSION}"}).status == 200
            hanging += [pool.submit(ask_in_time, web, "/data", 3 * SECONDS + 3, token) for _ in range(8)]
            assert ask_in_time(web, "/health/live", 0.5).status == 200  # even with more requests than threads
            assert_health(web, 503, "error")
            for each in hanging:
                assert_unavailable(each.result(), "no_database")
            browsing = ask_in_time(web, "/data", 3 * SECONDS + 3, headers={"Cookie": f"sessionid={SESSION}"})
            assert_unavailable(browsing, "no_database")
            admin = ask_in_time(web, "/admin/", 3 * SECONDS + 3, headers={"Cookie": f"sessionid={SESSION}"})
            assert admin.status == 503
            (line,) = (line for line in web.read_log() if line.get("request") == "GET /admin/")
            assert (line["event"], line["code"], line["user_id"]) == ("request_failed", 503, None)
        wait_until(lambda: web.ask("/health").status == 200)
        assert [web.ask("/data", token=token).status for _ in range(8)] == [200] * 8
        assert_health(web, 200, "degraded", token)

        os.kill(postmaster, signal.SIGKILL)
        wait_until(lambda: not own_servers.list_used()[0].answers())
        assert_health(web, 503, "error")
        assert_health(web, 503, "error", token)
        assert_unavailable(ask_in_time(web, "/data", 3, token), "no_database")
        assert ask_in_time(web, "/metrics", 3, token).status == 503
        own_servers.start()
        wait_until(lambda: web.ask("/health").status == 200)
        assert [web.ask("/data", token=token).status for _ in range(8)] == [200] * 8
        assert_health(web, 200, "degraded", token)


def test_health_shows_more_with_a_token(web: Web, people: People) -> None:
    land()
    fields = {"status", "database", "redis", "workers", "beat"}
    assert web.ask("/health").json().keys() == fields
    assert web.ask("/health", headers=make_session("olga")).json().keys() == fields
    details = web.ask("/health", token=people.viewer).json()
    assert details.keys() == fields | {"workers_seen", "beat_age_s", "sources"}
    (listed,) = (source for source in details["sources"] if source["source"] == "listed")
    assert (listed["last_reading_run"]["status"], listed["lag_s"]) == ("partial", None)
    assert (details["workers"], details["beat"], details["status"]) == ("none seen", "not seen", "degraded")


def test_health_is_ok_with_a_worker_and_beat_until_they_die(
    people: People, workers: Project, valkey: Servers, tmp_path: Path
) -> None:
    with serving(tmp_path, REDIS_URL=valkey.redis_url()) as web:
        worker, beat = start_worker(workers), workers.start_python(*BEAT)
        wait_until(lambda: web.ask("/health").json()["status"] == "ok")
        details = web.ask("/health", token=people.viewer).json()
        assert len(details["workers_seen"]) == 1
        assert 0 <= details["beat_age_s"] < 10
        for process in (worker, beat):
            process.send_signal(signal.SIGTERM)
        wait_until(lambda: web.ask("/health").json()["workers"] == "none seen")
        assert web.ask("/health").status == 200


def test_live_needs_neither_database_nor_redis(people: People, tmp_path: Path) -> None:
    nowhere = {"DATABASE_URL": "postgres://x:y@127.0.0.1:1/z", "REDIS_URL": "redis://127.0.0.1:1/0"}
    with serving(tmp_path, **nowhere) as web:
        for headers in ({}, {"Authorization": "Token x"}, {"Cookie": f"sessionid={SESSION}"}):
            assert ask_in_time(web, "/health/live", 0.5, headers=headers).status == 200
        assert_health(web, 503, "error")
        assert web.ask("/data").status == 401
        assert_unavailable(web.ask("/data", token=people.viewer), "no_database")
        assert web.ask("/api/v1/nowhere", headers={"Cookie": f"sessionid={SESSION}"}).status == 404


class Session(Sessions, base.DatabaseWrapper):
    """A connection of the web process."""


@pytest.fixture
def connect(own_servers: Servers) -> Iterator[Callable[[], Session]]:
    """Connects to servers that the test may kill, and begins a transaction."""
    sessions = []

    def connect() -> Session:
        session = Session({**configured.settings_dict, **own_servers.database_settings()}, "own")
        sessions.append(session)
        session.set_autocommit(False)
        ask_for_one(session)
        return session

    yield connect
    for session in sessions:
        session.close()


def ask_for_one(session: Session) -> None:
    with session.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchall() == [(1,)]


def test_each_wait_of_a_session_has_a_deadline(
    own_servers: Servers, connect: Callable[[], Session], settings: Any
) -> None:
    """This includes commits."""
    settings.API_STATEMENT_SECONDS = 0.5
    postmaster = own_servers.list_used()[0].find_process()
    assert postmaster is not None
    waits: dict[str, Callable[[Session], object]] = {
        "execute": ask_for_one,
        "executemany": lambda session: session.cursor().executemany("SELECT %s", [[1], [2]]),
        "commit": lambda session: session.commit(),
        "rollback": lambda session: session.rollback(),
    }
    sessions = {name: connect() for name in waits}
    with frozen(postmaster):
        for name, wait in waits.items():
            began = time.monotonic()
            with pytest.raises(OperationalError):
                wait(sessions[name])
            assert time.monotonic() - began < 20, name
            assert sessions[name].connection.closed, name
    connect()


def test_one_lost_session_does_not_make_the_server_count_as_silent(
    connect: Callable[[], Session], settings: Any
) -> None:
    settings.API_STATEMENT_SECONDS = 0.5
    lost, other = connect(), connect()
    backend = lost.connection.info.backend_pid
    os.kill(backend, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor() as pool:
            lost.inc_thread_sharing()
            waiting = pool.submit(ask_for_one, lost)
            while not waiting.done():
                ask_for_one(other)
                time.sleep(0.05)
            with pytest.raises(OperationalError):
                waiting.result()
        other.cursor().execute("SELECT pg_sleep(0.8)")  # would fail if the server counted as silent
    finally:
        os.kill(backend, signal.SIGCONT)
