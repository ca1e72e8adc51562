"""What an error means for the run that it ended: the reason, and a text without secrets."""

import logging

from billiard.exceptions import SoftTimeLimitExceeded
from django.db import Error

from etl.exceptions import Interrupted, RunError, describe_place
from etl.storage.transactions import describe
from etl.vocabulary import Reason

logger = logging.getLogger(__name__)


def explain(error: BaseException) -> tuple[Reason, str]:
    """Return reason and message for the error that ended a run. An unknown error's own message may show a secret."""
    if isinstance(error, RunError):
        return error.reason, str(error)
    if isinstance(error, Interrupted):
        return Reason.INTERRUPTED, "Stopped by Ctrl-C or SIGTERM; the next run resumes here."
    if isinstance(error, Error):
        return Reason.DATABASE_ERROR, describe(error)
    if isinstance(error, SoftTimeLimitExceeded):
        return Reason.TIMED_OUT, "The task's soft time limit was reached; the next run resumes here."
    if isinstance(error, MemoryError):
        return Reason.OUT_OF_MEMORY, "Out of memory; a smaller ETL_BATCH_SIZE needs less."
    where = f"{type(error).__name__} in {describe_place(error)}"
    logger.error("A bug: %s", where, exc_info=error)
    return Reason.INTERNAL_ERROR, f"{where}: a bug in the source's code or in Kasparro; the log has the details."
