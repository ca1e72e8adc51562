"""Guesses the fields of a contract, the id and the mapping, from columns or from the members of objects. Pure."""

import keyword
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from etl.contracts.forms import Form
from etl.guessing.values import ZONES, Guess, guess_type, is_hour, is_zone_name

TAKEN = {"fields", "field", "judge", "resolve", "describe"}
"""Names that a contract's class or the text of its body uses itself."""
_ID_NAMES = (
    r"^(id|uuid|guid|key|sku)$",
    r"(^|_)(id|uuid|guid|sku)$",
    r"(transaction|transaktion|order|invoice|booking|payment|document).*(code|number|no|nr|ref|reference)$",
    r"(^|_)(number|no|nr|code|key|reference|ref|ean|isbn|iban|handle|nummer)$|(number|nummer|code)$",
)
_NAMES = (
    r"^(name|title|label|titel|bezeichnung)$|(_name|_title|_label|title)$",
    r"(name|description|beschreibung|verwendungszweck|purpose|supplier|customer|text|empfanger|subject)",
)
_VALUES = (
    r"^(price|amount|value|total|betrag|brutto|preis|sum|summe|umsatz)$|^(net|gross|total)",
    r"price|amount|betrag|total|value|preis|cost",
)
_CURRENCIES = (r"curr|wahrung|waehrung|devise",)
_TIMES = (r"updated|modified|changed|geandert", r"timestamp|created|_at$|^at$|time|zeit|datum|date")
_ID_TYPES = ("Identifier", "Integer", "Text", "Uuid")
_TEXT_TYPES = ("Text", "Identifier", "Email", "Url")
_CATEGORIES = (r"categ|^type$|^typ$|group|^kind$|department|status",)


@dataclass(frozen=True, slots=True)
class FieldGuess:
    """One field: its name in the class, the columns that hold it, its type, and all values that were seen."""

    name: str
    columns: Sequence[str]
    guess: Guess
    values: Sequence[Any]

    def inside(self, *, is_optional: bool) -> "FieldGuess":
        """Return the field as it is inside an object that may be optional."""
        return replace(self, guess=replace(self.guess, is_optional=self.guess.is_optional or is_optional))

    @property
    def is_plain(self) -> bool:
        """Whether its own name is the name of its column."""
        return tuple(self.columns) == (self.name,)


@dataclass(frozen=True, slots=True)
class ObjectGuess:
    """A nested object, or a list of them: its name in the class, its key, and its contract."""

    name: str
    key: str
    contract: "ContractGuess"
    is_optional: bool
    is_list: bool = False


@dataclass(frozen=True, slots=True)
class ContractGuess:
    """A contract: its class's name, its fields and objects, and members that a contract can't name here."""

    name: str
    fields: Sequence[FieldGuess]
    objects: Sequence[ObjectGuess] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    def list_paths(self, prefix: str = "", *, is_optional: bool = False) -> dict[str, FieldGuess]:
        """Return all fields by path. A field in an optional object is optional too."""
        plain = [each for each in self.fields if not each.guess.type.startswith("list[")]
        found = {f"{prefix}{each.name}": each.inside(is_optional=is_optional) for each in plain}
        for each in self.objects:
            if each.is_list:
                continue
            found |= each.contract.list_paths(f"{prefix}{each.name}.", is_optional=is_optional or each.is_optional)
        return found


def name_class(text: str) -> str:
    """Return a class's name for the text: `shop orders` gives ShopOrders."""
    words = re.findall(r"[a-z0-9]+", make_name(text))
    name = "".join(word.capitalize() for word in words)
    return name if name[:1].isalpha() else f"Source{name}"


def make_name(text: str) -> str:
    """Return a Python name for a column: `Order ID` gives order_id."""
    plain = text.strip().replace("ß", "ss").replace("&", " and ")
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(letter))
    name = re.sub(r"[^a-zA-Z0-9]+", "_", plain).strip("_").lower()
    if not name or name[0].isdigit():
        name = f"column_{name}".rstrip("_")
    return f"{name}_" if keyword.iskeyword(name) or name in TAKEN else name


def _make_names(columns: Sequence[str]) -> dict[str, str]:
    """Return a Python name of its own for each column; the column's own name if it is one already."""
    names: dict[str, str] = {}
    for column in columns:
        is_good = column.isidentifier() and column.isascii() and not keyword.iskeyword(column) and column not in TAKEN
        wanted = column if is_good else make_name(column)
        name, number = wanted, 2
        while name in names.values():
            name, number = f"{wanted}_{number}", number + 1
        names[column] = name
    return names


