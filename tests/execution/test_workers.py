"""Real workers and beats on a real broker: each due run happens once, regardless of which process dies."""

import os
import signal
import subprocess
import time
from datetime import datetime
from typing import Any

import pytest
import redis
from celery import Celery
from django.conf import settings
from django.db import connection
from django.db.models import Max, Min

from etl.clock import read_clock
from etl.models import Checkpoint, Run
from etl.operations.runs import cancel
from etl.runs.schedule import make_missing_sweep
from etl.storage.driver import OperationalError, open_session
from kasparro.embedded import Servers
from sandbox.pages import PagedApi
from sandbox.server import Sandbox
from tests import paged_source
from tests.gated_source import gated
from tests.laws.crashes import find_page
from tests.laws.test_crashes import COUNT, assert_landed_once, landed_batches, outlive_the_lease, products_file
from tests.listed_source import fetch
from tests.processes import PATIENCE_SECONDS, Project, run_servers, wait_until
from tests.readers.test_walk import make_pages

WORKER = (
    *("-m", "celery", "-A", "kasparro", "worker", "--without-gossip", "--without-mingle"),
    *("--concurrency", "1", "--loglevel", "WARNING"),
)
OPEN = ("queued", "running")
BEAT = ("-m", "celery", "-A", "kasparro", "beat", "--loglevel", "WARNING", "--pidfile=", "--max-interval", "1")


@pytest.fixture
def workers(project: Project, valkey: Servers) -> Project:
    """The project with only the products source, on its own broker."""
    project.environment |= {"REDIS_URL": valkey.redis_url(), "ETL_SOURCES": "etl.sources.products.ProductsCsv"}
    make_missing_sweep()  # as a migration does: beat may miss what is created while it reads its entries
    return project


def start_worker(project: Project, **environment: str) -> "subprocess.Popen[str]":
    return project.start_python(*WORKER, **environment)


def queue(project: Project) -> int:
    (outcome,) = project.ingest("products_csv", "--queue")
    assert outcome["status"] == "queued"
    return int(outcome["run"])


def await_closed(run_id: int, *, seconds: float = PATIENCE_SECONDS) -> Run:
    wait_until(lambda: is_closed(run_id), seconds=seconds)
    return Run.objects.get(pk=run_id)


def list_events(run_id: int) -> list[str]:
    return list(Run.objects.get(pk=run_id).events.values_list("kind", flat=True))


def prefix() -> str:
    return f"kasparro:{connection.settings_dict['NAME']}:"


def make_sender(valkey: Servers) -> Celery:
    sender = Celery(
        broker=valkey.redis_url().replace("unix://", "redis+socket://").replace("?db", "?virtual_host"),
        set_as_current=False,
    )
    sender.conf.broker_transport_options = {**settings.CELERY_BROKER_TRANSPORT_OPTIONS, "global_keyprefix": prefix()}
    return sender


def test_a_queued_run_is_executed_by_a_worker(workers: Project) -> None:
    products_file(workers, count=500)
    run_id = queue(workers)
    start_worker(workers)
    run = await_closed(run_id)
    assert (run.status, run.trigger, run.at_terminal) == ("partial", "command", False)
    assert list_events(run_id) == ["queued", "started", "closed"]
    assert_landed_once(500)


def test_a_message_that_arrives_three_times_makes_one_run(workers: Project, valkey: Servers) -> None:
    products_file(workers, count=500)
    run_id = queue(workers)
    with make_sender(valkey) as sender:
        for _ in range(3):
            sender.send_task("etl.tasks.run", args=[run_id])
    for _ in range(2):
        start_worker(workers)
    await_closed(run_id)
    wait_until(lambda: not redis.Redis.from_url(valkey.redis_url()).llen(f"{prefix()}celery"))
    assert list_events(run_id).count("started") == 1
    assert_landed_once(500)


def test_a_run_whose_worker_is_killed_gets_a_successor(workers: Project) -> None:
    products_file(workers)
    workers.environment["ETL_LEASE_SECONDS"] = "5"
    with gated(workers):
        run_id = queue(workers)
        worker = start_worker(workers)
        wait_until(lambda: landed_batches() >= 5)
        os.killpg(worker.pid, signal.SIGKILL)
    outlive_the_lease()
    start_worker(workers)
    wait_until(lambda: workers.run("sweep").returncode == 0 and Run.objects.filter(attempt=2).exists())
    await_closed(Run.objects.get(attempt=2).pk)
    assert Run.objects.get(pk=run_id).reason == "abandoned"
    assert_landed_once()


