"""Laws of the embedded servers and of the settings, each test with servers of its own in a folder of its own."""

import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg2
import pytest
import redis

from kasparro.embedded import Server, Servers
from kasparro.environment import Environment
from tests.processes import ROOT, wait_until

STRANGER = 12_345  # a user that runs none of the servers
USER = next(user.pw_uid for user in pwd.getpwall() if user.pw_uid not in (0, os.getuid(), STRANGER))  # ordinary
NAMES = ("PostgreSQL", "Valkey")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user or mount a disk")
LOCATED = re.compile(r"/var/tmp/kasparro-\d+-[0-9a-f]{12}")
DURABLE_ROW = "CREATE TABLE IF NOT EXISTS kept (n int); INSERT INTO kept VALUES (1)"
SHELL = ("shell", "--verbosity", "0", "--command")
CONNECT = (*SHELL, "from django.db import connection; connection.ensure_connection()")
COUNT_KEPT = (
    "from django.db import connection; cursor = connection.cursor();"
    "cursor.execute('SELECT count(*) FROM kept'); print(cursor.fetchone()[0])"
)


started: "list[subprocess.Popen[str]]" = []


# --- the means ------------------------------------------------------------------------------------
@contextmanager
def make_home() -> Iterator[Path]:
    """An empty home folder; its servers, there or where its `location` points, are ended and removed."""
    others = set(Path("/var/tmp").iterdir())
    base = Path(tempfile.mkdtemp(prefix="k-", dir="/tmp"))
    base.chmod(0o755)
    try:
        yield base
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
                process.communicate()
        started.clear()
        located = {Path(location.read_text().strip()) for location in base.rglob("location")}
        # The code under test wrote these: only a folder that is new, and named as ours are, is taken for one.
        for folder in (base, *(path for path in located - others if LOCATED.fullmatch(str(path)))):
            end_servers(folder)
            shutil.rmtree(folder, ignore_errors=True)


def end_servers(folder: Path) -> None:
    """End what runs on this folder: by the number in its own pid file, and only if that is such a server."""
    for file, program in (("postmaster.pid", "postgres"), ("valkey.pid", "valkey-server")):
        for pid_file in folder.rglob(file):
            number = pid_file.read_text().split("\n")[0]
            command = dict(list_processes()).get(int(number), "") if number.isdigit() else ""
            if f"{folder}/" in command and Path(command.split()[0]).name == program:
                _end(int(number))


def _end(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + 10
    while "<defunct>" not in dict(list_processes()).get(pid, "<defunct>"):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


@pytest.fixture
def home() -> Iterator[Path]:
    with make_home() as made:
        yield made


@pytest.fixture(scope="module")
def seed() -> Iterator[Path]:
    """A home whose servers ran once and were stopped."""
    with make_home() as made:
        Servers(made).start()
        Servers(made).stop()
        yield made


def copy_home(seed: Path, home: Path) -> None:
    for path in seed.iterdir():
        is_program = "-" in path.name  # never written to: links are enough
        subprocess.run(["cp", "-al" if is_program else "-a", str(path), str(home)], check=True)


@pytest.fixture
def used_home(home: Path, seed: Path) -> Path:
    """A home whose servers ran before: what is not about the first start need not wait for it."""
    copy_home(seed, home)
    return home


@pytest.fixture(scope="module")
def running(seed: Path) -> Iterator[Servers]:
    """Servers that tests only look at."""
    with make_home() as made:
        copy_home(seed, made)
        servers = Servers(made)
        servers.start()
        yield servers


def list_processes() -> list[tuple[int, str]]:
    done = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True)
    lines = (line.split(None, 1) for line in done.stdout.splitlines())
    return [(int(pid), command) for pid, command in lines if int(pid) != os.getpid()]


