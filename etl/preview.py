"""Previews a source without a run: reads and judges its first records, and writes nothing."""

import logging
import time

from etl.conf import conf
from etl.http import rate_limits
from etl.judgement import Judge
from etl.readers.content import Opening
from etl.readers.source import Source
from etl.records import Accepted, Chunk, Refusal

logger = logging.getLogger(__name__)

MAX_WAIT_SECONDS = 60


class _PreviewContext:
    """The context of a read that belongs to no run."""

    max_wait_seconds: float = MAX_WAIT_SECONDS

    @property
    def seconds_left(self) -> float:
        """As for a run, so that a preview shows what a run would do."""
        return conf.ETL_BATCH_DEADLINE_SECONDS

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def find_pace(self, host: str, limit: str) -> float:
        return rate_limits.find_wait(host, limit)

    def note_retry(self, message: str) -> None:
        logger.warning(message)


def preview(source: Source, limit: int) -> list[Accepted | Refusal]:
    """Return the first `limit` records, judged by the source's contract. Raises SourceError."""
    with source.open(Opening(), _PreviewContext()) as content:
        if content is None:  # possible only in response to validators, and none were sent
            return []
        first = next(content.read(None, limit), Chunk())
        return Judge(source).judge(first.items)
