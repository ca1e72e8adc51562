"""`python -m tests.laws.mistakes [WORD] [--share K/N]` makes all mistakes, or those whose name contains the word.

A share is every Nth of them from the Kth on, counted from 0. Many mistakes are divided among processes, one per core,
each with a copy of the project and servers of its own. What fails is repeated at the end, where a log that is cut still
has it.
"""

import argparse
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


def read_share(text: str) -> tuple[int, int]:
    """Return K and N of `K/N`."""
    first, count = map(int, text.split("/"))
    if not 0 <= first < count:
        raise ValueError(text)
    return first, count


def prove_in_processes(mistakes: list[Mistake], word: str, share: tuple[int, int]) -> list[str]:
    """Prove the mistakes of a share, in several processes. Returns the lines that say what failed."""
    first, step = share
    count = max(1, min(os.cpu_count() or 1, MOST_PROCESSES, len(mistakes) // LEAST_SHARE))
    if count == 1:
        return prove(mistakes)
    command = [sys.executable, "-m", "tests.laws.mistakes", word, "--alone", "--share"]
    processes = [
        subprocess.Popen([*command, f"{first + index * step}/{step * count}"], stdout=subprocess.PIPE, text=True)
        for index in range(count)
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


parser = argparse.ArgumentParser(prog="python -m tests.laws.mistakes", description="Seed mistakes that tests notice.")
parser.add_argument("word", nargs="?", default="", help="only mistakes whose name contains it")
parser.add_argument("--share", type=read_share, default=(0, 1), metavar="K/N", help="only every Nth, from the Kth on")
parser.add_argument("--alone", action="store_true", help="in this process alone")
options = parser.parse_args()
signal.signal(signal.SIGTERM, end)
named = [mistake for mistake in MISTAKES if options.word in mistake.name]
if not named:
    sys.exit(f"No mistake is named like {options.word}.")
chosen = named[options.share[0] :: options.share[1]]
if options.alone:
    sys.exit(1 if prove(chosen) else 0)
failures = prove_in_processes(chosen, options.word, options.share)
print("\n".join(failures) or f"{len(chosen)} of {len(MISTAKES)} mistakes were made, and all were noticed.")
sys.exit(1 if failures else 0)
