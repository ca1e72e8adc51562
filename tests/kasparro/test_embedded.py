"""Laws of the embedded servers. Tests that change them have their own servers in their own folder."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from kasparro.embedded import Servers
from tests.kasparro.homes import (
    CONNECT,
    COUNT_KEPT,
    DURABLE_ROW,
    SHELL,
    STRANGER,
    find_pid,
    list_servers,
    manage,
    mode_of,
    needs_root,
    run_sql,
    start_manage,
)
from tests.processes import end_processes, wait_until

NAMES = ("PostgreSQL", "Valkey")


def await_files(folder: Path, pattern: str) -> None:
    wait_until(lambda: any(folder.glob(pattern)), every=0.001)


def kill_hard(servers: Servers) -> None:
    """Send kill -9 to both servers, as the kernel does when memory is short."""
    for server in servers.list_used():
        os.kill(find_pid(server), signal.SIGKILL)
    wait_until(lambda: not any(server.answers() for server in servers.list_used()))


# --- start, stop and status -----------------------------------------------------------------------
def test_servers_start_status_and_stop_show_the_state(used_home: Path) -> None:
    servers = Servers(used_home)
    before = manage(used_home, "servers", "status")
    started = manage(used_home, "servers", "start")
    during = manage(used_home, "servers", "status")
    again = manage(used_home, "servers", "start")
    pids = [find_pid(server) for server in servers.list_used()]
    stopped = manage(used_home, "servers", "stop")
    after = manage(used_home, "servers", "status")
    assert [done.returncode for done in (before, started, during, again, stopped, after)] == [1, 0, 0, 0, 0, 1]
    assert {done.stderr for done in (before, started, during, again, stopped, after)} == {""}
    addresses = [f"DATABASE_URL={servers.database_url()}", f"REDIS_URL={servers.redis_url()}"]
    sockets = [server.socket for server in servers.list_used()]
    running = [f"{name}: running, pid {pid} ({at})" for name, pid, at in zip(NAMES, pids, sockets, strict=True)]
    resting = [f"{name}: stopped ({at})" for name, at in zip(NAMES, sockets, strict=True)]
    assert started.stdout.splitlines() == during.stdout.splitlines() == again.stdout.splitlines() == running + addresses
    assert before.stdout.splitlines() == stopped.stdout.splitlines() == after.stdout.splitlines() == resting + addresses
    assert list_servers(used_home) == []


def test_stopping_servers_that_never_ran_succeeds_and_creates_nothing(home: Path) -> None:
    done = manage(home / "new", "servers", "stop")
    assert done.returncode == 0
    assert "PostgreSQL: stopped" in done.stdout
    assert not (home / "new").exists()


def test_a_stale_pid_file_of_up_ends_no_other_process(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as other:
        try:
            (home / "up.pid").write_text(str(other.pid))
            assert manage(home, "up", "--stop").returncode == 0
            assert other.poll() is None
        finally:
            other.kill()


def test_the_printed_addresses_work_for_another_process(home: Path, running: Servers) -> None:
    lines = manage(running.home, "servers", "status").stdout.splitlines()
    shown = dict(line.split("=", 1) for line in lines if "_URL=" in line)
    ask = "from django.conf import settings; import redis; print(redis.Redis.from_url(settings.REDIS_URL).ping());"
    run_sql(running, DURABLE_ROW)
    done = manage(home / "unused", *SHELL, ask + COUNT_KEPT, **shown)
    assert done.stdout == "True\n1\n"
    assert not (home / "unused").exists()


def test_commands_that_need_no_server_start_none(home: Path) -> None:
    assert manage(home / "new", "check").returncode == 0
    assert not (home / "new").exists()


def test_concurrent_commands_that_need_the_database_start_each_server_once(home: Path) -> None:
    starters = [start_manage(home, *CONNECT) for _ in range(4)]
    outcomes = [(starter.communicate(timeout=90)[1], starter.returncode) for starter in starters]
    assert outcomes == [("", 0)] * 4
    assert list_servers(home) == ["postgres", "valkey-server"]


# --- recovery -------------------------------------------------------------------------------------
def test_after_a_kill_the_next_commands_wait_for_recovery_and_find_everything(used_home: Path) -> None:
    servers = Servers(used_home)
    servers.start()
    run_sql(servers, "CREATE TABLE kept AS SELECT generate_series(1, 300000) AS n")
    with redis.Redis.from_url(servers.redis_url()) as client:
        client.set("kept", "yes")
    kill_hard(servers)
    commands = [start_manage(used_home, *SHELL, COUNT_KEPT) for _ in range(3)]
    assert [command.communicate(timeout=90) for command in commands] == [("300000\n", "")] * 3
    with redis.Redis.from_url(servers.redis_url()) as client:
        assert client.get("kept") == b"yes"


@pytest.mark.parametrize("leaves_pid_file", [True, False], ids=["pid-file", "socket-lock-only"])
def test_stale_pid_and_socket_files_that_name_another_process_do_no_harm(
    used_home: Path, leaves_pid_file: bool
) -> None:
    servers = Servers(used_home)
    servers.start()
    run_sql(servers, DURABLE_ROW)
    postgresql, valkey = servers.list_used()
    kill_hard(servers)
    # The other process has the folder in its command line, its pid in every file, and the servers' user: PostgreSQL
    # mistakes only such a process for itself.
    owner = postgresql.folder.stat().st_uid if os.geteuid() == 0 else None
    tail = ["tail", "-f", str(postgresql.log), str(valkey.log)]
    with subprocess.Popen(tail, stdout=subprocess.DEVNULL, user=owner) as other:
        try:
            socket_lock = postgresql.socket.with_name(postgresql.socket.name + ".lock")
            for path in (postgresql.pid_file, socket_lock, valkey.pid_file):
                _, *lines = path.read_text().split("\n")
                path.write_text("\n".join([str(other.pid), *lines]))
            if not leaves_pid_file:
                postgresql.pid_file.unlink()
            assert postgresql.socket.exists()
            assert valkey.socket.exists()
            servers.stop()
            servers.start()
            is_spared = other.poll() is None
        finally:
            other.kill()
    assert is_spared
    assert run_sql(servers, "SELECT count(*) FROM kept") == 1


def test_a_server_that_lost_its_pid_file_is_not_reported_as_stopped(used_home: Path) -> None:
    servers = Servers(used_home, runs_postgresql=False)
    servers.start()
    (valkey,) = servers.list_used()
    valkey.pid_file.unlink()
    done = manage(used_home, "servers", "stop", DATABASE_URL="postgres://u@h/n")
    end_processes(used_home)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"its pid is not in {valkey.pid_file}" in done.stderr


def test_a_first_start_that_was_killed_is_repeated(home: Path) -> None:
    in_the_copy_of_a_program, in_initdb = "*.draft/*/*", "postgresql.draft*/base"
    for moment in (in_the_copy_of_a_program, in_initdb) if os.geteuid() == 0 else (in_initdb,):
        process = start_manage(home, "servers", "start")
        await_files(home, moment)
        process.kill()
        process.communicate()
        assert not (home / "postgresql").exists()
    assert manage(home, "servers", "start").returncode == 0
    assert list_servers(home) == ["postgres", "valkey-server"]
    assert list(home.glob("*.draft*")) == []


def test_a_valkey_that_can_not_start_is_a_warning_and_postgresql_runs(used_home: Path) -> None:
    shutil.rmtree(used_home / "valkey")
    (used_home / "valkey").write_text("in the way of its folder")
    done = manage(used_home, *CONNECT)
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert f"The embedded servers can't use {used_home}: File exists." in done.stderr
    assert list_servers(used_home) == ["postgres"]


# --- durability and access ------------------------------------------------------------------------
def test_writes_are_durable(running: Servers) -> None:
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        assert run_sql(running, f"SHOW {name}") == "on"
    with redis.Redis.from_url(running.redis_url()) as client:
        assert client.config_get("appendonly") == {"appendonly": "yes"}


def test_folder_and_sockets_are_closed_to_others_and_no_port_is_open(running: Servers) -> None:
    sockets = [server.socket for server in running.list_used()]
    assert {mode_of(path) for path in (running.home, running.home / "run", *sockets)} == {0o700}
    assert run_sql(running, "SHOW listen_addresses") == ""
    with redis.Redis.from_url(running.redis_url()) as client:
        assert client.config_get("port") == {"port": "0"}


@needs_root
def test_another_user_can_not_connect(running: Servers) -> None:
    os.seteuid(STRANGER)
    try:
        outcomes = [_connect_to(server.socket) for server in running.list_used()]
    finally:
        os.seteuid(0)
    assert outcomes == ["Permission denied", "Permission denied"]
    assert [_connect_to(server.socket) for server in running.list_used()] == ["connected", "connected"]


def _connect_to(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError as error:
            return error.strerror or ""
        return "connected"


def test_a_folder_with_other_files_is_not_changed(home: Path) -> None:
    (home / "letter.txt").write_text("dear")
    done = manage(home, "servers", "start")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"The folder {home} contains other files" in done.stderr
    assert mode_of(home) == 0o755
    assert [path.name for path in home.iterdir()] == ["letter.txt"]


def test_each_server_can_be_used_without_the_other(used_home: Path, running: Servers) -> None:
    only_postgresql = {"REDIS_URL": "redis://127.0.0.1:1/0"}
    only_valkey = {"DATABASE_URL": running.database_url()}
    assert manage(used_home, *CONNECT, **only_valkey).returncode == 0
    assert list_servers(used_home) == ["valkey-server"]
    shown = manage(used_home, "servers", "status", **only_valkey)
    assert "PostgreSQL" not in shown.stdout
    assert shown.returncode == 0
    assert manage(used_home, "servers", "stop", **only_postgresql).returncode == 0
    assert list_servers(used_home) == ["valkey-server"]
    assert manage(used_home, "servers", "stop", **only_valkey).returncode == 0
    assert manage(used_home, *CONNECT, **only_postgresql).returncode == 0
    assert list_servers(used_home) == ["postgres"]


def test_with_both_urls_set_nothing_is_started(home: Path) -> None:
    done = manage(home / "new", "servers", "start", DATABASE_URL="postgres://u@h/n", REDIS_URL="redis://h")
    assert done.stdout == "DATABASE_URL and REDIS_URL are set, so no embedded server is used.\n"
    assert done.returncode == 0
    assert not (home / "new").exists()
