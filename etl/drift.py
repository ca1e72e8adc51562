"""A source's shape, counted over its records, and how it differs from the last snapshot. Pure; needs no database.

Counts add up, so neither the order of the records nor the size of the batches matters. A shape is limited to MAX_PATHS
field paths of at most MAX_PATH_CHARACTERS and MAX_DEPTH levels; anything beyond is not observed. docs/decisions/0008
explains which outliers the judgement tolerates, and why.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from operator import attrgetter
from typing import Any

from etl.contracts.collections import ANY_ITEM, ANY_KEY
from etl.contracts.contract import Contract
from etl.contracts.field_type import Number
from etl.records import Slice
from etl.vocabulary import ChangeKind

MAX_PATHS = 1000
MAX_PATH_CHARACTERS = 255
"""An index entry of PostgreSQL must stay below 2,704 bytes."""
MAX_DEPTH = 16

TOLERATED_PERCENT = 5
MANY = 3
"""With fewer records, a bad one can't be distinguished from a good one: nothing is tolerated, each path counts."""
LEAST_RECORDS = 2
"""The number of records that must have a new field path, if there are at least MANY records."""
SHOWN_CHANGES = 5

NULL, TEXT, OBJECT, ARRAY, MIXED = "null", "text", "object", "array", "mixed"
_JSON_TYPES: Mapping[type, str] = {
    str: TEXT,
    Number: "number",
    bool: "boolean",
    type(None): NULL,
    dict: OBJECT,
    list: ARRAY,
}
# Finds what a text cell looks like: the group that matches names the type. Numbers are as in etl/contracts.
_LEXICAL = re.compile(
    r"(?P<integer>-?[0-9]++\Z)"
    r"|(?P<decimal>-?[0-9]++(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?\Z)"
    r"|(?P<time>[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]++)?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?\Z)"
    r"|(?P<boolean>(?:[Tt]rue|TRUE|[Ff]alse|FALSE)\Z)"
    r"|(?P<null>\s*+\Z)"
    r"|(?P<text>)"
)
# Both find cells that may be of another type than text; each cell is on a line of its own. The first one looks only at
# how a cell begins, which is fast, the second one at all its characters.
_SUSPECT_BEGINNING = re.compile(r"\n(?:[-0-9\s]|[Tt](?:rue|RUE)\n|[Ff](?:alse|ALSE)\n)")
_SUSPECT = re.compile(r"\n(-?[0-9][-+0-9.:eETZ ]*+|[^\S\n]*+|[Tt]rue|TRUE|[Ff]alse|FALSE)(?=\n)")
_SAME_DIGITS = bytes.maketrans(b"123456789", b"000000000")
"""No type depends on which digits a cell has."""
_LEXICAL_TYPES = ("integer", "decimal", "boolean", "time", TEXT)
"""From the narrowest to the widest; the last one covers every text cell."""
_COVERED: Mapping[str, Collection[str]] = {"decimal": ("integer", "decimal"), TEXT: _LEXICAL_TYPES}

_PLAIN_NAME = re.compile(r"[^.\[\]\"\\]+")
_STEP = re.compile(r'"(?:[^"\\]|\\.)*"|\[\*?\]|[^.\[\]"]+')
Maps = frozenset[str]
"""The paths of objects whose keys are data: all their values have one path, `prices[*]`."""