def start_manage(
    home: Path, *arguments: str, prefix: Sequence[str] = (), **environment: str
) -> "subprocess.Popen[str]":
    """`manage.py ARGUMENTS` with nothing of the developer's own settings: an empty variable is an unset one."""
    unset = dict.fromkeys(("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ALLOWED_HOSTS", "HTTPS", "ETL_SOURCES"), "")
    path = os.environ.get("PATH", os.defpath)
    known = {"PATH": path, "DEBUG": "true", "KASPARRO_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", **unset}
    process = subprocess.Popen(
        [*prefix, sys.executable, str(ROOT / "manage.py"), *arguments],
        cwd=ROOT,
        env={**known, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    started.append(process)
    return process


def manage(
    home: Path, *arguments: str, prefix: Sequence[str] = (), **environment: str
) -> "subprocess.CompletedProcess[str]":
    process = start_manage(home, *arguments, prefix=prefix, **environment)
    output, errors = process.communicate(timeout=90)
    assert "Traceback" not in errors, errors
    return subprocess.CompletedProcess(arguments, process.returncode, output, errors)


def run_sql(servers: Servers, sql: str) -> object:
    connection = psycopg2.connect(servers.database_url())
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None
    finally:
        connection.close()


def list_servers(folder: Path) -> list[str]:
    """Names of the server programs that run on this folder (of PostgreSQL the postmaster alone names it)."""
    words = [command.split()[0] for _, command in list_processes() if f"{folder}/" in command]
    return sorted(Path(word).name for word in words if Path(word).name in ("postgres", "valkey-server"))


def find_pid(server: Server) -> int:
    pid = server.find_process()
    assert pid is not None
    return pid


def await_files(folder: Path, pattern: str) -> None:
    wait_until(lambda: any(folder.glob(pattern)), every=0.001)


def kill_hard(servers: Servers) -> None:
    """kill -9 of both servers, as the kernel does it when memory is short."""
    pids = [find_pid(server) for server in servers.list_used()]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(server.answers() for server in servers.list_used()))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- start, stop and status -----------------------------------------------------------------------
def test_servers_start_status_and_stop_say_what_is(used_home: Path) -> None:
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


def test_stopping_what_never_ran_is_fine_and_makes_nothing(home: Path) -> None:
    done = manage(home / "new", "servers", "stop")
    assert done.returncode == 0
    assert "PostgreSQL: stopped" in done.stdout
    assert not (home / "new").exists()


def test_the_printed_addresses_work_for_another_process(home: Path, running: Servers) -> None:
    lines = manage(running.home, "servers", "status").stdout.splitlines()
    shown = dict(line.split("=", 1) for line in lines if "_URL=" in line)
    ask = "from django.conf import settings; import redis; print(redis.Redis.from_url(settings.REDIS_URL).ping());"
    run_sql(running, DURABLE_ROW)
    done = manage(home / "unused", *SHELL, ask + COUNT_KEPT, **shown)
    assert done.stdout == "True\n1\n"
    assert not (home / "unused").exists()


def test_any_command_that_needs_the_database_starts_both_servers(used_home: Path) -> None:
    done = manage(used_home, *CONNECT)
    assert done.returncode == 0
    assert list_servers(used_home) == ["postgres", "valkey-server"]


def test_commands_that_need_no_server_start_none(home: Path) -> None:
    assert manage(home / "new", "check").returncode == 0
    assert not (home / "new").exists()


def test_many_starters_at_once_end_with_one_of_each(home: Path) -> None:
    starters = [start_manage(home, *arguments) for arguments in (("servers", "start"), CONNECT, CONNECT, CONNECT)]
    outcomes = [(starter.communicate(timeout=90)[1], starter.returncode) for starter in starters]
    assert outcomes == [("", 0)] * 4
    assert list_servers(home) == ["postgres", "valkey-server"]


# --- recovery -------------------------------------------------------------------------------------
def test_killed_hard_the_next_command_finds_everything_that_was_written(used_home: Path) -> None:
    servers = Servers(used_home)
    servers.start()
    run_sql(servers, DURABLE_ROW)
    with redis.Redis.from_url(servers.redis_url()) as client:
        client.set("kept", "yes")
    kill_hard(servers)
    done = manage(used_home, *SHELL, COUNT_KEPT)
    assert (done.stdout, done.stderr, done.returncode) == ("1\n", "", 0)
    with redis.Redis.from_url(servers.redis_url()) as client:
        assert client.get("kept") == b"yes"


@pytest.mark.parametrize("leaves_pid_file", [True, False], ids=["pid-file", "socket-lock-only"])
def test_stale_pid_and_socket_files_that_name_another_process_dont_matter(
    used_home: Path, leaves_pid_file: bool
) -> None:
    servers = Servers(used_home)
    servers.start()
    run_sql(servers, DURABLE_ROW)
    postgresql, valkey = servers.list_used()
    kill_hard(servers)
    # The other process names the folder, its number is in every file, and it is the same user's: only such a one
    # does PostgreSQL take for itself.
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


def test_a_server_whose_pid_file_was_lost_is_not_called_stopped(used_home: Path) -> None:
    servers = Servers(used_home, runs_postgresql=False)
    servers.start()
    (valkey,) = servers.list_used()
    pid = find_pid(valkey)
    valkey.pid_file.unlink()
    done = manage(used_home, "servers", "stop", DATABASE_URL="postgres://u@h/n")
    _end(pid)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "does not name its process" in done.stderr


def test_a_first_start_that_was_cut_is_begun_anew(home: Path) -> None:
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


def test_a_recovering_server_is_waited_for(used_home: Path) -> None:
    servers = Servers(used_home)
    servers.start()
    postgresql, _ = servers.list_used()
    run_sql(servers, "CREATE TABLE kept AS SELECT generate_series(1, 300000) AS n")
    os.kill(find_pid(postgresql), signal.SIGKILL)
    wait_until(lambda: not postgresql.answers())
    commands = [start_manage(used_home, *SHELL, COUNT_KEPT) for _ in range(3)]
    assert [command.communicate(timeout=90) for command in commands] == [("300000\n", "")] * 3


def test_a_valkey_that_can_not_start_is_a_warning_and_postgresql_runs(used_home: Path) -> None:
    shutil.rmtree(used_home / "valkey")
    (used_home / "valkey").write_text("in the way of its folder")
    done = manage(used_home, *CONNECT)
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert f"The embedded servers can't use {used_home}: File exists." in done.stderr
    assert list_servers(used_home) == ["postgres"]


# --- durable, and nobody else's -------------------------------------------------------------------
def test_what_is_written_is_durable(running: Servers) -> None:
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


def test_a_folder_with_other_files_in_it_is_left_alone(home: Path) -> None:
    (home / "letter.txt").write_text("dear")
    done = manage(home, "servers", "start")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"The folder {home} holds other files" in done.stderr
    assert mode_of(home) == 0o755
    assert [path.name for path in home.iterdir()] == ["letter.txt"]


def test_each_server_stands_by_itself(used_home: Path, running: Servers) -> None:
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
    assert done.stdout == "DATABASE_URL and REDIS_URL are set: no embedded server is used.\n"
    assert done.returncode == 0
    assert not (home / "new").exists()


# --- where ----------------------------------------------------------------------------------------
def check_elsewhere(home: Path, reason: str) -> None:
    """The servers work in the folder that home/location names, which the first command alone tells."""
    first = manage(home, "servers", "start")
    folder = Path((home / "location").read_text().strip())
    assert first.returncode == 0
    assert folder.parent == Path("/var/tmp")
    assert first.stderr.count("\n") == 1
    assert f"The embedded servers keep their data in {folder}: {home} {reason}." in first.stderr
    assert mode_of(folder) == 0o700
    run_sql(Servers(home), DURABLE_ROW)
    second = manage(home, *SHELL, COUNT_KEPT)
    assert (second.stdout, second.stderr) == ("1\n", "")
    assert list_servers(folder) == ["postgres", "valkey-server"]


def test_a_home_too_long_for_a_socket_works_elsewhere(home: Path) -> None:
    check_elsewhere(home / ("long" * 25), "is too long a path for a unix socket")


@needs_root
def test_a_home_out_of_the_servers_reach_works_elsewhere(home: Path) -> None:
    home.chmod(0o700)
    check_elsewhere(home / "inner", "is out of reach for their user")


def test_a_location_that_was_cut_while_written_is_written_again(home: Path) -> None:
    deep = home / ("long" * 25)
    deep.mkdir()
    (deep / "location").touch()
    servers = Servers(deep, runs_postgresql=False)
    servers.start()
    assert (deep / "location").read_text() == f"{servers.folder}\n"
    assert list_servers(servers.folder) == ["valkey-server"]


def test_a_location_too_long_for_a_socket_is_one_sentence(home: Path) -> None:
    (home / "location").write_text(f"{home}/{'long' * 25}\n")
    done = manage(home, "servers", "start")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "is too long a path for a unix socket (at most 103 bytes" in done.stderr


def test_a_home_that_can_not_be_made_is_one_sentence(home: Path) -> None:
    (home / "file").touch()
    done = manage(home / "file" / "inner", "servers", "start")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Not a directory. Set KASPARRO_HOME to another folder" in done.stderr


@pytest.fixture
def mount(home: Path) -> Iterator[list[str]]:
    """Options for a small disk at home/disk; mounted by `mount_disk`."""
    (home / "disk").mkdir()
    yield []
    end_servers(home)
    subprocess.run(["umount", str(home / "disk")], capture_output=True, check=False)


@needs_root
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("size=64m", "PostgreSQL needs 200 MiB of free disk in"),
        ("size=400m,nr_inodes=3", "No space left on device"),
        ("size=400m,nr_inodes=100", "No space left on device"),
        ("size=400m,nr_inodes=1300", "No space left on device"),
    ],
    ids=["bytes", "files-for-folders", "files-for-programs", "files-for-data"],
)
def test_no_disk_is_one_sentence(home: Path, mount: list[str], options: str, sentence: str) -> None:
    disk = home / "disk"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"{options},mode=755", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small disk could be mounted: {mounted.stderr.decode().strip()}")
    done = manage(disk / "home", "servers", "start")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert sentence in done.stderr


