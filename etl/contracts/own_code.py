"""Turns an exception of a source's own code into the breach of its record: with class and line, without its text. Pure.

The text of an exception may hold anything, a key too, so no message shows it.
"""

import traceback
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

from etl.exceptions import HandedOver, RunError
from etl.records import Breach
from etl.vocabulary import BreachCode

LONGEST_NAME = 60
_OF_THE_WORKER = frozenset({"billiard", "celery"})
"""Packages whose exceptions end a task, such as SoftTimeLimitExceeded: they may be raised in the middle of own code."""


def refuse_raised(error: Exception, what: str, called: Callable[..., Any]) -> Breach:
    """Return the breach of a record for which own code has raised an error; raises an error that ends the run again.

    `what` names the code in the message, and `called` is the function that was called.
    """
    if ends_run(error):
        raise error
    place = _find_own_line(error) or _find_definition(called)
    name = type(error).__name__[:LONGEST_NAME]
    return Breach(BreachCode.RAISED, f"{what} raised {name}{place and f' at {place}'}")


def check_breach(breach: Breach, what: str) -> Breach:
    """Return a breach that own code has made, or another one if it can't be stored."""
    if isinstance(breach.code, BreachCode) and isinstance(breach.message, str) and isinstance(breach.column, str):
        return breach
    return Breach(BreachCode.BAD_RESULT, f"{what} returned a Breach without a BreachCode, or without text")


def ends_run(error: Exception) -> bool:
    """Whether the error concerns the run, and not the record at which own code was looking."""
    packages = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return isinstance(error, MemoryError | RunError | HandedOver) or not packages.isdisjoint(_OF_THE_WORKER)


def _find_own_line(error: Exception) -> str:
    """Return the file and the line in own code from which the error came, or empty if it has not got that far."""
    frames = [
        (frame.f_globals.get("__name__", ""), frame, line) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    own = [frame for frame in frames if not _is_of_the_pipeline(frame[0])]
    if not own:
        return ""
    package = own[0][0].partition(".")[0]  # code that it imports from elsewhere is not its own
    _, frame, line = [frame for frame in own if frame[0].partition(".")[0] == package][-1]
    return _describe(frame.f_code.co_filename, line)


def _is_of_the_pipeline(module: str) -> bool:
    return module.startswith("etl.") and not module.startswith("etl.sources.")


def _find_definition(called: Callable[..., Any]) -> str:
    code = getattr(called, "__code__", None)
    return _describe(code.co_filename, code.co_firstlineno) if code is not None else ""


def _describe(path: str, line: int) -> str:
    return f"{PurePath(path).name}:{line}"