def test_the_third_abandoned_attempt_is_the_last(workers: Project) -> None:
    Checkpoint.objects.create(source="products_csv", epoch=1, lease_expires_at="2026-01-01T00:01:00Z")
    Run.objects.create(
        source="products_csv",
        key="third",
        trigger="schedule",
        status="running",
        attempt=3,
        epoch=1,
        started_at="2026-01-01T00:00:00Z",
        heartbeat_at="2026-01-01T00:00:00Z",
    )
    workers.run("sweep")
    assert Run.objects.get(key="third").reason == "gave_up"
    assert not Run.objects.filter(key__startswith="successor:").exists()


def test_a_walk_may_outlast_its_task(workers: Project) -> None:
    """Each task lands a page at least, and the next one asks for no page that has landed."""
    with PagedApi(make_pages([250] * 12)) as api:
        api.seconds = 0.05
        workers.environment |= {"ETL_SOURCES": paged_source.PATH, paged_source.VARIABLE: api.url}
        workers.environment |= {"ETL_BATCH_SIZE": "250", "ETL_TASK_SECONDS": "0.2"}
        (outcome,) = workers.ingest("paged", "--queue")
        start_worker(workers)
        run = await_closed(int(outcome["run"]))
        assert (run.status, run.seen, run.new, run.attempt) == ("success", 3000, 3000, 1)
        handed_over = list_events(run.pk).count("handed_over")
        assert handed_over >= 2
        asked = [find_page(request) for request in api.requests]
        assert set(asked) == set(range(12))
        assert len(asked) <= 12 + 4 * handed_over  # the first four pages are judged before they land
        assert asked[4:] == sorted(asked[4:])


def test_a_read_may_outlast_its_task(workers: Project) -> None:
    products_file(workers)
    workers.environment["ETL_TASK_SECONDS"] = "0.1"
    run_id = queue(workers)
    start_worker(workers)
    run = await_closed(run_id, seconds=180)  # up to 60 tasks
    assert (run.status, run.attempt) == ("partial", 1)
    assert list_events(run_id).count("started") >= 3
    assert list_events(run_id).count("handed_over") >= 2
    assert_landed_once()


def test_a_worker_that_is_told_to_stop_hands_its_run_over(workers: Project) -> None:
    products_file(workers, count=2 * COUNT)  # the run would last longer than the worker takes to stop
    with gated(workers):
        run_id = queue(workers)
        worker = start_worker(workers)
        wait_until(lambda: landed_batches() >= 5)
        worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=60)
    assert Run.objects.get(pk=run_id).status == "queued"
    start_worker(workers)
    assert await_closed(run_id).status == "partial"
    assert_landed_once(2 * COUNT)


def test_a_lost_message_only_delays_a_run(workers: Project, valkey: Servers) -> None:
    """With its own settings: the message is due again after a minute, and beat sends a sweep each minute."""
    products_file(workers, count=200)
    run_id = queue(workers)
    redis.Redis.from_url(valkey.redis_url()).flushall()
    start_worker(workers)
    workers.start_python(*BEAT)
    await_closed(run_id, seconds=2 * 60 + PATIENCE_SECONDS)
    assert Run.objects.get(pk=run_id).sends == 2
    assert_landed_once(200)


def test_a_long_retry_after_puts_the_run_back_until_then(workers: Project) -> None:
    with Sandbox(plan="429:3600") as sandbox:
        workers.environment |= {
            "COINGECKO_BASE_URL": sandbox.url,
            "ETL_SOURCES": "etl.sources.coingecko.CoinGecko",
        }
        workers.run("ingest", "--queue", "coingecko_api")
        start_worker(workers)
        run = wait_until(lambda: Run.objects.filter(not_before__isnull=False).first())
    assert run.status == "queued"
    assert 3500 < (run.not_before - run.created_at).total_seconds() < 3700


def test_a_pickle_message_is_refused_and_the_worker_lives(workers: Project, valkey: Servers) -> None:
    products_file(workers, count=200)
    run_id = queue(workers)
    with make_sender(valkey) as sender:
        sender.send_task("etl.tasks.run", args=[run_id], serializer="pickle")
    worker = start_worker(workers)
    await_closed(run_id)
    assert worker.poll() is None


