"""The format and destination of log lines: human-readable lines, or JSON with the ids of request, task and run."""

import logging
import sys
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from etl.vocabulary import COUNTERS

MOST_PLACES = 12


class StandardErrorHandler(logging.StreamHandler[TextIO]):
    """Writes to the current sys.stderr, because progress bars replace it while they are shown."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def _describe_exception(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Log an exception as its type and places only, because its message may show a record or a secret."""
    given: Any = event.pop("exc_info", None)
    error = sys.exception() if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event.pop("error", None)  # django-structlog's copy of the message
        event["exception"] = type(error).__name__
        event["places"] = _list_places(error.__traceback__)
    return event


def _list_places(traceback: TracebackType | None) -> list[str]:
    places = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return places[-MOST_PLACES:]


def _shorten_time(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Keep only the time of day, for reading in a terminal."""
    event["timestamp"] = event["timestamp"][11:19]
    return event


CLOSING_FIELDS = ("status", "reason", "duration_s", *COUNTERS, "waiting")
"""The fields of the line that a run ends with. The readable line names them in its text."""

_FIRST: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(allow=["run_id"]),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
_ADD_CLOSING_FIELDS = structlog.stdlib.ExtraAdder(allow=CLOSING_FIELDS)
_REMOVE_META = structlog.stdlib.ProcessorFormatter.remove_processors_meta

# structlog's default traceback shows local variables, and so records, tokens and settings.
_LINE = structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback)

FORMATTERS: dict[str, dict[str, Any]] = {
    "line": {
        "()": structlog.stdlib.ProcessorFormatter,
        "processors": [_REMOVE_META, _shorten_time, _LINE],
        "foreign_pre_chain": _FIRST,
    },
    "json": {
        "()": structlog.stdlib.ProcessorFormatter,
        "processors": [_REMOVE_META, _describe_exception, structlog.processors.JSONRenderer()],
        "foreign_pre_chain": [*_FIRST, _ADD_CLOSING_FIELDS],
    },
}


def make_formatter(name: str) -> logging.Formatter:
    """Make one of FORMATTERS, for a library that sets up its own logging."""
    how = {key: value for key, value in FORMATTERS[name].items() if key != "()"}
    return structlog.stdlib.ProcessorFormatter(**how)


def configure_structlog() -> None:
    """Send lines logged through structlog to Python's own logging."""
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_FIRST, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
