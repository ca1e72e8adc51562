"""Decides which changes of a source are worth an alert, and writes the alert in the transaction of the change.

The closing of a run is followed here, and lateness by the sweeper. An alert that says that a source does better waits
until two runs or an interval have shown it, so a source that fails every other time sends one alert and not two a run.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from etl.conf import conf
from etl.database import on_commit
from etl.drift import Change
from etl.models import Alert, AnnouncedStanding, Run
from etl.readers.source import Source
from etl.runs import alert_texts
from etl.runs.alert_sending import send_of_run
from etl.runs.announcements import find_previous, reflects_source
from etl.runs.standings import Announced, Found, find_standing_of_runs, find_standings
from etl.storage.standings import save_announced
from etl.storage.transactions import expendable
from etl.vocabulary import OPEN_STATUSES, AlertKind, AlertState, StandingWord

logger = logging.getLogger(__name__)

# A greater number is announced at once, a smaller one after a while; the other words say nothing new about a source.
GRAVITY: Mapping[StandingWord, int] = {
    StandingWord.FINE: 0,
    StandingWord.REFUSING: 1,
    StandingWord.HELD: 2,
    StandingWord.LATE: 3,
    StandingWord.FAILING: 4,
}
KINDS: Mapping[StandingWord, AlertKind] = {
    StandingWord.FINE: AlertKind.RECOVERED,
    StandingWord.REFUSING: AlertKind.REFUSING,
    StandingWord.HELD: AlertKind.HELD,
    StandingWord.LATE: AlertKind.LATE,
    StandingWord.FAILING: AlertKind.FAILING,
}
ENOUGH_RUNS = 2
MOST_CHANGES = 20


@dataclass(frozen=True, slots=True)
class Observation:
    """A source's standing after a run, or as the sweeper finds it (`every`: the source's interval)."""

    word: StandingWord
    at: datetime
    is_run: bool = False
    every: timedelta | None = None


def follow(announced: Announced, seen: Observation) -> tuple[Announced, AlertKind | None]:
    """Return what is announced from now on, and the kind of the alert that this needs, if any."""
    if seen.word not in GRAVITY or seen.word == announced.word:
        return Announced(announced.word) if seen.word in GRAVITY else announced, None
    if GRAVITY[seen.word] > GRAVITY[announced.word]:
        return Announced(seen.word), KINDS[seen.word]
    since, runs = announced.milder_since or seen.at, announced.milder_runs + seen.is_run
    if runs >= ENOUGH_RUNS or (seen.every is not None and seen.at - since >= seen.every):
        return Announced(seen.word), KINDS[seen.word]
    return Announced(announced.word, since, runs), None


def note_closed_run(cursor: Any, run: Run, changes: Sequence[Change]) -> None:
    """Write the alerts that this run's end calls for, near the end of the closing transaction, and send them after it.

    The caller has the source's turn (ending.py). `changes` are those of the source's shape that the run's read has
    brought. An error here costs the alert and not the run's end.
    """
    if not reflects_source(run):
        return
    try:
        with expendable(cursor):
            seen = find_standing_of_runs(run.source)
            if changes:
                _write_drift(run, seen.word, changes)
            _observe(cursor, run.source, Observation(seen.word, seen.at, is_run=True), seen.announced, run)
    except Exception:
        logger.exception("The alerts about run %d of %s could not be written", run.pk, run.source)


def note_standing(cursor: Any, source: Source) -> None:
    """Write the alert that the passing of time calls for. The caller has the source's turn."""
    (found,) = find_standings([source.name], [source])
    # An open run will show how the source does; to say so before it ends would be too early.
    every = None if _has_open_run(source.name) or found.due is None else found.due.every
    _observe(cursor, source.name, Observation(found.word, found.at, every=every), found.announced, None, found)


def needs_note(found: Found, announced: AnnouncedStanding | None) -> bool:
    """Whether the standing differs from the announced one, or did and no longer does."""
    known = announced is not None and (announced.announced != found.word or announced.milder_since is not None)
    return found.word in GRAVITY and (known or (announced is None and found.word != StandingWord.FINE))


def _has_open_run(source: str) -> bool:
    return Run.objects.filter(source=source, status__in=OPEN_STATUSES).exists()


def _observe(
    cursor: Any,
    source: str,
    seen: Observation,
    before: Announced,
    run: Run | None,
    found: Found | None = None,
) -> None:
    after, kind = follow(before, seen)
    if after != before:
        save_announced(cursor, source, after.word, after.milder_since, after.milder_runs)
    if kind is not None:
        previous = find_previous(run) if run is not None else None
        message = alert_texts.describe(kind, source, run, previous, found)
        _write(source, kind, seen.word, run, message, {"previous": before.word})


def _write_drift(run: Run, standing: StandingWord, changes: Sequence[Change]) -> None:
    lines = [str(change) for change in changes[:MOST_CHANGES]]
    lines += ["and more"] if len(changes) > MOST_CHANGES else []
    message = alert_texts.describe_drift(run, lines)
    _write(run.source, AlertKind.DRIFT, standing, run, message, {"changes": lines})


def _write(
    source: str,
    kind: AlertKind,
    standing: StandingWord,
    run: Run | None,
    message: tuple[str, str],
    details: Mapping[str, Any],
) -> None:
    has_receiver = bool(settings.ADMINS or conf.ALERT_WEBHOOKS)
    Alert.objects.create(
        source=source,
        kind=kind,
        standing=standing,
        run_id=run.pk if run is not None else None,
        subject=message[0],
        text=message[1],
        details={**details, "run": alert_texts.describe_run(run) if run is not None else None},
        state=AlertState.WAITING if has_receiver else AlertState.NO_RECEIVER,
    )
    if has_receiver and run is not None:  # the sweeper sends the others
        on_commit(lambda: send_of_run(run))
