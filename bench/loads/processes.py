"""Measures a process from its start to its end: seconds, processor time, and the peak of its and its children's PSS."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.database import ROOT

SAMPLE_SECONDS = 1
"""More often would disturb what is measured: the kernel walks through all pages of a process for each sample."""

PATIENCE_SECONDS = 3 * 3600
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Done:
    """A process that has ended; `cpu` is its own processor time and that of its children."""

    seconds: float
    cpu: float
    peak_mib: float
    status: int
    output: str


class Peak:
    """The largest sum of the PSS of a process and its descendants so far, in MiB; the process itself may not count."""

    def __init__(self, *, counts_parent: bool = True) -> None:
        self.mib = 0.0
        self.skipped = 0 if counts_parent else 1

    def sample(self, pid: int) -> None:
        self.mib = max(self.mib, sum(map(_read_pss, list_tree(pid)[self.skipped :])) / 1024)


def list_tree(pid: int) -> list[int]:
    """Return the process and all of its descendants."""
    found = [pid]
    for each in found:  # it grows while it is read
        with suppress(OSError):  # the process or one of its threads has just ended
            for children in Path(f"/proc/{each}/task").glob("*/children"):
                found += map(int, children.read_text().split())
    return found


def _read_pss(pid: int) -> int:
    with suppress(OSError), Path(f"/proc/{pid}/smaps_rollup").open() as file:
        return next((int(line.split()[1]) for line in file if line.startswith("Pss:")), 0)
    return 0


def read_cpu(pid: int, *, with_reaped: bool = False) -> float:
    """Return the processor seconds of one process, and those of the children that it has reaped."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11 : 15 if with_reaped else 13])) / TICKS
    return 0.0


def read_tree_cpu(pid: int) -> float:
    """Return the processor seconds of a process, its descendants and those that have been reaped."""
    return sum(read_cpu(each, with_reaped=True) for each in list_tree(pid))


@contextmanager
def sampling(pid: int, *, counts_parent: bool = True) -> Iterator[Peak]:
    """Sample the process's memory in a thread."""
    peak, ended = Peak(counts_parent=counts_parent), threading.Event()

    def sample() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            peak.sample(pid)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def run(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Done:
    """Run the command and measure it. Its output goes to a file, which nothing has to read while it runs."""
    log = folder / "output.txt"
    with log.open("wb") as file:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, env=dict(environment), stdout=file, stderr=subprocess.STDOUT)
        with sampling(process.pid) as peak:
            _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    output = log.read_text(errors="replace")
    return Done(seconds, usage.ru_utime + usage.ru_stime, peak.mib, process.returncode, output)
