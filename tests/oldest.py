"""`pytest -p tests.oldest -n N` tests with the oldest servers that we support: Debian 12's PostgreSQL 15 and Redis 7.

Each process of pytest-xdist starts its own in its part of the run's folder; conftest.py ends and removes all of it.
`.ci/oldest` installs them.
"""

import os
import subprocess
from pathlib import Path

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from kasparro.embedded.owner import give, run_as_owner

PROGRAMS = "/usr/lib/postgresql/15/bin"
CLUSTER = ("--username=kasparro", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")

# Read before the settings are. The process that only hands out the tests starts no servers.
WORKER = os.environ.get("PYTEST_XDIST_WORKER")
FOLDER = Path(os.environ["KASPARRO_TEST_FOLDER"], WORKER, "oldest") if WORKER else None
if FOLDER is not None:
    os.environ["DATABASE_URL"] = f"postgresql://kasparro@/postgres?host={FOLDER}"
    os.environ["REDIS_URL"] = f"unix://{FOLDER}/redis.sock?db=0"


def pytest_configure(config: pytest.Config) -> None:
    if WORKER is None and not config.getoption("numprocesses"):
        raise pytest.UsageError("tests.oldest starts servers for the processes of pytest-xdist: add --numprocesses")


@pytest.hookimpl(trylast=True)
def pytest_sessionstart() -> None:
    """Start both servers, after conftest.py has made the run's folder."""
    if FOLDER is None:
        return
    FOLDER.mkdir()
    give(FOLDER)
    data, sockets = f"{FOLDER}/data", f"-c listen_addresses= -c unix_socket_directories={FOLDER}"
    _run(f"{PROGRAMS}/initdb", "-D", data, *CLUSTER)
    _run(f"{PROGRAMS}/pg_ctl", "-D", data, "-w", "-l", f"{FOLDER}/log", "-o", sockets, "start")
    _run("redis-server", "--port", "0", "--unixsocket", f"{FOLDER}/redis.sock", "--save", "", "--daemonize", "yes")
    with redis.Redis(unix_socket_path=str(FOLDER / "redis.sock"), retry=Retry(ConstantBackoff(0.1), 100)) as client:
        client.ping()


def _run(*command: str) -> None:
    assert FOLDER is not None
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **run_as_owner(FOLDER))


def pytest_report_header() -> str:
    return "servers: PostgreSQL 15 and Redis 7, for each process of pytest-xdist"