@dataclass(slots=True)
class Tally:
    """How many records have a field path, and how many have each type there, including `null`.

    A record counts once for a path, and once for each type among its array elements there.
    """

    present: int = 0
    types: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Shape:
    """The tally of each field path (`price.amount`, `tags[]`) over a number of records.

    `is_lexical`: the values are text cells, typed by their appearance. `is_cut`: there were more than MAX_PATHS field
    paths. Every path that was kept is counted in all records.
    """

    records: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)
    is_lexical: bool = False
    is_cut: bool = False
    maps: Maps = field(default=frozenset(), compare=False)

    def observe(self, records: Sequence[Mapping[str, Any]], *, is_lexical: bool, maps: Maps = frozenset()) -> "Shape":
        """Return a shape that also counts these records; this shape does not change."""
        seen = self._copy(maps, is_lexical=is_lexical)
        seen.count_records(records)
        return seen

    def observe_slices(self, slices: Iterable[Slice], *, is_lexical: bool, maps: Maps = frozenset()) -> "Shape":
        """Do the same for slices of records."""
        seen = self._copy(maps, is_lexical=is_lexical)
        for part in slices:
            columns = part.list_columns()
            if columns is None:
                seen.count_records([part.make_record(index).values for index in range(len(part))])
            else:
                seen.count_columns(columns, len(part))
        return seen

    def _copy(self, maps: Maps, *, is_lexical: bool) -> "Shape":
        tallies = {path: Tally(tally.present, tally.types.copy()) for path, tally in self.tallies.items()}
        return Shape(self.records, tallies, is_lexical, self.is_cut, maps)

    def count_records(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Count these records too."""
        self.records += len(records)
        self._count_objects("", records, None, depth=1)

    def count_columns(self, columns: Mapping[str, Sequence[Any]], count: int) -> None:
        """Count as many records too, of which each has all of these fields."""
        self.records += count
        for name, column in columns.items():
            self._count_column(join_path("", name), column, None, depth=1)

    def as_json(self) -> dict[str, Any]:
        """Return the form that `from_json` takes."""
        tallies = {path: {"present": tally.present, "types": dict(tally.types)} for path, tally in self.tallies.items()}
        return {"records": self.records, "is_lexical": self.is_lexical, "is_cut": self.is_cut, "tallies": tallies}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any] | None) -> "Shape":
        """Return the saved shape, or an empty one if none was saved."""
        if saved is None:
            return cls()
        tallies = {path: Tally(tally["present"], Counter(tally["types"])) for path, tally in saved["tallies"].items()}
        return cls(saved["records"], tallies, saved["is_lexical"], saved["is_cut"])

    def _count_objects(
        self, parent: str, objects: Iterable[Mapping[str, Any]], owners: Iterable[int] | None, *, depth: int
    ) -> None:
        """Count the fields of objects. `owners` gives each object's record; None if each has a record of its own."""
        columns: defaultdict[str, list[Any]] = defaultdict(list)
        owners_by_name: defaultdict[str, list[int]] = defaultdict(list)
        if owners is None:
            for values in objects:
                for name, value in values.items():
                    columns[name].append(value)
        else:
            for values, owner in zip(objects, owners, strict=True):
                for name, value in values.items():
                    columns[name].append(value)
                    owners_by_name[name].append(owner)
        for name, column in columns.items():
            self._count_column(join_path(parent, name), column, owners_by_name.get(name), depth=depth)

    def _count_column(self, path: str, column: Sequence[Any], owners: list[int] | None, *, depth: int) -> None:
        tally = self._admit(path)
        if tally is None:
            return
        if owners is None:
            present, types = len(column), _count_types(column, is_lexical=self.is_lexical)
        else:
            words = _name_types(column, is_lexical=self.is_lexical)
            present = len(set(owners))
            types = Counter(word for _, word in set(zip(owners, words, strict=True)))
        tally.present += present
        tally.types.update(types)
        if depth == MAX_DEPTH:
            return
        if OBJECT in types and path in self.maps:
            values: list[Iterable[Any]] = [value.values() if isinstance(value, dict) else () for value in column]
            self._count_inner(f"{path}{ANY_KEY}", values, owners, depth=depth)
        elif OBJECT in types:
            self._count_objects(
                path,
                [value for value in column if isinstance(value, dict)],
                owners and [owner for owner, value in zip(owners, column, strict=True) if isinstance(value, dict)],
                depth=depth + 1,
            )
        if ARRAY in types:
            values = [value if isinstance(value, list) else () for value in column]
            self._count_inner(f"{path}{ANY_ITEM}", values, owners, depth=depth)

    def _count_inner(self, path: str, groups: Sequence[Iterable[Any]], owners: list[int] | None, *, depth: int) -> None:
        """Count the values in arrays or maps, under one path."""
        numbered = zip(owners or range(len(groups)), groups, strict=True)
        elements = [(owner, value) for owner, values in numbered for value in values]
        if elements:
            owners_of_elements, values_of_elements = map(list, zip(*elements, strict=True))
            self._count_column(path, values_of_elements, owners_of_elements, depth=depth + 1)

    def _admit(self, path: str) -> Tally | None:
        """Return the tally of the path, a new one if there is room, or None."""
        tally = self.tallies.get(path)
        if tally is not None or len(path) > MAX_PATH_CHARACTERS:
            return tally
        if len(self.tallies) >= MAX_PATHS:
            self.is_cut = True
            return None
        tally = self.tallies[path] = Tally()
        return tally


def join_path(parent: str, name: str) -> str:
    """Return the path of a field. A name that is ambiguous in a path, or not printable, is quoted."""
    shown = name if _PLAIN_NAME.fullmatch(name) and name.isprintable() else json.dumps(name)
    return f"{parent}.{shown}" if parent else shown


def _find_parent(path: str) -> str:
    """Return the path without its last step; empty for a field of the record itself."""
    *_, last = _STEP.finditer(path)
    return path[: last.start()].removesuffix(".")


def _count_types(column: Sequence[Any], *, is_lexical: bool) -> Counter[str]:
    if is_lexical:
        with suppress(TypeError):  # not all are strings
            return _count_lexical_types("\n".join(column), column)
    return Counter(_name_types(column, is_lexical=is_lexical))


def _count_lexical_types(text: str, cells: Sequence[str]) -> Counter[str]:
    """Count as `_LEXICAL` does for each cell. `text` has each cell on a line of its own."""
    if text.count("\n") >= len(cells):
        lines = [cell for cell in cells if "\n" not in cell]
        blank = sum(cell.isspace() for cell in cells if "\n" in cell)
        others = Counter({NULL: blank, TEXT: len(cells) - len(lines) - blank})
        return others + (_count_lexical_types("\n".join(lines), lines) if lines else Counter())
    text = f"\n{text}\n"
    if not _SUSPECT_BEGINNING.search(text) or not _SUSPECT.search(text):
        return Counter({TEXT: len(cells)})
    forms = text[1:-1].encode(errors="surrogatepass").translate(_SAME_DIGITS).decode(errors="surrogatepass")
    counts = Counter(forms.split("\n"))
    if len(counts) > len(cells) // 4:  # hexadecimal ids, for example
        counts = Counter(_SUSPECT.findall(text))
    types = Counter({TEXT: len(cells) - counts.total()})
    for form, count in counts.items():
        types[_name_cell(form)] += count
    return +types  # without zeros


def _name_cell(cell: str) -> str:
    found = _LEXICAL.match(cell)
    return (found and found.lastgroup) or TEXT


def _name_types(column: Collection[Any], *, is_lexical: bool) -> Iterable[str]:
    kinds = list(map(type, column))
    if not is_lexical:
        return map(_name_type, kinds)
    if set(kinds) == {str}:
        return map(attrgetter("lastgroup"), map(_LEXICAL.match, column))
    return [next(iter(_name_types([cell], is_lexical=kind is str))) for cell, kind in zip(column, kinds, strict=True)]


@cache
def _name_type(kind: type) -> str:
    return _JSON_TYPES.get(kind, kind.__name__)


@dataclass(frozen=True, slots=True)
class Field:
    """A field path in a snapshot, ignoring outliers. `is_optional`: not in every record (or parent object)."""

    type: str
    is_nullable: bool
    is_optional: bool

    @property
    def nullability(self) -> str:
        """Describe nullability in words; an absent field counts like null."""
        words = [word for word, claim in (("null", self.is_nullable), ("absent", self.is_optional)) if claim]
        return f"sometimes {' or '.join(words)}" if words else "never null"

    def __str__(self) -> str:
        return f"{self.type}, {self.nullability}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A source's shape as stored for comparison with the next read. `records` is the number of records it is from."""

    records: int
    fields: Mapping[str, Field]
    is_cut: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the form that `from_json` takes and operators read."""
        fields = {
            path: {"type": kept.type, "nullable": kept.is_nullable, "presence": "some" if kept.is_optional else "every"}
            for path, kept in self.fields.items()
        }
        return {"records": self.records, "is_cut": self.is_cut, "fields": fields}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> "Snapshot":
        fields = {
            path: Field(kept["type"], kept["nullable"], kept["presence"] == "some")
            for path, kept in saved["fields"].items()
        }
        return cls(saved["records"], fields, saved["is_cut"])


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two snapshots, before and after in words."""

    path: str
    kind: ChangeKind
    before: str | None = None
    after: str | None = None

    def __str__(self) -> str:
        if self.kind is ChangeKind.SPELLING:
            return f"{self.before} is now spelled {self.after}"
        if self.before is None or self.after is None:
            return f"{self.path} {self.kind} ({self.before or self.after})"
        return f"{self.path} {self.kind} {self.before} → {self.after}"


def describe_changes(changes: Sequence[Change]) -> str:
    """Describe the changes in one line: the first few in words, the rest as a number."""
    shown = [str(change) for change in changes[:SHOWN_CHANGES]]
    if len(changes) > SHOWN_CHANGES:
        shown.append(f"and {len(changes) - SHOWN_CHANGES} more")
    return "; ".join(shown)


def compare(
    shape: Shape, former: Snapshot | None, contract: type[Contract] = Contract, *, is_delta: bool = False
) -> tuple[Snapshot, list[Change]]:
    """Return the snapshot that a read's shape gives after the former one, and the changes, sorted by path.

    A field that still fits the former snapshot stays as it was there. If one of the two is truncated (`is_cut`), only
    certain changes are reported: a path added to a complete snapshot, or removed from a complete shape. A delta says
    nothing of the records that it lacks, so it only adds to what is known: paths, other types, null and absence. The
    contract says which fields of a whole read are the same under another name.
    """
    kept, changes = _take_spellings(shape, former, contract, is_delta=is_delta)
    fields: dict[str, Field] = {}
    for path in shape.tallies:
        before = kept.get(path)
        if before is None and not _is_established(shape, former, path):
            continue
        after = fields[path] = _judge(shape, path, before)
        if is_delta and before is not None:
            after = fields[path] = _widen(before, after)
        if former is not None:
            changes += _list_changes(path, before, after, is_reported=not former.is_cut)
    for path, before in kept.items():
        if path not in shape.tallies:
            if _is_in_map(shape, path):
                continue
            if not is_delta and _is_gone(shape, fields, path):
                changes.append(Change(path, ChangeKind.REMOVED, before=str(before)))
            else:
                fields[path] = before
    is_cut = shape.is_cut or (is_delta and former is not None and former.is_cut)
    return Snapshot(shape.records, fields, is_cut), sorted(changes, key=lambda change: (change.path, change.kind))


def _widen(before: Field, after: Field) -> Field:
    """Return the field that fits what was known of it before, and what a delta says."""
    kind = before.type if after.type in (before.type, NULL) else MIXED if before.type != NULL else after.type
    is_nullable, is_optional = before.is_nullable or after.is_nullable, before.is_optional or after.is_optional
    return Field(kind, is_nullable, is_optional)


def _take_spellings(
    shape: Shape, former: Snapshot | None, contract: type[Contract], *, is_delta: bool
) -> tuple[Mapping[str, Field], list[Change]]:
    """Return the former fields under the names that they have now, and the changes of these names."""
    kept = dict(former.fields) if former is not None else {}
    respelled = {} if is_delta else _find_respelled(shape, kept, contract)
    for name, old in respelled.items():
        for path in [path for path in kept if _find_top(path) == old]:
            kept[name + path.removeprefix(old)] = kept.pop(path)
    return kept, [Change(name, ChangeKind.SPELLING, old, name) for name, old in respelled.items()]


def find_new_spellings(shape: Shape, former: Snapshot | None, contract: type[Contract]) -> dict[str, str]:
    """Return the declared name of each field that has another one, which the former snapshot lacked."""
    known = former.fields if former is not None else {}
    found = contract.find_respelled([*list_names(shape.tallies)], is_file=shape.is_lexical)
    return {name: declared for name, declared in found.items() if join_path("", name) not in known}


def _find_respelled(shape: Shape, kept: Mapping[str, Field], contract: type[Contract]) -> Mapping[str, str]:
    """Return the former name by the new one, as paths, of each field of the contract that has only the new one."""
    if shape.is_cut:
        return {}
    former = contract.find_declared([*list_names(kept)], is_file=shape.is_lexical)
    gone = {declared: join_path("", name) for name, declared in former.items()}
    found = contract.find_declared([*list_names(shape.tallies)], is_file=shape.is_lexical)
    pairs = ((join_path("", name), gone[declared]) for name, declared in found.items() if declared in gone)
    return {name: old for name, old in pairs if name not in kept and old not in shape.tallies}


def list_names(paths: Iterable[str]) -> Iterator[str]:
    """Yield the names of a record's own fields."""
    for path in paths:
        if _find_top(path) == path:
            yield json.loads(path) if path.startswith('"') else path


def _find_top(path: str) -> str:
    """Return the first step of a path: a field of the record itself."""
    first = _STEP.match(path)
    return first[0] if first is not None else path


def _is_in_map(shape: Shape, path: str) -> bool:
    """Whether the path was a field of an object that the contract has made a map since."""
    parent = _find_parent(path)
    key = f"{parent}{ANY_KEY}"
    return bool(parent) and ((path != key and key in shape.tallies) or _is_in_map(shape, parent))


def find_maps(contract: type[Contract]) -> Maps:
    """Return the paths of a contract's maps."""
    return frozenset(_join_steps(steps) for steps in contract.list_maps())


def _join_steps(steps: Sequence[str]) -> str:
    path = ""
    for step in steps:
        path = path + step if step in (ANY_ITEM, ANY_KEY) else join_path(path, step)
    return path


def _is_established(shape: Shape, former: Snapshot | None, path: str) -> bool:
    """Whether a path that is not in the former snapshot enters the next one."""
    if former is not None and former.is_cut and shape.is_cut:  # or snapshots would grow with each read
        return False
    return shape.tallies[path].present >= (LEAST_RECORDS if shape.records >= MANY else 1)


def _list_changes(path: str, before: Field | None, after: Field, *, is_reported: bool) -> Iterable[Change]:
    if before is None:
        if is_reported:
            yield Change(path, ChangeKind.ADDED, after=str(after))
        return
    if before.type != after.type:
        yield Change(path, ChangeKind.TYPE, before.type, after.type)
    if before.nullability != after.nullability:
        yield Change(path, ChangeKind.NULLABILITY, before.nullability, after.nullability)


def _is_gone(shape: Shape, fields: Mapping[str, Field], path: str) -> bool:
    """Whether a path that no record has is removed. It is not if its parent was null or an empty array throughout."""
    if shape.is_cut:
        return False
    parent = _find_parent(path)
    if not parent:
        return True
    tally = shape.tallies.get(parent)
    if tally is None:
        return _is_gone(shape, fields, parent)
    container = ARRAY if path.endswith(ANY_ITEM) else OBJECT
    if container == OBJECT and tally.types[OBJECT] and not path.endswith(ANY_KEY):
        return True
    return fields[parent].type not in (container, MIXED)


def _judge(shape: Shape, path: str, before: Field | None) -> Field:
    tally = shape.tallies[path]
    possible = tally.present if path.endswith((ANY_ITEM, ANY_KEY)) else _count_parents(shape, path)
    return Field(
        _judge_type(tally, before, is_lexical=shape.is_lexical),
        _is_beyond(tally.types[NULL], tally.present, is_so=before is not None and before.is_nullable),
        _is_beyond(possible - tally.present, possible, is_so=before is not None and before.is_optional),
    )


def _count_parents(shape: Shape, path: str) -> int:
    """Count the records that have the parent object of this field."""
    parent = _find_parent(path)
    return shape.tallies[parent].types[OBJECT] if parent else shape.records


def _judge_type(tally: Tally, before: Field | None, *, is_lexical: bool) -> str:
    """Return the former type if it covers the values, otherwise the narrowest that does. Outliers are ignored."""
    values = tally.types.total() - tally.types[NULL]
    tolerated = _tolerate(values, of=tally.present)

    def count_outliers(type_: str) -> int:
        if type_ == MIXED:
            return 0
        covered = _COVERED.get(type_, (type_,)) if is_lexical else (type_,)
        return values - sum(tally.types[word] for word in covered if word != NULL)

    if before is not None and count_outliers(before.type) <= tolerated:
        return before.type
    if not values:
        return NULL
    tolerated = min(tolerated, (values - 1) // 2)  # outliers are a minority, so at most one type remains
    candidates = _LEXICAL_TYPES if is_lexical else tally.types
    return next((word for word in candidates if count_outliers(word) <= tolerated), MIXED)


def _is_beyond(outliers: int, records: int, *, is_so: bool) -> bool:
    """Hysteresis: a property becomes true beyond the tolerance, and false again only without any outlier."""
    return outliers > (0 if is_so else _tolerate(records, of=records))


def _tolerate(count: int, *, of: int) -> int:
    return max(1, count * TOLERATED_PERCENT // 100) if of >= MANY else 0
