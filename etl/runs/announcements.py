"""Sends the signals of `etl.signals` after the commit, and finds the run that was closed before another one."""

import logging
from collections.abc import Sequence

from django.db.models import Model, Q

from etl.fence.claims import Claim
from etl.models import Run
from etl.models.runs import STOPPED
from etl.signals import batch_landed, run_closed
from etl.vocabulary import Trigger

logger = logging.getLogger(__name__)

REFLECTS_SOURCE = ~Q(reason__in=STOPPED) & ~Q(trigger=Trigger.REPLAY)
"""The closed runs that show a source's standing: not those that an operator stopped, and not replays."""


def announce(run: Run) -> None:
    """Send `run_closed`. No error of a receiver reaches the code that closed the run."""
    try:
        for receiver, error in run_closed.send_robust(sender=Run, run=run):
            if isinstance(error, Exception):
                name = getattr(receiver, "__qualname__", type(receiver).__qualname__)
                logger.warning("%s raised %s for the closed run %d", name, type(error).__name__, run.pk)
    except Exception as error:  # noqa: BLE001  (boundary: Django fails to log the error of a receiver without a name)
        logger.warning("The receivers of run_closed were not called for run %d: %s", run.pk, type(error).__name__)


def announce_batch(claim: Claim, model: type[Model], keys: Sequence[str] = (), *, removed: Sequence[str] = ()) -> None:
    """Send `batch_landed`. No error of a receiver reaches the run."""
    if not (keys or removed):
        return
    about = {"source": claim.source, "run_id": claim.run_id, "keys": keys, "removed": removed}
    try:
        sent = batch_landed.send_robust(sender=model, **about)
        for receiver, error in sent:
            if isinstance(error, Exception):
                name = getattr(receiver, "__qualname__", type(receiver).__qualname__)
                logger.warning("%s raised %s for a batch of %s", name, type(error).__name__, claim.source)
    except Exception as error:  # noqa: BLE001  (boundary, as above)
        logger.warning("The receivers of batch_landed were not called for %s: %s", claim.source, type(error).__name__)


def reflects_source(run: Run) -> bool:
    """Whether the closed run is one of REFLECTS_SOURCE."""
    return run.reason not in STOPPED and run.trigger != Trigger.REPLAY


def find_previous(run: Run) -> Run | None:
    """Return the source's run closed before this one, among those that reflect the source; None for the first."""
    previous = Run.objects.filter(REFLECTS_SOURCE, source=run.source, finished_at__lt=run.finished_at)
    return previous.order_by("-finished_at").first()
