"""Writes the results of a benchmark into the docs, between two marks, and changes nothing else there."""

import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path


def describe_machine(server_version: str) -> str:
    """Describe the date, the hardware and the versions, without the machine's name."""
    with Path("/proc/cpuinfo").open() as file:
        models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    packages = ", ".join(f"{name} {version(name)}" for name in ("Django", "djangorestframework", "gunicorn"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} CPUs ({models[0] if models else platform.machine()}),"
        f" Python {platform.python_version()}, PostgreSQL {server_version}, {packages}"
    )


def make_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def replace_section(path: Path, name: str, text: str) -> None:
    """Put `text` between the marks of this name in the file; raise ValueError if it has no such marks."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    found = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    whole = path.read_text()
    if not found.search(whole):
        raise ValueError(f"{path} has no marks {begin} … {end}")
    path.write_text(found.sub(lambda _: f"{begin}\n{text}\n{end}", whole))
