"""`python -m tests.laws.mistakes [WORD]` makes all mistakes, or those whose name contains the word.

Many mistakes are shared among processes, one per core, each with a copy of the project and servers of its own.
"""

import os
import signal
import subprocess
import sys
from types import FrameType
from typing import NoReturn

from tests.laws.mistakes import MISTAKES
from tests.laws.seeding import Mistake, prove

MOST_PROCESSES = 4
LEAST_SHARE = 10
"""A process begins with the tests on the unchanged project, which is worth it only for several mistakes."""


def end(number: int, frame: FrameType | None) -> NoReturn:
    """End as after Ctrl-C, so that no server stays."""
    sys.exit(128 + number)


def prove_in_shares(mistakes: list[Mistake], word: str) -> bool:
    """Prove the mistakes in several processes. Returns whether all were noticed."""
    count = max(1, min(os.cpu_count() or 1, MOST_PROCESSES, len(mistakes) // LEAST_SHARE))
    if count == 1:
        return prove(mistakes)
    command = [sys.executable, "-m", "tests.laws.mistakes", word]
    processes = [subprocess.Popen([*command, f"{index}/{count}"]) for index in range(count)]
    try:
        failed = sum(process.wait() != 0 for process in processes)
    finally:
        for process in processes:
            process.terminate()
            process.wait()
    print(f"{len(mistakes)} mistakes in {count} processes: {f'{failed} failed' if failed else 'all were noticed'}.")
    return not failed


signal.signal(signal.SIGTERM, end)
word = sys.argv[1] if len(sys.argv) > 1 else ""
chosen = [mistake for mistake in MISTAKES if word in mistake.name]
if len(sys.argv) > 2:
    first, count = map(int, sys.argv[2].split("/"))
    sys.exit(not prove(chosen[first::count]))
sys.exit(not prove_in_shares(chosen, word))
