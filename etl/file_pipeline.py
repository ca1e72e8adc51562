"""The path of a source whose `path` is a pattern: each file is a read of its own, in the order of the names.

order ─► claim (epoch) ─► list the files
         ─► for each file that has changed: the path of a record (etl/pipeline.py)
                BEGIN  checkpoint: compare-and-set, or write nothing
                       the read with its verdict ─► the file's row
                COMMIT
         ─► close the run with the verdicts on the files, release the source

A file that can't be read, or has a verdict, fails the run when the others have been read (docs/decisions/0038).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from etl.exceptions import SourceError
from etl.fence.reads import FilesEnd, Read, ReadEnd, choose_read, find_open_file
from etl.first_records import Start, judge_start
from etl.gates import Former, GateFailure, Verdict, choose_outcome, judge_age
from etl.local_copy import MissingFile
from etl.models import Checkpoint, Run
from etl.pipeline import Progress, Reading, conclude, end_run, land_all
from etl.readers.content import Content, OpenedFile
from etl.readers.places import FoundFile
from etl.readers.source import Source
from etl.records import Refusal
from etl.runs import ending
from etl.runs.starting import Started
from etl.storage.files import FileEnd, KnownFile, find_later_spans, find_newest_age, load_files
from etl.storage.former_refusals import recognize
from etl.storage.ledger import Spans
from etl.storage.reads import find_former
from etl.storage.transactions import bounded_transaction
from etl.supervision.run_context import RunContext
from etl.vocabulary import ReadOutcome, Reason, Status


@dataclass(slots=True)
class _Tally:
    """The run's files so far: whether any was read, and those that failed, each with its verdict.

    `judged_read` is the first failed read. `seen` counts the records of this task; the other numbers are the run's.
    """

    has_read: bool = False
    seen: int = 0
    quarantined: int = 0
    waiting: int = 0
    failures: list[tuple[str, Sequence[GateFailure]]] = field(default_factory=list)
    judged_read: int | None = None

    def add_failure(self, name: str, verdict: Verdict, read_number: int | None) -> None:
        self.failures.append((name, verdict))
        self.judged_read = self.judged_read or read_number


def run_files(source: Source, started: Started, context: RunContext, report: Callable[[Progress], None]) -> Run | None:
    """Bring the claimed source up to date and close its run. If an error prevents that, the run is still open."""
    files = source.list_files()
    assert files is not None
    known = context.retry(partial(_load_files, source.name))
    run = started.run
    has_read = any(file.run_id == run.pk for file in known.values())
    tally = _Tally(has_read=has_read, quarantined=run.quarantined, waiting=run.waiting)
    for place, file in enumerate(_put_open_first(files, started.checkpoint)):
        context.raise_if_over()
        checkpoint = context.retry(lambda: Checkpoint.objects.get(source=source.name))
        one = _OneFile(source, replace(started, checkpoint=checkpoint), context, tally, file, known.get(file.name))
        one.bring_up_to_date(_report_share(report, tally, place, len(files)))
    end = FilesEnd([file.name for file in files], tally.judged_read)
    return end_run(started, context, _choose_ending(source, tally, len(files), context), end)


def _load_files(source: str) -> dict[str, KnownFile]:
    with bounded_transaction() as cursor:
        return load_files(cursor, source)


def _put_open_first(files: Sequence[FoundFile], checkpoint: Checkpoint) -> list[FoundFile]:
    """Resume the open read before another file replaces it: a run may be handed over in each of them."""
    opened = find_open_file(checkpoint)
    return sorted(files, key=lambda file: file.name != opened)


def _report_share(
    report: Callable[[Progress], None], tally: _Tally, place: int, count: int
) -> Callable[[Progress], None]:
    before = tally.seen
    return lambda progress: report(Progress(before + progress.seen, (place + (progress.share or 0)) / count))


def _choose_ending(source: Source, tally: _Tally, found: int, context: RunContext) -> ending.Ending:
    if tally.failures:
        return ending.failed_files(tally.failures, found)
    if not tally.has_read and source.gates.fresh_within is not None:
        age = context.retry(partial(find_newest_age, source.name))
        if age is not None and (verdict := judge_age(source.gates, age)):
            return ending.judged(verdict, 0, is_unchanged=True)
    if not found:
        return ending.finished(Status.SUCCESS, Reason.NO_FILES)
    return ending.choose_plain_ending(tally.quarantined, tally.waiting, is_unchanged=not tally.has_read)


@dataclass(frozen=True, slots=True)
class _OneFile:
    """One file of a run. `known`: its row after its last read; None for a new file."""

    source: Source
    started: Started
    context: RunContext
    tally: _Tally
    file: FoundFile
    known: KnownFile | None

    def bring_up_to_date(self, report: Callable[[Progress], None]) -> None:
        """Read the file if it has changed, and store the outcome."""
        if self.known is not None and self._is_same_file(self.known):
            self._repeat(self.known)
            return
        try:
            with self.source.open_file(self.file) as opened:
                self._take(opened, report)
        except MissingFile:
            return  # it was there when the folder was listed: the next run does not find it
        except SourceError as error:
            self._fail(error)
        self.context.note_batch()

    def _is_same_file(self, known: KnownFile) -> bool:
        """Whether the file needs no look inside."""
        return bool(known.stamp) and known.stamp == self.file.stamp and self._is_through(known)

    def _is_through(self, known: KnownFile) -> bool:
        """Whether the same content needs no read: it was read under this contract, and in a full run by this run."""
        is_of_contract = known.fingerprint.startswith(f"{self.source.digest()}:")
        is_awaited = known.is_overruled or find_open_file(self.started.checkpoint) == self.file.name
        is_due = self.started.is_full and known.run_id != self.started.run.pk
        return is_of_contract and not is_awaited and not is_due

    def _repeat(self, known: KnownFile) -> None:
        if known.outcome is not ReadOutcome.ACCEPTED:
            self.tally.add_failure(known.name, known.verdict, known.read_number)

    def _take(self, opened: OpenedFile, report: Callable[[Progress], None]) -> None:
        content = opened.content
        fingerprint = f"{self.source.digest()}:{content.fingerprint}"
        known, checkpoint = self.known, self.started.checkpoint
        if known is not None and known.fingerprint == fingerprint and self._is_through(known):
            self._note_stamp(known, opened.stamp)
            self._repeat(known)
            return
        read = choose_read(checkpoint, fingerprint, is_full=self.started.is_full, file=self.file.name)
        self.context.note_read(read)
        self.tally.has_read = True
        former = self._find_former(content)
        start = judge_start(self.source, content, former) if not read.is_begun else Start()
        if start.verdict:
            self._end(opened, replace(read, seen=start.seen), start.verdict, start.refusals)
            return
        spans = self.context.retry(self._find_later_spans)
        reading = Reading(self.source, self.started, content, self.context)
        read, verdict = conclude(reading, land_all(reading, read, report, spans), former.baseline)
        self.tally.seen += read.seen
        self.tally.quarantined += read.quarantined
        self.tally.waiting += read.waiting
        self._end(opened, read, verdict)

    def _find_former(self, content: Content) -> Former:
        """Return the last read of the file if an operator has accepted this content. Files are not compared."""
        number = self.known.read_number if self.known is not None else None
        former = self.context.retry(partial(find_former, self.source.name, number))
        is_overruled = former.baseline is not None and former.baseline.overrules(content.fingerprint)
        return former if is_overruled else Former(None, former.fields)

    def _find_later_spans(self) -> Spans:
        with bounded_transaction() as cursor:
            return find_later_spans(cursor, self.source.name, self.file.name)

    def _note_stamp(self, known: KnownFile, stamp: str) -> None:
        if stamp and stamp != known.stamp:
            number = self.started.checkpoint.batch_number
            self.context.retry(partial(ending.note_same_file, self.started.claim, number, self.file.name, stamp))

    def _end(self, opened: OpenedFile, read: Read, verdict: Verdict, refusals: Sequence[Refusal] = ()) -> None:
        """Store the read with its verdict and the file, in one transaction."""
        outcome = choose_outcome(verdict)
        refusals = self.context.retry(lambda: recognize(self.source, refusals, read.file))
        end = FileEnd(
            self.file.name, outcome, opened.stamp, read.fingerprint, read.number, message=_join_messages(verdict)
        )
        read_end = self._describe_end(read, outcome, verdict, refusals, is_proven=opened.content.is_proven)
        self.context.retry(partial(ending.end_file, self.started.claim, read.batch_number, end, read_end))
        if verdict:
            self.tally.add_failure(self.file.name, verdict, read.number)

    def _fail(self, error: SourceError) -> None:
        """Keep why the file can't be read, and close its read if batches of it have landed."""
        verdict = (GateFailure(error.reason, 0, 0, str(error)),)
        checkpoint = self.context.retry(lambda: Checkpoint.objects.get(source=self.source.name))
        read_end = None
        if find_open_file(checkpoint) == self.file.name:
            fingerprint, is_full = checkpoint.read_fingerprint, checkpoint.is_full_read
            read = choose_read(checkpoint, fingerprint, is_full=is_full, file=self.file.name)
            read_end = self._describe_end(read, ReadOutcome.FAILED, verdict, is_proven=False)
        number = read_end.read.number if read_end is not None else None
        end = FileEnd(self.file.name, ReadOutcome.FAILED, read_number=number, message=str(error))
        self.context.retry(partial(ending.end_file, self.started.claim, checkpoint.batch_number, end, read_end))
        self.tally.add_failure(self.file.name, verdict, number)

    def _describe_end(
        self,
        read: Read,
        outcome: ReadOutcome,
        verdict: Verdict,
        refusals: Sequence[Refusal] = (),
        *,
        is_proven: bool,
    ) -> ReadEnd:
        return ReadEnd(
            read=read,
            kind=self.source.kind,
            validators={},
            is_proven=is_proven,
            is_whole=False,
            is_complete=False,
            outcome=outcome,
            verdict=verdict,
            refusals=refusals,
            contract=self.source.contract,
        )


def _join_messages(verdict: Verdict) -> str:
    return " ".join(failure.message for failure in verdict)
