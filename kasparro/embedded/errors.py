"""The only error that the embedded servers raise; commands print its message."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.core.management.base import CommandError


class EmbeddedError(CommandError):
    """A server can't be started or stopped; the message says why and what to do."""


@contextmanager
def explain_errors(folder: Path) -> Iterator[None]:
    """Turn an error of the operating system (disk full, no permission) into an EmbeddedError."""
    try:
        yield
    except (OSError, shutil.Error) as error:
        # shutil.Error holds a list of (source, destination, reason): show the first.
        reason = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror or str(error)
        raise EmbeddedError(
            f"The embedded servers can't use {folder}: {reason}. Set KASPARRO_HOME to another folder,"
            " or DATABASE_URL and REDIS_URL to servers of your own."
        ) from error


def pick_reason(output: str) -> str:
    """Return the line of a program's output that says why it failed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    reasons = [line for line in lines if "FATAL" in line or "error" in line.lower() or "No space" in line]
    return (reasons or lines or ["no reason given"])[-1]
