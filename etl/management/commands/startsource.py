"""`manage.py startsource NAME FILE|URL`: write a source with its contract and a test, from a look at the data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from etl.conf import find_base
from etl.exceptions import SourceError
from etl.guessing.fields import make_name
from etl.guessing.modules import NewSource, guess_source, write_test
from etl.guessing.samples import take_sample
from etl.installation import TAG
from etl.management.command_line import PipelineCommand
from etl.management.exit_status import ExitStatus
from etl.management.tables import clean
from etl.preview import Preview, PreviewContext, preview
from etl.readers.csv_syntax import CsvSyntax
from etl.readers.lookalikes import HEAD_BYTES, describe_lookalike
from etl.readers.source import Source
from etl.records import Accepted, Refusal
from etl.runs.schedule import LONGEST_NAME

MOST_SHOWN = 1000


class Command(PipelineCommand):
    help = (
        "Write a source, its contract and a test from a look at the data. Each guess is a line that you can edit; what"
        " could not be decided is said at the end. No file is overwritten."
    )

    requires_system_checks = (TAG,)  # ETL_SOURCES may already name the source that is written here

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the source's name, such as supplier_prices")
        parser.add_argument("place", metavar="FILE|URL", help="a file, storage://ALIAS/FILE, or an http(s) address")
        parser.add_argument("--to", metavar="MODULE", help="module to write, such as shop.prices (default NAME_source)")

    def handle(self, *args: Any, name: str, place: str, to: str | None, **options: Any) -> None:
        if not name.isprintable() or not 1 <= len(name) <= LONGEST_NAME or name != name.strip():
            raise CommandError(f"A name has 1 to {LONGEST_NAME} printable characters.", returncode=ExitStatus.USAGE)
        source, is_all = _guess(name, place)
        module = (to or f"{make_name(name)}_source").removesuffix(".py").replace("/", ".")
        path = _find_path(module)
        test = path.with_name(f"test_{path.stem}.py")
        found = _preview(source)
        written = {path: source.text}
        if is_all and found.is_all and not found.error:
            written[test] = _write_test(source, module, place, found)
        for each, text in written.items():
            _write_new(each, text)
        self._report(source, module, [*written], found)

    def _report(self, source: NewSource, module: str, written: Sequence[Path], found: Preview) -> None:
        for path in written:
            self.stdout.write(f"Wrote {path}.")
        if len(written) == 1 and not found.error:
            self.stdout.write("It wrote no test: a test has the whole data, which is too large.")
        self.stdout.write(f"Of {_count(found.accepted + found.refused)}, {found.accepted:,} fit the guesses.")
        for each in found.list_refused():
            self.stdout.write(clean(f"- line {each.first.line}: {each.first.breach.message} ({_count(each.count)})"))
        if source.doubts:
            self.stdout.write("\nLook at these:")
        for doubt in source.doubts:
            self.stdout.write(clean(f"- {doubt}"))
        self.stdout.write(
            f"\nNext: add {module}.{source.class_name} to ETL_SOURCES, then run\n"
            f"  manage.py preview {source.name}\n  manage.py ingest {source.name}"
        )


def _count(records: int) -> str:
    return f"{records:,} record{'' if records == 1 else 's'}"


def _guess(name: str, place: str) -> tuple[NewSource, bool]:
    try:
        sample = take_sample(place, PreviewContext())
    except SourceError as error:
        raise CommandError(str(error)) from error
    head = sample.data[:HEAD_BYTES]
    source = guess_source(name, place, sample.data, is_all=sample.is_all)
    if source is None:
        lookalike = describe_lookalike(head, CsvSyntax())
        looks = f" It looks like {lookalike}." if lookalike else ""
        raise CommandError(
            f"{place} has neither a table nor JSON with objects.{looks} docs/sources.md describes other formats."
        )
    return source, sample.is_all


def _find_path(module: str) -> Path:
    if not all(part.isidentifier() for part in module.split(".")):
        message = "--to takes a module, such as shop.prices: letters, digits and underscores, with dots between names."
        raise CommandError(message, returncode=ExitStatus.USAGE)
    path = find_base().joinpath(*module.split(".")).with_suffix(".py")
    if not path.parent.is_dir():
        raise CommandError(f"There is no folder {path.parent}.", returncode=ExitStatus.USAGE)
    for each in (path, path.with_name(f"test_{path.stem}.py")):
        if each.exists():
            raise CommandError(f"{each} already exists; choose another module with --to.", returncode=ExitStatus.USAGE)
    return path


def _make(source: NewSource) -> Source:
    """Make the source of the text, in which the data stands only as literals."""
    names: dict[str, Any] = {"__name__": source.class_name}
    exec(source.text, names)  # noqa: S102
    made = names[source.class_name]()
    assert isinstance(made, Source)
    return made


def _preview(source: NewSource) -> Preview:
    try:
        return preview(_make(source), MOST_SHOWN)
    except SourceError as error:
        raise CommandError(str(error)) from error


def _write_test(source: NewSource, module: str, place: str, found: Preview) -> str:
    accepted = [item for item in found.shown if isinstance(item, Accepted)]
    refused = [
        (each.line, each.breach.column, str(each.breach.code)) for each in found.shown if isinstance(each, Refusal)
    ]
    landed = len({item.unified.external_id for item in accepted})
    return write_test(source, module, place, landed=landed, refused=refused)


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise CommandError(f"{path} can't be written: {error.strerror}.") from error
