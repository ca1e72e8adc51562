"""A worker whose broker is restarted closes its former connections."""

import os
import signal
from pathlib import Path

from kasparro.embedded import Servers
from tests.execution.test_workers import WORKER, is_closed, queue, valkey, workers
from tests.laws.test_crashes import products_file
from tests.processes import Project, wait_until

__all__ = ["valkey", "workers"]  # fixtures
_, _, *WORKER_ARGUMENTS = WORKER
COLLECTING_CELERY = """
import gc
from celery.__main__ import main
from celery.signals import heartbeat_sent
heartbeat_sent.connect(lambda **_: gc.collect(), weak=False)  # otherwise closed connections wait for it
main()
"""


def restart(valkey: Servers) -> None:
    (server,) = valkey.list_used()
    process = server.find_process()
    assert process is not None
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: not server.answers())
    valkey.start()


def count_open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_restarts_of_the_broker_leave_no_open_files(workers: Project, valkey: Servers) -> None:
    """A restart that leaks leaves at least one; the pools of connections vary by one."""
    products_file(workers, count=200)
    workers.environment["ETL_RESEND_SECONDS"] = "1"  # a killed broker may lose a message
    worker = workers.start_python("-c", COLLECTING_CELERY, *WORKER_ARGUMENTS)
    await_ready(workers)
    before = count_open_files(worker.pid)
    for _ in range(5):
        restart(valkey)
        await_ready(workers)
    wait_until(lambda: count_open_files(worker.pid) <= before + 1)


def await_ready(workers: Project) -> None:
    run_id = queue(workers)
    wait_until(lambda: is_closed(run_id) or not workers.run("sweep"))
