"""When the network drops packets, every process gives up within a time limit and works again afterwards."""

import json
import signal
import time
from collections.abc import Iterator

import pytest
import redis

from etl.models import Run
from kasparro.embedded import Servers
from tests.execution.test_workers import await_closed, is_closed, prefix, queue, start_worker
from tests.gated_source import gated
from tests.laws.test_crashes import STORES, assert_landed_once, landed_batches, products_file
from tests.network import Link, linking
from tests.processes import Project, await_stop, run_servers, wait_until
from tests.relays import Relay, find_postgresql, find_redis, make_database_url, make_redis_url, relaying

PROMPT = {  # a silent server is detected within a few seconds
    "connect_timeout": 3,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "tcp_user_timeout": 3000,
}
STOP = "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"


@pytest.fixture
def link(project: Project) -> Iterator[Link]:
    """All processes of the project run in the link's namespace."""
    with linking() as link:
        project.prefix = link.prefix
        project.environment["ETL_SOURCES"] = "etl.sources.products.ProductsCsv"
        yield link
        project.kill_all()


@pytest.fixture
def postgresql(link: Link, project: Project) -> Iterator[Relay]:
    """The database is at the other end of the link."""
    with relaying(find_postgresql(), link.here) as relay:
        project.environment["DATABASE_URL"] = make_database_url(relay, link.here, **PROMPT)
        yield relay


@pytest.fixture
def valkey() -> Iterator[Servers]:
    with run_servers(runs_postgresql=False) as servers:
        yield servers


@pytest.fixture
def broker(link: Link, project: Project, valkey: Servers) -> Iterator[Relay]:
    """Redis is at the other end of the link."""
    with relaying(find_redis(valkey.redis_url()), link.here) as relay:
        project.environment["REDIS_URL"] = make_redis_url(relay, link.here)
        yield relay


def run_in_silence(project: Project, link: Link, before: str, after: str) -> tuple[str, str]:
    """Run both parts in one Python process, drop its packets between them, and return its output."""
    process = project.start("shell", "--verbosity", "0", "--command", f"{before}\n{STOP}\n{after}")
    await_stop(process)
    link.drop()
    process.send_signal(signal.SIGCONT)
    return process.communicate(timeout=60)


# --- PostgreSQL -----------------------------------------------------------------------------------
@STORES
def test_a_run_whose_database_falls_silent_ends_and_the_next_goes_on(
    project: Project, link: Link, postgresql: Relay, store: str
) -> None:
    products_file(project, store=store)
    with gated(project):
        process = project.start("ingest", "products_csv", "--json")
        wait_until(lambda: landed_batches() >= 5)
        link.drop()
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert '"status": "failed", "reason": "database_error"' in output, errors
    link.deliver()
    postgresql.forget()  # by now the server's own keepalives have detected it too
    project.ingest("products_csv")
    assert_landed_once(store=store)


def test_a_query_that_is_never_answered_ends(project: Project, link: Link, postgresql: Relay) -> None:
    connect = "from django.db import connection, OperationalError\ncursor = connection.cursor()"
    ask = "try: cursor.execute('SELECT pg_sleep(3600)')\nexcept OperationalError as error: print(error)"
    output, errors = run_in_silence(project, link, connect, ask)
    assert "could not receive data from server" in output, errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_whose_database_is_silent(
    project: Project, link: Link, postgresql: Relay, number: signal.Signals
) -> None:
    products_file(project)
    with gated(project):
        process = project.start("ingest", "products_csv", "--json")
        wait_until(lambda: landed_batches() >= 5)
        link.drop()
        process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert '"status": "failed", "reason": "interrupted"' in output, errors


def test_a_run_that_can_not_begin_ends(project: Project, link: Link, postgresql: Relay) -> None:
    link.drop()
    done = project.run("ingest", "products_csv")
    assert done.returncode == 1
    message = "CommandError: The database reports an error: connection"
    assert f"{message} to server" in done.stderr or f"{message} timeout expired" in done.stderr  # psycopg2, psycopg 3


def test_a_worker_whose_database_falls_silent_is_free_again(
    project: Project, link: Link, postgresql: Relay, valkey: Servers
) -> None:
    products_file(project)
    project.environment |= {"REDIS_URL": valkey.redis_url(), "ETL_LEASE_SECONDS": "5"}
    with gated(project):
        run_id = queue(project)
        worker = start_worker(project)
        wait_until(lambda: landed_batches() >= 5)
        link.drop()
    with redis.Redis.from_url(valkey.redis_url()) as client:
        wait_until(lambda: not client.hlen(f"{prefix()}unacked"))
    assert Run.objects.get(pk=run_id).status == "running"
    link.deliver()
    postgresql.forget()
    wait_until(lambda: project.run("sweep").returncode == 0 and is_closed(run_id))
    wait_until(Run.objects.filter(status="partial").exists)
    assert worker.poll() is None
    assert_landed_once()


