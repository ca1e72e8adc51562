"""Starting one embedded server, waiting for it, and stopping it; the caller holds the lock of its folder."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

from kasparro.embedded.errors import EmbeddedError, explain_errors, pick_reason
from kasparro.embedded.owner import run_as_owner
from kasparro.embedded.server import Server

NEEDED_DISK_BYTES = 200 << 20
START_SECONDS = 60
RETRY_SECONDS = 15
STOP_SECONDS = 30
POLL_SECONDS = 0.02

_launched: "list[subprocess.Popen[bytes]]" = []  # they outlive us: Python warns of a running child that is forgotten


def start(server: Server) -> None:
    """Return once it takes commands: it does already, it recovers, or it is started."""
    with explain_errors(server.base):
        if not _becomes_ready(server, server.answers):
            _launch_until_ready(server)


def _launch_until_ready(server: Server) -> None:
    """Try again for a while: after a kill -9 the old server's children may still hold its memory."""
    deadline = time.monotonic() + RETRY_SECONDS
    while True:
        _check_disk(server)
        server.prepare()
        logged = len(_read_log(server))
        if _launch(server):
            return
        if time.monotonic() > deadline:
            raise EmbeddedError(f"{server.name} does not start: {pick_reason(_read_log(server)[logged:])}")
        time.sleep(0.3)


def _check_disk(server: Server) -> None:
    free = shutil.disk_usage(server.base).free
    if free < NEEDED_DISK_BYTES:
        raise EmbeddedError(
            f"{server.name} needs {NEEDED_DISK_BYTES >> 20} MiB of free disk in {server.base},"
            f" and {free >> 20} MiB are left: free some, or set KASPARRO_HOME to another disk."
        )


def _read_log(server: Server) -> str:
    return server.log.read_text(errors="replace") if server.log.exists() else ""


def _launch(server: Server) -> bool:
    """Start the program, in a session of its own (a terminal's Ctrl-C is not for it); whether it became ready."""
    command = server.make_command()
    with server.log.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **run_as_owner(server.base),
        )
    _launched.append(process)
    return _becomes_ready(server, lambda: process.poll() is None)


def _becomes_ready(server: Server, is_alive: Callable[[], bool]) -> bool:
    """Wait until it takes commands (it may be recovering from a crash); False if it ends meanwhile."""
    deadline = time.monotonic() + START_SECONDS
    while is_alive():
        try:
            server.ping()
            return True
        except server.unready as error:
            if time.monotonic() > deadline:
                reason = f"{pick_reason(str(error))} (see {server.log})"
                raise EmbeddedError(f"{server.name} did not start within {START_SECONDS} s: {reason}") from error
        time.sleep(POLL_SECONDS)
    return False


def stop(server: Server) -> None:
    """Return once its process has ended."""
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
        time.sleep(POLL_SECONDS)


def reap() -> None:
    """Collect those of our children that have ended."""
    for process in _launched:
        process.poll()
