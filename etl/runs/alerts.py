"""Mails ADMINS when a source fails for the first time and when it recovers, and not in between.

The database decides, by the run that was closed before. Runs of one source are closed one after the other, and each is
announced once (ending.py), so out of any number of processes exactly one finds the change.
"""

import logging
from typing import Any

from django.conf import settings
from django.core.mail import mail_admins
from django.dispatch import receiver

from etl.clock import as_utc
from etl.models import Run
from etl.runs.announcements import REFLECTS_SOURCE, find_previous
from etl.runs.reason_advice import find_advice
from etl.signals import run_closed
from etl.vocabulary import COUNTERS, Status

logger = logging.getLogger(__name__)

RUNBOOK = "docs/runbook.md"


@receiver(run_closed, dispatch_uid="etl.runs.alerts")
def mail_administrators(sender: type[Run], run: Run, **kwargs: Any) -> None:
    """Send the mail that this run's end calls for, if any. If the mail server refuses it, that is logged."""
    if not settings.ADMINS or not Run.objects.filter(REFLECTS_SOURCE, pk=run.pk).exists():
        return
    previous = find_previous(run)
    has_failed, had_failed = run.status == Status.FAILED, previous is not None and previous.status == Status.FAILED
    if has_failed == had_failed:
        return
    subject, text = describe_failure(run) if has_failed else describe_recovery(run, previous)
    try:
        mail_admins(subject, text)
    except Exception as error:  # noqa: BLE001  (a mail backend may raise anything, with its password in the message)
        logger.warning("The mail about run %d of %s could not be sent: %s", run.pk, run.source, type(error).__name__)


def describe_failure(run: Run) -> tuple[str, str]:
    """Return subject and text of the mail about a source's first failure."""
    advice = find_advice(run.reason)
    lines = (
        f"{run.source} has started to fail. You will get no further mail about it until it recovers.",
        "",
        *_describe(run),
        "",
        *([f"{advice.cause} {advice.remedy}"] if advice is not None else []),
        f"For help, see {RUNBOOK}#{run.reason}. For the run's events, use: manage.py runs {run.pk}",
    )
    return f"{run.source} fails: {run.reason}", "\n".join(lines)


def describe_recovery(run: Run, previous: Run | None) -> tuple[str, str]:
    """Return subject and text of the mail about a source's recovery; its last failure was `previous`."""
    last = f" The last failure was run {previous.pk} ({previous.reason})." if previous is not None else ""
    text = f"{run.source} has recovered: run {run.pk} ended with status {run.status}.{last}"
    return f"{run.source} has recovered", "\n".join((text, "", *_describe(run)))


def _describe(run: Run) -> list[str]:
    counts = ", ".join(f"{getattr(run, name):,} {name}" for name in COUNTERS)
    closed = f"{as_utc(run.finished_at):%Y-%m-%d %H:%M:%S} UTC" if run.finished_at else ""
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
