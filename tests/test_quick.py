"""`make quick` starts no server."""

import subprocess
import sys
from pathlib import Path

from tests.processes import ROOT

WANTS_A_SERVER = """
from kasparro.embedded import Servers

def test_that_is_not_marked(tmp_path):
    Servers(tmp_path).start()
"""


def test_a_quick_run_lets_no_server_start(tmp_path: Path) -> None:
    (tmp_path / "test_wants.py").write_text(WANTS_A_SERVER)
    command = [sys.executable, "-m", "pytest", "-p", "tests.quick", "-c", str(ROOT / "pyproject.toml"), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "a quick test wants a server: mark it with pytest.mark.servers" in done.stdout
