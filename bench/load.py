"""Runs wrk with one thread and eight clients that keep their connections, and parses its output."""

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
    """The result of one load: responses per second, and latency in milliseconds."""

    rate: float
    p50_ms: float
    p99_ms: float


def find_wrk() -> str:
    """Return the path of wrk; end the benchmark if it is not installed."""
    found = shutil.which("wrk")
    if found is None:
        sys.exit("The benchmark needs wrk (https://github.com/wg/wrk): `apt-get install wrk`, or `brew install wrk`.")
    return found


def measure(url: str, seconds: int, headers: Mapping[str, str]) -> Measure:
    """Request `url` as fast as the server responds. End the benchmark if a request fails."""
    command = [find_wrk(), "-t1", f"-c{CLIENTS}", f"-d{seconds}s", "--timeout", "10s", "--latency"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    done = subprocess.run([*command, url], capture_output=True, text=True, check=False, timeout=seconds + 60)
    error = re.search(r"Non-2xx.*|Socket errors.*|unable to connect.*", done.stdout + done.stderr)
    if done.returncode != 0 or error:
        sys.exit(f"Requests to {url} failed: {error.group() if error else done.stderr.strip()}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert rate is not None
    return Measure(float(rate.group(1)), _find_latency(done.stdout, 50), _find_latency(done.stdout, 99))


def _find_latency(output: str, percentile: int) -> float:
    found = re.search(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s|m)\b", output, re.MULTILINE)
    assert found is not None
    return float(found.group(1)) * _UNITS[found.group(2)]
