"""Mail to ADMINS when a source fails for the first time, and when it is well again; in between none.

What was closed before decides, as the database has it. Runs of one source are closed one after the other and each is
told of once (runs.py), so of any number of processes one finds itself to be the first.
"""

import logging
from typing import Any

from django.conf import settings
from django.core.mail import mail_admins
from django.dispatch import receiver

from etl.models import Run
from etl.runs.announcements import REFLECTS_SOURCE, find_previous
from etl.runs.reasons import find_advice
from etl.signals import run_closed
from etl.vocabulary import COUNTERS, Status

logger = logging.getLogger(__name__)

RUNBOOK = "docs/runbook.md"


@receiver(run_closed, dispatch_uid="etl.runs.alerts")
def mail_administrators(sender: type[Run], run: Run, **kwargs: Any) -> None:
    """Send the mail that this run's end calls for, if any; a mail server that refuses is a line in the log."""
    if not settings.ADMINS or not Run.objects.filter(REFLECTS_SOURCE, pk=run.pk).exists():
        return
    previous = find_previous(run)
    has_failed, had_failed = run.status == Status.FAILED, previous is not None and previous.status == Status.FAILED
    if has_failed == had_failed:
        return
    subject, text = describe_failure(run) if has_failed else describe_recovery(run, previous)
    try:
        mail_admins(subject, text)
    except Exception as error:  # noqa: BLE001  (a mail backend may raise anything, with its password in the text)
        logger.warning("The mail about run %d of %s could not be sent: %s", run.pk, run.source, type(error).__name__)


def describe_failure(run: Run) -> tuple[str, str]:
    """Subject and text of the mail about a source's first failure."""
    advice = find_advice(run.reason)
    lines = (
        f"{run.source} has failed; it did not before. Until it is well again there is no further mail about it.",
        "",
        *_describe(run),
        "",
        *([f"{advice.cause} {advice.remedy}"] if advice is not None else []),
        f"More: {RUNBOOK}#{run.reason}, and what happened: manage.py runs {run.pk}",
    )
    return f"{run.source} fails: {run.reason}", "\n".join(lines)


def describe_recovery(run: Run, previous: Run | None) -> tuple[str, str]:
    """Subject and text of the mail about the end of a source's failures, the last of which was `previous`."""
    last = f" The last failure was run {previous.pk} ({previous.reason})." if previous is not None else ""
    lines = (f"{run.source} is well again: run {run.pk} ended {run.status}.{last}", "", *_describe(run))
    return f"{run.source} is well again", "\n".join(lines)


def _describe(run: Run) -> list[str]:
    counts = ", ".join(f"{getattr(run, name):,} {name}" for name in COUNTERS)
    closed = f"{run.finished_at:%Y-%m-%d %H:%M:%S} UTC" if run.finished_at else ""
    values = {
        "source": run.source,
        "run": f"{run.pk} ({run.trigger}, attempt {run.attempt})",
        "status": run.status,
        "reason": run.reason,
        "closed": closed,
        "error": run.error,
        "records": counts,
    }
    return [f"{name + ':':<9}{value}" for name, value in values.items() if value]