def test_two_workers_two_beats_and_each_message_three_times_make_one_run_per_slot(
    workers: Project, valkey: Servers
) -> None:
    products_file(workers, count=200)
    workers.environment["ETL_SOURCES"] = "tests.worker_sources.QuickProducts"
    workers.run("sweep")
    for _ in range(2):
        start_worker(workers)
        workers.start_python(*BEAT)
    repeated: set[int] = set()
    with make_sender(valkey) as sender:

        def repeat_messages() -> bool:
            for run_id in set(Run.objects.values_list("pk", flat=True)) - repeated:
                repeated.add(run_id)
                for _ in range(2):
                    sender.send_task("etl.tasks.run", args=[run_id])
            return Run.objects.filter(key__startswith="schedule:", status="success").count() >= 4

        wait_until(repeat_messages)
    slots = list(Run.objects.filter(key__startswith="schedule:").order_by("pk").values_list("key", flat=True))
    assert slots == sorted(set(slots))
    assert all(list_events(run_id).count("started") <= 1 for run_id in repeated)
    assert_landed_once(200)


def test_a_beat_that_was_down_for_three_slots_catches_up_once(workers: Project, valkey: Servers) -> None:
    products_file(workers, count=200)
    workers.environment["ETL_SOURCES"] = "tests.worker_sources.QuickProducts"
    workers.run("sweep")
    start_worker(workers)
    beat = workers.start_python(*BEAT)
    wait_until(lambda: Run.objects.filter(status="success").count() >= 2)
    os.killpg(beat.pid, signal.SIGKILL)
    wait_until(lambda: is_idle(valkey))
    before = set(Run.objects.values_list("pk", flat=True))
    time.sleep(3.2)
    restarted_at = read_clock()
    workers.start_python(*BEAT)
    wait_until(lambda: Run.objects.exclude(pk__in=before).filter(status="success").count() >= 2)
    missed = [
        key
        for key in Run.objects.exclude(pk__in=before).values_list("key", flat=True)
        if datetime.fromisoformat(key.split(":", 2)[2]) <= restarted_at
    ]
    assert len(missed) <= 1


def is_idle(valkey: Servers) -> bool:
    with redis.Redis.from_url(valkey.redis_url()) as client:
        return (
            not client.exists(f"{prefix()}celery", f"{prefix()}unacked")
            and not Run.objects.filter(status__in=OPEN).exists()
        )


def test_a_disabled_entry_pauses_its_source(workers: Project) -> None:
    from django_celery_beat.models import PeriodicTask

    workers.run("sweep")
    PeriodicTask.objects.filter(name="ingest products_csv").update(enabled=False)
    Run.objects.all().delete()
    workers.run("sweep")
    assert not Run.objects.exists()
    assert not PeriodicTask.objects.get(name="ingest products_csv").enabled


def test_a_worker_survives_a_restart_of_postgresql(workers: Project) -> None:
    with run_servers(runs_valkey=False) as servers:
        products_file(workers)
        workers.environment |= {"DATABASE_URL": "", "KASPARRO_HOME": str(servers.home)}
        workers.run("migrate", "-v0")

        def ask(statement: str) -> Any:
            try:
                with open_session(servers.database_url()) as session, session.cursor() as cursor:
                    cursor.execute(statement)
                    return (cursor.fetchone() or (None,))[0]
            except OperationalError:
                return None

        with gated(workers):
            run_id = queue(workers)
            start_worker(workers)
            wait_until(lambda: (ask("SELECT batch_number FROM ingestion_checkpoints") or 0) >= 5)
            postmaster = servers.list_used()[0].find_process()
            assert postmaster is not None
            os.kill(postmaster, signal.SIGQUIT)  # an immediate shutdown
        wait_until(lambda: ask(f"SELECT status = 'partial' FROM etl_runs WHERE id = {run_id}"))
        assert workers.run("verify").returncode == 0
        workers.kill_all()


def test_up_brings_every_source_up_to_date_and_stops_cleanly(workers: Project) -> None:
    products_file(workers, count=200)
    up = workers.start("up", "--port", "0", KASPARRO_HOME=str(workers.folder / "home"))
    wait_until(lambda: Run.objects.filter(source="products_csv", status="partial").exists())
    up.send_signal(signal.SIGINT)
    output, errors = up.communicate(timeout=60)
    assert up.returncode == 0, errors
    assert [line for line in output.splitlines() if line.endswith("stopped")] == [
        "beat: stopped",
        "worker: stopped",
        "web: stopped",
    ]


