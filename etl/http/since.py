"""The bounds of an incremental read, and how an API is asked for the records within them. Pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from etl.http.pages import put
from etl.http.request import Request

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_STEPS = {"iso": _SECOND, "seconds": _SECOND, "milliseconds": timedelta(milliseconds=1), "date": timedelta(days=1)}
_DIRECTIVES = (
    ("f", timedelta(microseconds=1)),
    ("STXcr", _SECOND),
    ("MR", timedelta(minutes=1)),
    ("HI", timedelta(hours=1)),
)
"""The letters of strftime that write a part of a day, with its length; the shortest first."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The times between which records have changed that a read asks for, in UTC; None for no bound."""

    since: datetime | None = None
    until: datetime | None = None


ALL = Bounds()


@dataclass(frozen=True, slots=True)
class Since:
    """A source that can be asked for the records changed since a time, which it takes as a `parameter`.

    It is put into the query, or `into` the body of a POST at this path (`variables.since`). `of` is the field of the
    contract that holds the time of a record's last change. A read asks from the largest value met before, less the
    `overlap`; the first one from the `start`, if there is one. `until` is the parameter, or the path in the body, of
    the end of a window. Times are sent as `format` says: "iso", "seconds" or "milliseconds" since 1970, "date", or a
    pattern of strftime; always in UTC.
    """

    parameter: str = ""
    of: str = ""
    overlap: timedelta = timedelta()
    start: datetime | date | None = None
    format: str = "iso"
    into: str = ""
    until: str = ""

    def __post_init__(self) -> None:
        if bool(self.parameter) == bool(self.into):
            raise ValueError("Since needs a parameter, or into=… for its place in the body.")
        if not self.of:
            raise ValueError("Since needs of=…, the field of the contract with the time of a record's last change.")
        if self.overlap < timedelta():
            raise ValueError(f"Since.overlap is a time span, not {self.overlap!r}")
        if isinstance(self.start, datetime) and self.start.utcoffset() is None:
            raise ValueError("Since.start needs a time zone: datetime(2024, 1, 1, tzinfo=UTC).")
        if self.format not in _STEPS and "%" not in self.format.replace("%%", ""):
            raise ValueError(f"Since.format is one of {', '.join(_STEPS)} or a pattern such as '%Y%m%d'.")
        if "%s" in self.format.replace("%%", ""):
            raise ValueError('Since.format: use "seconds" instead of %s, which depends on the zone of the computer.')

    def choose_since(self, watermark: datetime | None) -> datetime | None:
        """Return the time from which a read asks that follows this watermark."""
        start = begin_day(self.start) if self.start is not None else None
        if watermark is None:
            return start
        try:
            since = watermark - self.overlap
        except OverflowError:
            return start
        return max(since, start) if start is not None else since

    def ask(self, request: Request, bounds: Bounds) -> Request:
        """Return the request for the records within these bounds. A time between two that can be sent widens them."""
        if bounds.since is not None:
            request = self._put(request, self.parameter or self.into, self._write(bounds.since))
        if bounds.until is not None and self.until:
            request = self._put(request, self.until, self._write(self._round_up(bounds.until)))
        return request

    def _put(self, request: Request, name: str, value: Any) -> Request:
        return put(request, "", name, value) if self.into else put(request, name, "", value)

    def _write(self, moment: datetime) -> str | int:
        moment = moment.astimezone(UTC)
        if self.format == "iso":
            return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
        if self.format == "date":
            return moment.date().isoformat()
        if self.format in _STEPS:
            return (moment - _EPOCH) // _STEPS[self.format]
        return moment.strftime(self.format)

    def _round_up(self, moment: datetime) -> datetime:
        try:
            return moment + self._find_step() - datetime.resolution
        except OverflowError:
            return moment

    def _find_step(self) -> timedelta:
        """Return the shortest time by which two values differ as they are sent."""
        if self.format in _STEPS:
            return _STEPS[self.format]
        written = {after[0] for after in self.format.replace("%%", "").split("%")[1:] if after}
        return next((step for letters, step in _DIRECTIVES if written.intersection(letters)), timedelta(days=1))


def begin_day(moment: datetime | date) -> datetime:
    """Return a time in UTC, and for a date the beginning of its day there."""
    if isinstance(moment, datetime):
        return moment.astimezone(UTC)
    return datetime.combine(moment, time(), UTC)