def guess_table(name: str, header: Sequence[str], columns: Sequence[Sequence[str]], form: Form) -> ContractGuess:
    """Guess the contract of a table."""
    stripped = [each.strip() for each in header]
    doubled = {each for each in stripped if stripped.count(each) > 1}
    left_out = dict.fromkeys(sorted(doubled), "several columns have this name")
    left_out |= {} if all(each.strip() for each in header) else {"": "a column without a name"}
    kept = {
        each.strip(): column
        for each, column in zip(header, columns, strict=True)
        if each.strip() and each.strip() not in doubled
    }
    names = _make_names([*kept])
    guesses = {column: guess_type(values, form, name=column) for column, values in kept.items()}
    words = frozenset().union(*(each.null_words for each in guesses.values()))
    for column, guess in guesses.items():
        if words and any(cell.strip() in words for cell in kept[column]):
            guesses[column] = replace(guess, is_optional=True)
    fields = [FieldGuess(names[column], (column,), guess, kept[column]) for column, guess in guesses.items()]
    return ContractGuess(name, _join_times(fields), left_out=left_out)


def list_null_words(contract: ContractGuess) -> list[str]:
    """Return the words that stand for no value in a column of the table."""
    return sorted(frozenset().union(*(each.guess.null_words for each in contract.fields)))


def _join_times(fields: Sequence[FieldGuess]) -> list[FieldGuess]:
    """Join a date with the time of the day, and the name of a zone, that stand in the next columns."""
    joined: list[FieldGuess] = []
    index = 0
    while index < len(fields):
        parts = fields[index : index + 3]
        size = _count_parts(parts)
        joined.append(_join(parts[:size]) if size > 1 else fields[index])
        index += max(1, size)
    return joined


def _count_parts(parts: Sequence[FieldGuess]) -> int:
    if len(parts) < 2 or parts[0].guess.type != "Date" or parts[0].guess.is_optional or not is_hour(parts[1].values):
        return 1
    return 3 if len(parts) == 3 and is_zone_name(parts[2].values) else 2


def _join(parts: Sequence[FieldGuess]) -> FieldGuess:
    (day,) = parts[0].guess.parameters.get("formats", ["%Y-%m-%d"])
    seconds = any(cell.strip().count(":") == 2 for cell in parts[1].values)
    written = f"{day} %H:%M{':%S' if seconds else ''}"
    parameters: dict[str, Any] = {"formats": [written]}
    if len(parts) == 3:
        found = sorted({cell.strip() for cell in parts[2].values})
        parameters = {"formats": [f"{written} %Z"], "zones": {each: ZONES[each] for each in found}}
    values = [" ".join(cells) for cells in zip(*(each.values for each in parts), strict=True)]
    columns = [column for each in parts for column in each.columns]
    return FieldGuess("at", columns, Guess("Time", parameters, needs_zone=len(parts) == 2), values)


def guess_objects(name: str, records: Sequence[Mapping[str, Any]], form: Form) -> ContractGuess:
    """Guess the contract of JSON objects."""
    keys = [*dict.fromkeys(key for record in records for key in record)]
    names = _make_names(keys)
    fields: list[FieldGuess] = []
    objects: list[ObjectGuess] = []
    left_out: dict[str, str] = {}
    for key in keys:
        values = [record.get(key) for record in records]
        present = [value for value in values if value is not None]
        if present and all(isinstance(value, Mapping) for value in present):
            inner = guess_objects(f"{name}{name_class(key)}", present, form)
            if inner.fields or inner.objects:
                objects.append(ObjectGuess(names[key], key, inner, is_optional=len(present) < len(values)))
            else:
                left_out[key] = "an object without members"
        elif present and all(isinstance(value, list) for value in present):
            items = [item for value in present for item in value]
            is_optional = len(present) < len(values)
            if items and all(isinstance(item, Mapping) and item for item in items):
                inner = guess_objects(f"{name}{name_class(key)}", items, form)
                objects.append(ObjectGuess(names[key], key, inner, is_optional=is_optional, is_list=True))
            elif items and not any(item is None or isinstance(item, list | Mapping) for item in items):
                item = guess_type(items, form, name=key)
                listed = Guess(f"list[{item.type}]", item.parameters, is_optional=is_optional)
                fields.append(FieldGuess(names[key], (key,), listed, values))
            else:
                left_out[key] = "a list whose items are not alike: it is kept in the raw record"
        elif any(isinstance(value, list | Mapping) for value in present):
            left_out[key] = "an object or a list here and there: it is kept in the raw record"
        else:
            guess = guess_type(values, form, name=key)
            fields.append(FieldGuess(names[key], (key,), guess, values))
    return ContractGuess(name, fields, objects, left_out)


