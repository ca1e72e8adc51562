"""A run of `make mistakes` that is ended leaves nothing."""

import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from tests.processes import ROOT, list_processes, wait_until

pytestmark = pytest.mark.servers


def runs_pytest(folder: Path) -> bool:
    """Whether a process of this folder is pytest."""
    for pid in list_processes(folder):
        with suppress(OSError):  # it has just ended
            if "pytest" in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
                return True
    return False


def test_a_proof_that_is_ended_leaves_no_server_and_no_folder() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # the paths of sockets must be short
        folder = Path(name)
        folder.chmod(0o711)  # the servers' user passes through
        command = [sys.executable, "-m", "tests.laws.mistakes", "inserted keys not sorted"]
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "TMPDIR": name})
        wait_until(lambda: runs_pytest(folder))
        process.terminate()
        assert process.wait(60) == 128 + 15
        assert list_processes(folder) == []
        assert list(folder.iterdir()) == []
