"""`manage.py up`: runs web, worker and beat on the embedded servers until Ctrl-C, for development."""

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q

from kasparro.embedded.server import read_command

LOOK_SECONDS = 0.5
STOP_SECONDS = 30


class Command(BaseCommand):
    help = "Start web, worker and beat, restart each one that dies, and stop them one by one on Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="port of the web process (default 8000)")
        parser.add_argument("--stop", action="store_true", help="stop an `up` in another terminal")

    def handle(self, *args: Any, port: int, stop: bool, **options: Any) -> None:
        self.pid_file = settings.EMBEDDED_HOME / "up.pid"
        if stop:
            return self._stop_other()
        if self._find_other() is not None:
            raise CommandError("`up` is already running; `make down` stops it.")
        settings.EMBEDDED_SERVERS.start_missing()
        call_command("migrate", verbosity=0)
        self.pid_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.pid_file.write_text(str(os.getpid()))
        self.stdout.write(f"http://127.0.0.1:{port}/admin/ and /api/docs/ (Ctrl-C stops everything)")
        if (password := make_first_superuser()) is not None:
            self.stdout.write(f"user admin, password {password} (just created, shown only once)")
        self.is_stopping = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)
        try:
            self._supervise(list_programs(port))
        finally:
            self.pid_file.unlink(missing_ok=True)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.is_stopping = True

    def _supervise(self, programs: dict[str, list[str]]) -> None:
        running: dict[str, subprocess.Popen[bytes]] = {}
        try:
            while not self.is_stopping:
                for name, command in programs.items():
                    if name not in running or running[name].poll() is not None:
                        self.stdout.write(f"{name}: {'starting' if name not in running else 'died, restarting'}")
                        # In its own session: Ctrl-C reaches only this process, which then stops each child.
                        running[name] = subprocess.Popen(command, start_new_session=True)  # noqa: S603
                settings.EMBEDDED_SERVERS.start_missing()
                time.sleep(LOOK_SECONDS)
        finally:
            for name in reversed(programs):
                if name in running:
                    self._stop(name, running[name])

    def _stop(self, name: str, process: "subprocess.Popen[bytes]") -> None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.stdout.write(f"{name}: stopped")

    def _find_other(self) -> int | None:
        try:
            pid = int(self.pid_file.read_text())
        except (OSError, ValueError):
            return None
        # After a crash, the pid may belong to a process that has nothing to do with this one.
        return pid if "up" in re.split(r"[\0 ]", read_command(pid)) else None

    def _stop_other(self) -> None:
        pid = self._find_other()
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 3 * STOP_SECONDS
        while self._find_other() is not None and time.monotonic() < deadline:
            time.sleep(0.1)


def make_first_superuser() -> str | None:
    """In development, create the user `admin` if there is no superuser yet. Return the password; it is not stored."""
    if not settings.DEBUG or User.objects.filter(Q(is_superuser=True) | Q(username="admin")).exists():
        return None
    password = secrets.token_urlsafe(12)
    User.objects.create_superuser("admin", password=password)
    return password


def list_programs(port: int) -> dict[str, list[str]]:
    """Return the command lines of the three processes, in the order in which they start."""
    python, project = sys.executable, Path(settings.BASE_DIR)
    celery = [python, "-m", "celery", "--workdir", str(project), "-A", "kasparro"]
    return {
        "web": [
            *(python, "-m", "gunicorn", "--config", "python:kasparro.gunicorn", "--chdir", str(project)),
            *("--bind", f"127.0.0.1:{port}", "kasparro.wsgi"),
        ],
        "worker": [
            *celery,
            "worker",
            "--without-gossip",
            "--without-mingle",
            "--loglevel",
            "INFO",
            "--concurrency",
            "2",
        ],
        "beat": [*celery, "beat", "--loglevel", "INFO", "--pidfile="],
    }
