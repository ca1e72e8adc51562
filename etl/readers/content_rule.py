"""Decides which columns of a record the content hash covers, and under which names. Pure.

A column of the contract gets the name that the contract declares, even if the header spells it differently. Columns
that the source ignores are left out. The tag says which columns were renamed or left out: different tags mean different
rules, so two hashes can differ although the contents do not (docs/decisions/0037).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import Any

from etl.contracts.contract import Contract
from etl.contracts.forms import Form
from etl.contracts.names import find_columns
from etl.readers.canonical import encode_canonically
from etl.readers.csv_bulk import CsvSlice
from etl.records import Slice

TAG_BYTES = 4


@dataclass(frozen=True, slots=True)
class Changes:
    """The columns that have another name in the content than in the file, and those that are left out."""

    names: Mapping[str, str]
    dropped: frozenset[str]
    tag: str

    def __bool__(self) -> bool:
        return bool(self.names or self.dropped)


class ContentRule:
    """Selects the content of one source's records."""

    def __init__(self, contract: type[Contract], form: Form, ignore: Sequence[str]) -> None:
        self.contract, self.form, self.ignore = contract, form, tuple(ignore)
        self.paths = [tuple(part.removesuffix("[]") for part in path.split(".")) for path in ignore if "." in path]
        self._known: dict[tuple[str, ...], Changes] = {}

    def encode(self, values: Mapping[str, Any]) -> tuple[bytes, str]:
        """Return a record's content in canonical form, and its tag."""
        changes = self._find_changes(tuple(values))
        if changes:
            values = {changes.names.get(n, n): value for n, value in values.items() if n not in changes.dropped}
        if not self.form.is_file:
            for path in self.paths:
                values = _leave_out(values, path)
        return encode_canonically(values), changes.tag

    def list_contents(self, part: Slice) -> tuple[Sequence[bytes], Sequence[str] | None]:
        """Return what `encode` gives for each record of a slice; None for the tags if none has one."""
        columns = part.list_columns() if self.form.is_file else None
        if columns is not None:
            changes = self._find_changes(tuple(columns))
            if not changes:
                return part.list_contents(), None
            kept = {changes.names.get(n, n): column for n, column in columns.items() if n not in changes.dropped}
            renamed = CsvSlice([*kept], [*kept.values()], part.list_places(), (), ())
            contents = renamed.list_contents() if kept else [b"{}"] * len(part)
            return contents, [changes.tag] * len(part)
        if not self.ignore and not self._has_spellings():
            return part.list_contents(), None
        encoded = [self.encode(part.make_record(row).values) for row in range(len(part))]
        return [content for content, _ in encoded], [tag for _, tag in encoded]

    def find_key(self, values: Mapping[str, Any]) -> bytes:
        """Return what a refused record is known by: a hash of its content; empty if that is the hash of its bytes.

        In a file the bytes of a record do not change with the names in the header.
        """
        return sha256(self.encode(values)[0]).digest() if self.knows_by_content else b""

    @property
    def knows_by_content(self) -> bool:
        """Whether equal refused records may have different bytes."""
        return bool(self.ignore) or (not self.form.is_file and self._has_spellings())

    def _has_spellings(self) -> bool:
        """Whether the name of a column may not be the declared one."""
        spelled = (spellings for field in self.contract.fields.values() for spellings in field.columns)
        return self.form.is_file or any(len(spellings) > 1 for spellings in spelled)

    def _find_changes(self, names: tuple[str, ...]) -> Changes:
        changes = self._known.get(names)
        if changes is None:
            if len(self._known) > 1000:  # JSON whose records all have other names
                self._known.clear()
            changes = self._known[names] = self._make_changes(names)
        return changes

    def _make_changes(self, names: tuple[str, ...]) -> Changes:
        found = self.contract.find_declared(names, is_file=self.form.is_file)
        renamed = {name: declared for name, declared in found.items() if name != declared}
        dropped = self._find_ignored(names)
        renamed = {name: declared for name, declared in renamed.items() if declared not in names or declared in dropped}
        applied = [sorted(renamed.items()), sorted(dropped), [] if self.form.is_file else sorted(self.ignore)]
        tag = blake2b(repr(applied).encode(errors="surrogatepass"), digest_size=TAG_BYTES).hexdigest()
        return Changes(renamed, dropped, tag if any(applied) else "")

    def _find_ignored(self, names: tuple[str, ...]) -> frozenset[str]:
        if not self.form.is_file:
            return frozenset(self.ignore).intersection(names)
        wanted: dict[tuple[str, int], tuple[str, ...]] = {}
        for entry in self.ignore:
            field = self.contract.fields.get(entry)
            columns = field.columns if field is not None else ((entry,),)
            wanted |= {(entry, part): (*spellings, entry) for part, spellings in enumerate(columns)}
        return frozenset(find_columns(wanted, names).values())


def _leave_out(value: Any, path: tuple[str, ...]) -> Any:
    """Return the value without what is at this path, in each element of a list."""
    if isinstance(value, list):
        return [_leave_out(each, path) for each in value]
    if not isinstance(value, Mapping) or path[0] not in value:
        return value
    if len(path) == 1:
        return {name: inner for name, inner in value.items() if name != path[0]}
    return {**value, path[0]: _leave_out(value[path[0]], path[1:])}