# --- as a normal user -----------------------------------------------------------------------------
MAKE_REACHABLE = """
set -e
shelter=$1 closed=$2 python=$3 user=$4; shift 4
if [ -n "$closed" ]; then
    mount --bind "$python" "$shelter"
    mount -t tmpfs -o mode=755 tmpfs "$closed"
    mkdir -p "$python"
    mount --bind "$shelter" "$python"
fi
exec setpriv --reuid "$user" --regid "$user" --clear-groups "$@"
"""


@pytest.fixture
def as_user(home: Path) -> list[str]:
    """What to put before a command to run it as an ordinary user, by whom Python may be out of reach.

    Then the command sees, in a mount namespace of its own, an open folder in place of the closed one.
    """
    python = Path(sys.base_prefix)
    if any(not parent.stat().st_mode & stat.S_IXOTH for parent in (ROOT, *ROOT.parents, *Path(sys.prefix).parents)):
        pytest.skip(f"{ROOT} is out of an ordinary user's reach")
    closed = [str(parent) for parent in reversed(python.parents) if not parent.stat().st_mode & stat.S_IXOTH]
    shelter = home / "python"
    shelter.mkdir()
    prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c", MAKE_REACHABLE, "sh"]
    prefix += [str(shelter), *(closed[:1] or [""]), str(python), str(USER)]
    tried = subprocess.run([*prefix, sys.executable, "-c", ""], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"Python is out of an ordinary user's reach: {tried.stderr.strip()}")
    return prefix


