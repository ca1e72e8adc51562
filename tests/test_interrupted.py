"""A test run that is ended from outside leaves no process and no file."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.processes import ROOT, end_processes, list_processes, wait_until


def list_programs(folder: Path) -> set[str]:
    """List the programs started by tests that are running for the test run with this folder."""
    programs = ("postgres", "valkey-server", "gunicorn", "manage.py", "worker", "beat")
    commands = []
    for pid in list_processes(folder):
        with suppress(OSError):  # it has just ended
            commands.append(Path(f"/proc/{pid}/cmdline").read_text())
    return {program for program in programs if any(program in command for command in commands)}


@pytest.mark.servers
def test_a_run_that_is_ended_by_sigterm_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/interrupted.py"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": "", "REDIS_URL": "", "READY_FILE": str(ready)},
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: ready.exists() or run.poll() is not None)
    folder = Path(ready.read_text())
    try:
        wait_until(lambda: len(list_programs(folder)) == 6)
        run.send_signal(signal.SIGTERM)
        output, _ = run.communicate(timeout=60)
        assert list_processes(folder) == []
        assert not folder.exists()
        assert run.returncode != 0, output
    finally:
        end_processes(folder)
        shutil.rmtree(folder, ignore_errors=True)