def test_the_bounds_reach_the_connection_and_those_of_the_url_win(project: Project) -> None:
    show = """
import json, os, socket
from django.db import connection
connection.ensure_connection()
with socket.socket(fileno=os.dup(connection.connection.fileno())) as link:
    options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    print(json.dumps([link.getsockopt(socket.IPPROTO_TCP, option) for option in options]))
info = connection.connection.info
parameters = info.get_parameters() if hasattr(info, 'get_parameters') else info.dsn_parameters
print(parameters['connect_timeout'])
"""
    with relaying(find_postgresql()) as relay:
        urls = (make_database_url(relay), make_database_url(relay, keepalives_idle=7, connect_timeout=4))
        shown = [project.run("shell", "--verbosity", "0", "--command", show, DATABASE_URL=url) for url in urls]
    assert [json.loads(done.stdout.splitlines()[0]) for done in shown] == [[15, 5, 3, 30_000], [7, 5, 3, 30_000]]
    assert [done.stdout.splitlines()[1] for done in shown] == ["10", "4"]


# --- Redis ----------------------------------------------------------------------------------------
def test_a_run_does_without_a_redis_that_falls_silent(project: Project, link: Link, broker: Relay) -> None:
    products_file(project)
    with gated(project):
        process = project.start("ingest", "products_csv", "--json", ETL_LEASE_SECONDS="9")
        wait_until(lambda: landed_batches() >= 5)
        link.drop()
    output, errors = process.communicate(timeout=60)
    assert '"status": "partial"' in output, errors
    assert errors.count("Redis can't be reached") == 1
    assert_landed_once()


LOCK = "from etl.fence.redis_lock import SourceLock\nlock = SourceLock('any', 60)\nlock.hold()"
LIMIT = "from etl.http.rate_limits import find_wait\nfind_wait('any', '1/minute')"
ALIVE = "from etl.supervision.liveness import find_alive, sign, sign_off\nsign('any')"


@pytest.mark.parametrize(
    ("before", "after", "answer"),
    [
        (LOCK, "print(lock.is_held())\nlock.hold()\nlock.release()", "False"),
        (LIMIT, "print(find_wait('any', '1/minute'))", "0"),
        (ALIVE, "sign('other')\nsign_off('any')\nprint(find_alive())", "None"),
    ],
    ids=["lock", "rate limit", "liveness"],
)
def test_what_is_asked_of_a_silent_redis_counts_as_unknown(
    project: Project, link: Link, broker: Relay, before: str, after: str, answer: str
) -> None:
    output, errors = run_in_silence(project, link, before, after)
    assert output == f"{answer}\n", errors


def test_a_run_is_queued_though_the_broker_falls_silent(project: Project, link: Link, broker: Relay) -> None:
    queue_one = "orders.queue('products_csv', trigger='command', by='a test', options=Options(full=True))"
    imports = "from etl.runs import orders\nfrom etl.runs.options import Options"
    _, errors = run_in_silence(project, link, f"{imports}\n{queue_one}", queue_one)
    assert errors.count("could not be sent") == 1, errors
    sent, unsent = Run.objects.filter(status="queued").order_by("pk")
    assert (sent.sent_at is None, unsent.sent_at is None) == (False, True)


def test_a_worker_whose_broker_falls_silent_ends_its_run_and_takes_the_next(
    project: Project, link: Link, broker: Relay
) -> None:
    products_file(project)
    with gated(project):
        run_id = queue(project)
        worker = start_worker(project)
        wait_until(lambda: landed_batches() >= 5)
        link.drop()
    assert await_closed(run_id).status == "partial"
    link.deliver()
    await_closed(queue(project))
    assert worker.poll() is None
    assert_landed_once()


def test_a_worker_notices_that_its_broker_has_forgotten_it(project: Project, link: Link, broker: Relay) -> None:
    """At that moment the worker is only listening, so only keepalives can detect the loss."""
    products_file(project, count=200)
    worker = start_worker(project)
    await_closed(queue(project))
    time.sleep(2)
    link.drop()
    broker.forget()
    link.deliver()
    await_closed(queue(project))
    assert worker.poll() is None