@needs_root
def test_everything_works_the_same_for_a_normal_user(home: Path, as_user: list[str]) -> None:
    folder = home / "user"
    folder.mkdir()
    os.chown(folder, USER, USER)
    mine = folder / "home"
    started = manage(mine, "servers", "start", prefix=as_user)
    servers = Servers(mine)
    pids = [find_pid(server) for server in servers.list_used()]
    assert (started.stderr, started.returncode) == ("", 0)
    assert {Path(f"/proc/{pid}").stat().st_uid for pid in pids} == {USER}
    assert {mode_of(path) for path in (mine, mine / "run", *(server.socket for server in servers.list_used()))} == {
        0o700
    }
    run_sql(servers, DURABLE_ROW)
    kill_hard(servers)
    counted = manage(mine, *SHELL, COUNT_KEPT, prefix=as_user)
    assert (counted.stdout, counted.stderr) == ("1\n", "")
    stopped = manage(mine, "servers", "stop", prefix=as_user)
    assert (stopped.stderr, stopped.returncode) == ("", 0)
    assert list_servers(mine) == []


@needs_root
def test_a_normal_user_does_not_take_over_the_folder_of_another(home: Path, as_user: list[str]) -> None:
    inner = home / "inner"
    inner.mkdir(mode=0o755)
    os.chown(inner, STRANGER, STRANGER)
    done = manage(inner, "servers", "start", prefix=as_user)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "belongs to somebody else" in done.stderr


# --- settings -------------------------------------------------------------------------------------
PRODUCTION = {
    "DEBUG": "off",
    "SECRET_KEY": "a-key-of-production-that-is-long-enough-0123456789-abcdefghij",
    "ALLOWED_HOSTS": "kasparro.example",
    "DATABASE_URL": "postgres://kasparro:a-password@127.0.0.1:1/kasparro",
    "REDIS_URL": "redis://:a-password@127.0.0.1:1/0",
}


