"""The operation of fetching a window again: what a source says has changed between two times."""

from datetime import UTC, datetime

from etl.clock import read_clock
from etl.exceptions import NotPossible
from etl.http.since import Bounds
from etl.readers.source import Source
from etl.runs.options import Options

SHOWN_CHARACTERS = 40


class WindowRefused(NotPossible):
    """The window can't be fetched. `field` is the one that has to change: since or until."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def choose_window(source: Source, since: str, until: str = "") -> Options:
    """Return the options of a run that fetches this window of the source again. Raises WindowRefused."""
    if source.since is None:
        text = f"{source.name} declares no `since`, so it can't be asked for a window. Read it with full instead."
        raise WindowRefused("since", text)
    if until and not source.since.until:
        text = f"{source.name} takes no end of a window. Add until=… to its Since, or leave until out."
        raise WindowRefused("until", text)
    if not since:
        raise WindowRefused("since", "A window needs its beginning, since.")
    bounds = Bounds(_parse("since", since), _parse("until", until) if until else None)
    _refuse_impossible(bounds)
    return Options(window=bounds)


def _parse(field: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        shown = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
        example = "2024-01-31 or 2024-01-31T12:00:00Z (UTC, unless it names another zone)"
        raise WindowRefused(field, f"{field} must be a day or a time such as {example}, not {shown!r}.") from None


def _refuse_impossible(bounds: Bounds) -> None:
    assert bounds.since is not None
    if bounds.since > read_clock():
        raise WindowRefused("since", "since must not be in the future.")
    if bounds.until is not None and bounds.until <= bounds.since:
        raise WindowRefused("until", "until must be later than since.")