@dataclass(frozen=True, slots=True)
class MappingGuess:
    """What the unified fields take. `is_by_row`: no field identifies a record; the id is all of them at best."""

    external_id: Sequence[str]
    name: str
    others: Mapping[str, str]
    doubts: Sequence[str]
    is_by_row: bool = False


def guess_mapping(contract: ContractGuess) -> MappingGuess:
    """Guess which fields are the id, the name, the value, the currency and the time of a record."""
    paths = contract.list_paths()
    required = {path: each for path, each in paths.items() if not each.guess.is_optional}
    ids = {path: each for path, each in required.items() if _fits_id(each)}
    external_id = _find_id(ids)
    doubts = []
    is_by_row = not external_id
    if is_by_row:
        external_id = [*ids]
    elif not _is_named(external_id[0], _ID_NAMES):
        doubts.append(
            f"The id is {' with '.join(external_id)} because its values are unique here: are they always unique?"
        )
    texts = {path: each for path, each in required.items() if _fits_text(each)}
    name = _choose(texts, _NAMES) or next((path for path in texts if [path] != [*external_id]), None)
    name = name or next(iter(external_id), None) or next(iter(required), "")
    numbers = {path: each for path, each in paths.items() if each.guess.type in ("Decimal", "Integer")}
    decimals = {
        path: each for path, each in numbers.items() if each.guess.type == "Decimal" and path not in external_id
    }
    times = {path: each for path, each in paths.items() if each.guess.type == "Time" and not each.guess.is_optional}
    words = {path: each for path, each in paths.items() if each.guess.type == "Text"}
    currencies = {path: each for path, each in words.items() if _has_codes(each)}
    others = {
        "category": _choose({path: each for path, each in words.items() if path != name}, _CATEGORIES),
        "value": _choose(numbers, _VALUES) or next(iter(decimals), None),
        "currency": _choose(currencies, _CURRENCIES),
        "event_timestamp": _choose(times, _TIMES),
    }
    return MappingGuess(external_id, name, {target: path for target, path in others.items() if path}, doubts, is_by_row)


def _fits_id(each: FieldGuess) -> bool:
    return each.guess.type in _ID_TYPES and all(len(str(value)) <= 80 for value in each.values)


def _fits_text(each: FieldGuess) -> bool:
    return each.guess.type in _TEXT_TYPES and all(len(str(value)) <= 1000 for value in each.values)


def _find_id(ids: Mapping[str, FieldGuess]) -> list[str]:
    """Return the fields that identify a record: one that is named like an id, or one or two whose values all differ."""
    count = max((len(each.values) for each in ids.values()), default=0)
    for pattern in _ID_NAMES:
        for path, each in ids.items():
            if re.search(pattern, make_name(each.columns[-1])) and _are_different([each]):
                return [path]
    named = [path for path in ids if _is_named_field(ids[path])]
    for pair in combinations(named, 2):
        if _are_different([ids[path] for path in pair]):
            return [*pair]
    if named:
        for path in ids:
            if path not in named and _are_different([ids[named[0]], ids[path]]):
                return [named[0], path]
    if count >= 20:
        return next(([path] for path, each in ids.items() if _are_different([each])), [])
    return []


def _is_named_field(each: FieldGuess) -> bool:
    return any(re.search(pattern, make_name(each.columns[-1])) for pattern in _ID_NAMES)


def _is_named(path: str, patterns: Iterable[str]) -> bool:
    return any(re.search(pattern, path.rpartition(".")[2]) for pattern in patterns)


def _are_different(fields: Sequence[FieldGuess]) -> bool:
    rows = [
        *zip(
            *(tuple(str(getattr(value, "text", value)).strip() for value in each.values) for each in fields),
            strict=True,
        )
    ]
    return len(set(rows)) == len(rows)


def _choose(fields: Mapping[str, FieldGuess], patterns: Iterable[str]) -> str | None:
    for pattern in patterns:
        for path, each in fields.items():
            if re.search(pattern, make_name(each.columns[0])) or re.search(pattern, path.rpartition(".")[2]):
                return path
    return None


def _has_codes(each: FieldGuess) -> bool:
    texts = {value.strip() for value in each.values if isinstance(value, str) and value.strip()}
    return bool(texts) and all(re.fullmatch(r"[A-Z]{3}|[$€£¥]", text) for text in texts)
