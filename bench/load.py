"""wrk: one thread, eight clients that keep their connections; what it says, in numbers."""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

CLIENTS = 8
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True, slots=True)
class Measure:
    """One load: answers a second, and latency in milliseconds."""

    rate: float
    p50_ms: float
    p99_ms: float


def find_wrk() -> str:
    """Its path; without it the benchmark ends."""
    found = shutil.which("wrk")
    if found is None:
        sys.exit("The benchmark needs wrk (https://github.com/wg/wrk): `apt-get install wrk`, or `brew install wrk`.")
    return found


def measure(url: str, seconds: int, headers: Mapping[str, str]) -> Measure:
    """Ask for `url` as fast as it is answered. Ends the benchmark if an answer is not a good one."""
    command = [find_wrk(), "-t1", f"-c{CLIENTS}", f"-d{seconds}s", "--timeout", "10s", "--latency"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    told = subprocess.run([*command, url], capture_output=True, text=True, check=False, timeout=seconds + 60)
    wrong = re.search(r"Non-2xx.*|Socket errors.*|unable to connect.*", told.stdout + told.stderr)
    if told.returncode != 0 or wrong:
        sys.exit(f"{url} was not answered well: {wrong.group() if wrong else told.stderr.strip()}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", told.stdout)
    assert rate is not None
    return Measure(float(rate.group(1)), _find_latency(told.stdout, 50), _find_latency(told.stdout, 99))


def _find_latency(told: str, percentile: int) -> float:
    found = re.search(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s|m)\b", told, re.MULTILINE)
    assert found is not None
    return float(found.group(1)) * _UNITS[found.group(2)]
