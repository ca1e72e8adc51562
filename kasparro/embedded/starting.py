"""Starts an embedded server, waits for it and stops it. The caller must hold the lock of the server's folder."""

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

_launched: "list[subprocess.Popen[bytes]]" = []  # Python warns if a Popen is garbage-collected while its process runs


def start(server: Server) -> None:
    """Start the server unless it is up or recovering, and return as soon as it accepts commands."""
    with explain_errors(server.base):
        if not _becomes_ready(server, server.answers):
            _launch_until_ready(server)


def _launch_until_ready(server: Server) -> None:
    """Retry for a while: after kill -9 the old server's children may still hold its shared memory."""
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
            f"{server.name} needs {NEEDED_DISK_BYTES >> 20} MiB of free disk space in {server.base}, but only"
            f" {free >> 20} MiB are left. Free some space, or set KASPARRO_HOME to a folder on another disk."
        )


def _read_log(server: Server) -> str:
    return server.log.read_text(errors="replace") if server.log.exists() else ""


def _launch(server: Server) -> bool:
    """Start the program in its own session, so that Ctrl-C does not reach it. Return whether it became ready."""
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
    """Wait until the server accepts commands; it may be recovering from a crash. Return False if it ends first."""
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
    """Stop the server and return as soon as its process has ended."""
    pid = server.find_process()
    if pid is None:
        if server.answers():
            raise EmbeddedError(f"{server.name} runs, but its pid is not in {server.pid_file}. Stop it yourself.")
        return
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(pid, server.stop_signal)
    deadline = time.monotonic() + STOP_SECONDS
    while server.find_process() is not None:
        if time.monotonic() > deadline:
            raise EmbeddedError(f"{server.name} (pid {pid}) did not stop within {STOP_SECONDS} s. See {server.log}.")
        time.sleep(POLL_SECONDS)


def reap() -> None:
    """Reap the launched processes that have ended, so that none stays a zombie."""
    for process in _launched:
        process.poll()
