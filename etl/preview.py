"""Previews a source without a run: reads and judges its first records, and writes nothing."""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from etl.conf import conf
from etl.exceptions import SourceError
from etl.first_records import START_SECONDS, judge_start
from etl.gates import Figures, Former, Verdict, judge_read
from etl.http import rate_limits
from etl.judgement import Item, Judge
from etl.readers.content import FIRST_RECORDS, Content, Opening
from etl.readers.source import Source
from etl.records import Record, Refusal, Skipped

logger = logging.getLogger(__name__)

MAX_WAIT_SECONDS = 60


class PreviewContext:
    """The context of a read that belongs to no run."""

    max_wait_seconds: float = MAX_WAIT_SECONDS

    @property
    def seconds_left(self) -> float:
        """As for a run, so that a preview shows what a run would do."""
        return conf.ETL_BATCH_DEADLINE_SECONDS

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def note_page(self) -> None:
        """A preview has no lease."""

    def end_task_if_due(self) -> None:
        """A preview is no task."""

    def find_pace(self, host: str, limit: str) -> float:
        return rate_limits.find_wait(host, limit)

    def note_retry(self, message: str) -> None:
        logger.warning(message)


@dataclass(slots=True)
class Refused:
    """The records refused for one reason: how many, and the first of them."""

    count: int
    first: Refusal


@dataclass(slots=True)
class Preview:
    """The first records, judged, and what a run would say of them.

    `shown` are the first of all. The counts are of at least FIRST_RECORDS records, or of those that a slow API gave in
    half a minute; `is_all`: the content has no others.
    `file` is the file that was looked at, the first of several. `verdict` is that of the gates that need no earlier
    read, and `error` why reading stopped. `respelled` gives the declared name of each column that has another one.
    """

    shown: list[Item] = field(default_factory=list)
    accepted: int = 0
    skipped: int = 0
    reasons: dict[tuple[str, str], Refused] = field(default_factory=dict)
    is_all: bool = True
    file: str = ""
    verdict: Verdict = ()
    error: SourceError | None = None
    respelled: Mapping[str, str] = field(default_factory=dict)

    @property
    def refused(self) -> int:
        return sum(each.count for each in self.reasons.values())

    @property
    def seen(self) -> int:
        return self.accepted + self.skipped + self.refused

    def list_refused(self) -> list[Refused]:
        """Return the reasons, the most frequent first."""
        return sorted(self.reasons.values(), key=lambda each: -each.count)

    def add(self, items: Iterable[Item]) -> None:
        for item in items:
            if isinstance(item, Refusal):
                known = self.reasons.setdefault((item.breach.code, item.breach.column), Refused(0, item))
                known.count += 1
            elif isinstance(item, Skipped):
                self.skipped += 1
            else:
                self.accepted += 1


def preview(source: Source, limit: int) -> Preview:
    """Judge the first records, of which `limit` are shown. Raises SourceError if there is none because of an error."""
    with source.open(Opening(), PreviewContext()) as content:
        if content is None:  # possible only in response to validators, and none were sent
            return Preview()
        return _look(source, content, limit)


def _look(source: Source, content: Content, limit: int) -> Preview:
    found = Preview(file=content.file)
    start = judge_start(source, content, Former(None))
    try:
        _read(found, source, content, limit)
    except SourceError as error:
        if not found.seen:
            raise
        found.error = error
    figures = Figures(content.fingerprint, found.seen, found.refused, is_whole=content.is_proven)
    is_finished = found.is_all and not found.error
    found.verdict = start.verdict or (judge_read(source.gates, figures, None) if is_finished else ())
    return found


def _read(found: Preview, source: Source, content: Content, limit: int) -> None:
    judge, most = Judge(source, content.file), max(limit, FIRST_RECORDS)
    ends_at = time.monotonic() + START_SECONDS
    names: dict[str, None] = {}
    for chunk in content.read(None, FIRST_RECORDS):
        if found.seen >= (most if time.monotonic() < ends_at else limit):
            found.is_all = False
            return
        items = chunk.items[: most - found.seen]
        judged = judge.judge(items)
        names |= {name: None for item in items if isinstance(item, Record) for name in item.values}
        found.respelled = source.contract.find_respelled([*names], is_file=source.form.is_file)
        found.is_all = len(judged) == len(chunk.items)
        found.shown += judged[: max(0, limit - found.seen)]
        found.add(judged)
