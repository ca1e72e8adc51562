"""`python -m tests.laws.mistakes [WORD]` makes all mistakes, or those whose name contains the word.

Many mistakes are shared among processes, one per core, each with a copy of the project and servers of its own.
What fails is repeated at the end, where a log that is cut still has it.
"""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import NoReturn

from tests.laws.mistakes import MISTAKES
from tests.laws.seeding import UNPROVEN, Mistake, prove

MOST_PROCESSES = 4
LEAST_SHARE = 10
"""A process begins with the tests on the unchanged project, which is worth it only for several mistakes."""


def end(number: int, frame: FrameType | None) -> NoReturn:
    """End as after Ctrl-C, so that no server stays."""
    sys.exit(128 + number)


def prove_in_shares(mistakes: list[Mistake], word: str) -> list[str]:
    """Prove the mistakes in several processes. Returns the lines that say what failed."""
    count = max(1, min(os.cpu_count() or 1, MOST_PROCESSES, len(mistakes) // LEAST_SHARE))
    if count == 1:
        return prove(mistakes)
    command = [sys.executable, "-m", "tests.laws.mistakes", word]
    processes = [
        subprocess.Popen([*command, f"{index}/{count}"], stdout=subprocess.PIPE, text=True) for index in range(count)
    ]
    with ThreadPoolExecutor(count) as threads:
        try:
            failures = [line for lines in threads.map(print_and_find_failures, processes) for line in lines]
        finally:
            for process in processes:
                process.terminate()  # its thread waits for its end
    print(f"{len(mistakes)} mistakes in {count} processes.")
    return failures


def print_and_find_failures(process: subprocess.Popen[str]) -> list[str]:
    """Print each line of the process as it comes. Returns those after which it failed."""
    assert process.stdout is not None
    failures = []
    for line in process.stdout:
        print(line, end="", flush=True)
        if UNPROVEN in line:
            failures.append(line.rstrip())
    return failures if process.wait() == 0 or failures else [f"{UNPROVEN}: a process ended with {process.returncode}"]


signal.signal(signal.SIGTERM, end)
word = sys.argv[1] if len(sys.argv) > 1 else ""
chosen = [mistake for mistake in MISTAKES if word in mistake.name]
if not chosen:
    sys.exit(f"No mistake is named like {word}.")
if len(sys.argv) > 2:
    first, count = map(int, sys.argv[2].split("/"))
    sys.exit(1 if prove(chosen[first::count]) else 0)
failures = prove_in_shares(chosen, word)
print("\n".join(failures) or "All mistakes were noticed.")
sys.exit(1 if failures else 0)
