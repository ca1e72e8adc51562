r"""For the tests of a project's sources: runs one on given content, through the real pipeline, on the test's database.

assert_source(Parts, gives="part_id,title\n1,Nut\n2,\n").lands(1).refuses((3, "title", "blank"))
"""

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from datetime import date, datetime
from datetime import time as clock_time
from decimal import Decimal
from pathlib import Path
from typing import Any, Self
from uuid import UUID

from django.db.models import Model, QuerySet

from etl.clock import as_utc
from etl.execution.executor import execute_here
from etl.execution.outcomes import Outcome
from etl.local_copy import copy_file
from etl.models import QuarantinedRecord, UnifiedRecord
from etl.models.records import AnyRawRecord
from etl.pipeline import Progress
from etl.read_context import ReadContext
from etl.readers.content import Content, Opening
from etl.readers.file_source import FileSource
from etl.readers.into import Into, Parent
from etl.readers.source import Source
from etl.runs.options import Options
from etl.supervision.os_signals import Interruption
from etl.vocabulary import QuarantineStatus, Status

FIELDS = ("external_id", "name", "category", "value", "currency", "event_timestamp")

Given = str | bytes | Path


class SourceAssertion:
    """A source that has read the given content once, and what can be asserted of its run."""

    def __init__(self, source: Source, gives: Given) -> None:
        folder = tempfile.mkdtemp()
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.source = _point_at(source, _place(source, gives, folder))
        self.outcome = _run(self.source)

    def lands(self, count: int, *records: Mapping[str, Any]) -> Self:
        """Assert the number of present records, and that each of these is among them, with at least these fields.

        They are the unified fields, or for a source with `into` the `external_id` and the fields of its model: each as
        the row has it, a `parent(…)` by the value that identifies it (by a dictionary if there are several).
        """
        self._require_success()
        landed = self._find_landed()
        shown = _list([self._shorten(row) for row in landed])
        _require(len(landed) == count, f"{len(landed)} records have landed, not {count}:{shown}{self._list_refused()}")
        of_place = f"field of {self.source.into.label}" if self.source.into is not None else "unified field"
        for record in records:
            for name in record:
                known = self._list_fields()
                _require(name in known, f"{name} is not a {of_place}; they are {', '.join(known)}")
            is_there = any(all(_is_same(row[name], value) for name, value in record.items()) for row in landed)
            _require(is_there, f"no landed record has {dict(record)}:{shown}")
        return self

    def refuses(self, *places: tuple[int, str, str]) -> Self:
        """Assert that exactly these records are refused: each by its line, column and code, in the order of lines."""
        self._require_success()
        found = [(row.line, row.column_name, row.code) for row in self._find_refused()]
        _require(found == [*places], f"refused are {found}, not {[*places]}:{self._list_refused()}")
        return self

    def skips(self, count: int) -> Self:
        """Assert how many records the source does not want."""
        self._require_success()
        skipped = self.outcome.counters["skipped"]
        _require(skipped == count, f"{skipped} records were skipped, not {count}")
        return self

    def fails(self, reason: str) -> Self:
        """Assert that the run fails for this reason, such as `columns_missing`."""
        found = f"{self.outcome.status} ({self.outcome.reason}): {self.outcome.message}"
        is_failure = self.outcome.status == Status.FAILED and self.outcome.reason == reason
        _require(is_failure, f"the run must fail with {reason}, but ended {found}")
        return self

    def twice_writes_nothing(self) -> Self:
        """Assert that reading and judging the same content again changes no row (law 5)."""
        before = self._dump()
        again = _run(self.source, is_full=True)
        _require(again.status == self.outcome.status, f"the second run ended {again.status}: {again.message}")
        after = self._dump()
        for table, rows in before.items():
            _require(after[table] == rows, f"the second run has written to {table}")
        return self

    def _list_fields(self) -> Sequence[str]:
        into = self.source.into
        if into is None:
            return FIELDS
        return ["external_id", *(field.name for field in into.model._meta.concrete_fields)]

    def _find_landed(self) -> list[dict[str, Any]]:
        present = [*UnifiedRecord.objects.filter(source=self.source.name, removed_at=None).order_by("id")]
        if self.source.into is None:
            return [{name: getattr(row, name) for name in FIELDS} for row in present]
        found = {str(row.pk): row for row in QuerySet[Any](self.source.into.model)}
        return [
            {"external_id": record.external_id, **_take_row(self.source.into, found[record.target_key])}
            for record in present
            if record.target_key in found
        ]

    def _shorten(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """Leave out the team's columns of a model."""
        into = self.source.into
        if into is None:
            return row
        return {name: value for name, value in row.items() if name in ("external_id", *into.owns, *into.first)}

    def _require_success(self) -> None:
        ended = f"{self.outcome.status} ({self.outcome.reason}): {self.outcome.message}"
        _require(self.outcome.status in (Status.SUCCESS, Status.PARTIAL), f"the run ended {ended}")

    def _find_refused(self) -> list[QuarantinedRecord]:
        rows = QuarantinedRecord.objects.filter(source=self.source.name, status=QuarantineStatus.OPEN)
        return [*rows.order_by("position", "id")]

    def _list_refused(self) -> str:
        return _list([f"line {row.line}: {row.message} ({row.code})" for row in self._find_refused()])

    def _dump(self) -> dict[str, list[dict[str, Any]]]:
        tables = {
            "unified_records": UnifiedRecord.objects,
            "raw_records": AnyRawRecord.objects,
            "etl_quarantine": QuarantinedRecord.objects,
        }
        dumped = {
            name: [_make_comparable(row) for row in rows.filter(source=self.source.name).order_by("id").values()]
            for name, rows in tables.items()
        }
        if self.source.into is not None:
            rows = QuerySet[Any](self.source.into.model).order_by("pk").values()
            dumped[self.source.into.label] = [_make_comparable(row) for row in rows]
        return dumped


def assert_source(source: type[Source] | Source, *, gives: Given) -> SourceAssertion:
    """Run the source on this content: a file (a Path, or a string that names one), or the content itself.

    A text is encoded as the source's dialect says. The test needs the database: with pytest `@pytest.mark.django_db`,
    with ETL_DATABASE `@pytest.mark.django_db(databases=[…])`.
    """
    return SourceAssertion(source() if isinstance(source, type) else source, gives)


class SourceTestMixin:
    """For a `TestCase` of Django: `self.assert_source(Parts, gives=…)`."""

    def assert_source(self, source: type[Source] | Source, *, gives: Given) -> SourceAssertion:
        return assert_source(source, gives=gives)


def _place(source: Source, gives: Given, folder: str) -> Path:
    """Return the file with this content; other content gets one in the folder."""
    if isinstance(gives, Path) or (isinstance(gives, str) and "\n" not in gives and Path(gives).is_file()):
        given = Path(gives).absolute()
        if not getattr(source, "has_pattern", False):
            return given
        return Path(shutil.copy(given, folder))  # alone in its folder, so that the pattern finds no other file
    encoding = getattr(getattr(source, "dialect", None), "encoding", "utf-8")
    path = Path(folder) / "content"
    path.write_bytes(gives.encode(encoding) if isinstance(gives, str) else gives)
    return path


def _point_at(source: Source, content: Path) -> Source:
    """Return the same source, reading this file."""
    source = copy(source)
    if isinstance(source, FileSource):
        source.path = str(content.with_name("*") if source.has_pattern else content)
        return source
    dialect = getattr(source, "dialect", None)
    _require(dialect is not None, f"{type(source).__name__} has no dialect, so it can't read a file")

    opened: Any = dialect

    @contextmanager
    def open_file(opening: Opening, context: ReadContext) -> Iterator[Content]:
        with copy_file(content) as kept:
            yield opened.open(kept, source)

    source.open = open_file  # type: ignore[method-assign]
    return source


def _run(source: Source, *, is_full: bool = False) -> Outcome:
    return execute_here(source, Options(full=is_full), interruption=Interruption(), report=_report_nothing)


def _report_nothing(progress: Progress) -> None:
    """A test shows no progress."""


def _require(condition: object, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _take_row(into: Into, row: Model) -> dict[str, Any]:
    """Return the fields of a row of a model; a parent by what identifies it."""
    owned = {**into.owns, **into.first}
    values = {}
    for field in into.model._meta.concrete_fields:
        value, parent = getattr(row, field.attname), owned.get(field.name)
        if value is not None and isinstance(parent, Parent):
            found = getattr(row, field.name)
            natural = {name: getattr(found, name) for name in parent.natural}
            value = natural if len(natural) > 1 else next(iter(natural.values()))
        values[field.name] = value
    return values


def _make_comparable(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: bytes(value) if isinstance(value, memoryview) else value for name, value in row.items()}


def _is_same(stored: Any, given: Any) -> bool:
    """Compare as a test writes it: numbers, dates and times may be given as text."""
    if isinstance(stored, Decimal) and given is not None:
        return stored == Decimal(str(given))
    if isinstance(stored, datetime) and given is not None:
        wanted = datetime.fromisoformat(given) if isinstance(given, str) else given
        return as_utc(stored) == as_utc(wanted)
    if isinstance(given, str) and isinstance(stored, int | float | date | clock_time | UUID):
        return str(stored) == given
    return bool(stored == given)


def _list(rows: list[Any]) -> str:
    return "".join(f"\n  {row}" for row in rows)