def test_four_workers_together_keep_a_hosts_rate_limit(workers: Project) -> None:
    """So low a limit that the workers reach it on any machine."""
    with Sandbox() as sandbox:
        workers.environment |= {
            "COINGECKO_BASE_URL": sandbox.url,
            "ETL_RATE_LIMIT_COINGECKO": "2/4 second",
            "ETL_SOURCES": ",".join(f"tests.worker_sources.Coins{number}" for number in range(4)),
        }
        for _ in range(2):
            workers.run("ingest", "--queue", "--full", "--all")
        for _ in range(4):
            start_worker(workers)
        wait_until(lambda: Run.objects.filter(status="success").count() >= 8)
        assert len(sandbox.requests) >= 8
        assert Run.objects.filter(events__kind="wait").exists()
        times = Run.objects.aggregate(begun=Min("started_at"), ended=Max("finished_at"))
        assert (times["ended"] - times["begun"]).total_seconds() >= 12  # two places at once, and then every 4 s


def test_a_broker_that_dies_and_comes_back_empty_only_delays_runs(
    workers: Project, valkey: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sweeper's minute is the longest delay. Here the test sweeps all the time."""
    products_file(workers)
    workers.environment["ETL_SOURCES"] = "tests.worker_sources.QuickProducts"
    with gated(workers):
        worker = start_worker(workers)
        wait_until(lambda: landed_batches() >= 5)
        (server,) = valkey.list_used()
        process = server.find_process()
        assert process is not None
        os.kill(process, signal.SIGKILL)
    wait_until(lambda: not server.answers())
    run_id = queue(workers)  # its message can't be sent
    valkey.start()
    redis.Redis.from_url(valkey.redis_url()).flushall()
    wait_until(lambda: workers.run("sweep").returncode == 0 and is_closed(run_id))
    ((delay,),) = fetch("SELECT max(started_at - created_at) FROM etl_runs")
    with capsys.disabled():
        print(f" worst delay {delay.total_seconds():.1f} s ", end="")
    assert worker.poll() is None
    assert_landed_once()


def is_closed(run_id: int) -> bool:
    return not Run.objects.filter(pk=run_id, status__in=OPEN).exists()


def test_a_message_of_a_killed_worker_is_delivered_again(workers: Project, valkey: Servers) -> None:
    """The transport's restore interval is lowered: with the default, a quick test of this passes falsely."""
    products_file(workers)
    with gated(workers):
        run_id = queue(workers)
        worker = start_worker(workers, ETL_LEASE_SECONDS="4")
        wait_until(lambda: landed_batches() >= 3)
        os.killpg(worker.pid, signal.SIGKILL)
    Run.objects.filter(pk=run_id).update(status="queued", reason="")  # so that the message has something to do
    Run.objects.exclude(pk=run_id).delete()
    outlive_the_lock(valkey)  # a message that comes earlier is used up
    with make_sender(valkey) as sender:
        sender.conf.broker_transport_options |= {"visibility_timeout": 0, "unacked_restore_interval": 0}
        with sender.connection_for_read() as link:
            wait_until(lambda: restore(link, valkey))
    start_worker(workers)
    await_closed(run_id)
    assert_landed_once()


def outlive_the_lock(valkey: Servers) -> None:
    outlive_the_lease()
    with redis.Redis.from_url(valkey.redis_url()) as client:
        wait_until(lambda: not client.exists(f"{prefix()}lock:products_csv"))


def restore(link: Any, valkey: Servers) -> bool:
    link.default_channel.qos.restore_visible(num=10)
    with redis.Redis.from_url(valkey.redis_url()) as client:
        return not client.exists(f"{prefix()}unacked")


def test_a_worker_whose_run_is_cancelled_stops_and_takes_the_next(workers: Project) -> None:
    products_file(workers)
    with gated(workers):
        run_id = queue(workers)
        worker = start_worker(workers)
        wait_until(lambda: landed_batches() >= 5)
        cancel(run_id, by="a test")
        landed = landed_batches()
    wait_until(lambda: "overtaken" in list_events(run_id))
    assert landed_batches() == landed
    queue(workers)  # unless the sweep at the worker's start has already queued its due run
    wait_until(lambda: Run.objects.filter(status="partial").exists())
    assert Run.objects.get(pk=run_id).reason == "cancelled"
    assert worker.poll() is None
    assert_landed_once()