def test_check_deploy_is_clean_in_production(home: Path) -> None:
    done = manage(home / "new", "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "missing",
    [("DATABASE_URL",), ("REDIS_URL",), ("SECRET_KEY", "DATABASE_URL", "REDIS_URL")],
    ids="+".join,
)
def test_production_stops_where_something_is_missing(home: Path, missing: tuple[str, ...]) -> None:
    done = manage(home / "new", "check", **{**PRODUCTION, **dict.fromkeys(missing, "")})
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"manage.py: {', '.join(missing)} must be set when DEBUG is off.")
    assert not (home / "new").exists()


def test_production_does_not_take_the_key_of_development(home: Path) -> None:
    shown = manage(home, *SHELL, "from django.conf import settings; print(settings.SECRET_KEY)")
    done = manage(home, "check", **{**PRODUCTION, "SECRET_KEY": shown.stdout.strip()})
    assert done.returncode == 1
    assert "SECRET_KEY must be set when DEBUG is off" in done.stderr


def test_a_key_may_begin_with_a_dollar(home: Path) -> None:
    done = manage(
        home,
        *SHELL,
        "from django.conf import settings; print(settings.SECRET_KEY)",
        **{**PRODUCTION, "SECRET_KEY": "$PATH" + PRODUCTION["SECRET_KEY"]},
    )
    assert done.stdout.strip() == "$PATH" + PRODUCTION["SECRET_KEY"]


WRONG = {
    "HTTPS": "perhaps",
    "ETL_BATCH_SIZE": "abc",
    "ETL_LEASE_SECONDS": "0",
    "ETL_BATCH_DEADLINE_SECONDS": "nan",
    "ETL_HTTP_RETRIES": "-1",
    "ETL_HTTP_BACKOFF_SECONDS": "inf",
    "ETL_HTTP_MAX_BYTES": "1.5",
    "DATABASE_URL": "mysql://user:a-password@127.0.0.1/kasparro",
    "REDIS_URL": "redis://:a-password@127.0.0.1:port/0",
}


def test_every_wrong_value_fails_the_check_with_an_id_and_a_hint(home: Path) -> None:
    done = manage(home / "new", "check", **WRONG)
    told = [line for line in done.stderr.splitlines() if "(kasparro.E001)" in line]
    assert done.returncode == 1
    assert [name for name in WRONG if not any(name in line for line in told)] == []
    assert len(told) == len(WRONG)
    assert done.stderr.count("HINT: Use ") == len(WRONG)
    assert "a-password" not in done.stdout + done.stderr


@pytest.mark.parametrize("missing", [{}, {"DATABASE_URL": "", "REDIS_URL": ""}], ids=["complete", "incomplete"])
def test_a_debug_that_can_not_be_read_fails_the_check(home: Path, missing: dict[str, str]) -> None:
    done = manage(home / "new", "check", **{**PRODUCTION, **missing, "DEBUG": "maybe"})
    assert done.returncode == 1
    assert "kasparro.E001" in done.stderr
    assert "DEBUG='maybe' can't be used" in done.stderr
    assert "Use on or off." in done.stderr
    assert not (home / "new").exists()


@pytest.mark.parametrize(
    "url",
    [
        "foo://user:a-password@127.0.0.1/kasparro",
        "postgres://user:a-password@127.0.0.1:port/kasparro",
        "postgres://user:a-password@127.0.0.1",
    ],
)
def test_a_database_url_that_is_no_postgresql_address_fails_and_is_not_shown(home: Path, url: str) -> None:
    done = manage(home / "new", "check", DATABASE_URL=url)
    assert done.returncode == 1
    assert "(kasparro.E001) DATABASE_URL is no PostgreSQL address" in done.stderr
    assert "a-password" not in done.stdout + done.stderr


@pytest.mark.parametrize("action", ["servers start", "sources"])
def test_no_command_runs_on_a_wrong_value(home: Path, action: str) -> None:
    done = manage(home / "new", *action.split(), ETL_BATCH_SIZE="0")
    assert done.returncode == 1
    assert "kasparro.E001" in done.stderr
    assert not (home / "new").exists()


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("ON", True), ("Yes", True), ("1", True), ("false", False), ("Off", False), ("no", False)],
)
def test_a_boolean_is_read_from_a_word(monkeypatch: pytest.MonkeyPatch, text: str, value: bool) -> None:
    monkeypatch.setenv("SOMETHING", f" {text} ")
    environment = Environment()
    assert environment.boolean("SOMETHING", default=not value) is value
    assert environment.problems == []


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SOMETHING", text)
    environment = Environment()
    assert environment.whole("SOMETHING", 7, least=1) == 7
    assert environment.items("SOMETHING", ["a"]) == ["a"]
    assert environment.problems == []
