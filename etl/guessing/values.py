"""Guesses the type of a column by its values: the first of etl's own types that accepts all of them. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from etl.contracts.addresses import EmailType, UrlType, UuidType
from etl.contracts.amounts import DecimalType, IntegerType
from etl.contracts.field_type import FieldType, Number
from etl.contracts.forms import Form
from etl.contracts.instants import TimeType
from etl.contracts.texts import IdentifierType
from etl.contracts.times import DateType
from etl.contracts.words import BooleanType
from etl.records import Breach

NULL_WORDS = ("N/A", "n/a", "NA", "#N/A", "null", "NULL", "None", "nil", "-", "--", "\\N", "NaN", "nan", "unknown", "?")
BOOLEANS = (
    *(("true", "false"), ("yes", "no"), ("y", "n"), ("ja", "nein"), ("j", "n"), ("oui", "non"), ("t", "f")),
    ("on", "off"),
)
DAYS = (
    *("%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%Y", "%m-%d-%Y", "%d-%m-%y"),
    *("%Y/%m/%d", "%Y.%m.%d", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d %Y"),
)
HOURS = ("%H:%M:%S", "%H:%M", "%I:%M %p", "%I:%M:%S %p", "%H.%M", "%H:%M:%S.%f")
ZONES = {
    "CET": "+01:00",
    "CEST": "+02:00",
    "UTC": "+00:00",
    "GMT": "+00:00",
    "BST": "+01:00",
    "WET": "+00:00",
    "WEST": "+01:00",
    "EET": "+02:00",
    "EEST": "+03:00",
    "MSK": "+03:00",
    "EST": "-05:00",
    "EDT": "-04:00",
    "CST": "-06:00",
    "CDT": "-05:00",
    "MST": "-07:00",
    "MDT": "-06:00",
    "PST": "-08:00",
    "PDT": "-07:00",
}
EPOCHS = {"seconds": (10, 10), "milliseconds": (13, 13)}
MOST_JUDGED = 5_000
_LEADING_ZERO = re.compile(r"0[0-9]+")
_HOUR = re.compile(r"[0-2]?[0-9]:[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?")


@dataclass(frozen=True, slots=True)
class Guess:
    """A type and the parameters of its field. `comment` says what a person should look at."""

    type: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    is_optional: bool = False
    needs_zone: bool = False
    null_words: frozenset[str] = frozenset()
    comment: str = ""


def looks_typed(text: str) -> bool:
    """Whether the text is a number, a date or a time, so that it is rarely the name of a column."""
    form = Form(is_file=True)
    plain = text.replace(".", "").replace(",", "").replace(" ", "")
    kinds: list[FieldType] = [DecimalType(), DateType(formats=("iso", *DAYS)), TimeType(zone="UTC")]
    return plain.lstrip("+-").isdigit() or any(not isinstance(kind.parse(text, form), Breach) for kind in kinds)


def list_null_words(column: Sequence[Any]) -> frozenset[str]:
    """Return the words of the column that usually stand for no value."""
    return frozenset({cell.strip() for cell in column if isinstance(cell, str)} & {*NULL_WORDS})


def guess_type(column: Sequence[Any], form: Form, *, name: str = "") -> Guess:
    """Guess the type of a column; None and blank strings do not count as values."""
    words = list_null_words(column) if form.is_file else frozenset()
    present = [cell for cell in column if cell is not None and not (isinstance(cell, str) and not cell.strip())]
    values = [cell for cell in present if not (isinstance(cell, str) and cell.strip() in words)]
    for has_words, taken in ((True, values), (False, present)) if words else ((False, present),):
        found = _find(_list_different(taken)[:MOST_JUDGED], form, name) if taken else None
        if found is not None and not (has_words and found.type in ("Text", "Identifier")):
            is_optional = len(taken) < len(column)
            return Guess(
                found.type,
                found.parameters,
                is_optional,
                found.needs_zone,
                words if has_words else frozenset(),
                found.comment,
            )
    kind = "Identifier" if any(isinstance(value, Number) for value in present) else "Text"
    return Guess(kind, {}, is_optional=len(present) < len(column), comment="" if present else "no value was seen")


def _list_different(values: Sequence[Any]) -> list[Any]:
    """Return the values without repetitions; JSON's true is not its 1."""
    return [*{(type(value), value): value for value in values}.values()]


def _find(values: Sequence[Any], form: Form, name: str) -> Guess | None:
    for guess, kind, judged in _list_candidates(values, form, name):
        if all(not isinstance(kind.parse(value, judged), Breach) for value in values):
            return guess
    return None


def _list_candidates(values: Sequence[Any], form: Form, name: str) -> Iterator[tuple[Guess, FieldType, Form]]:
    texts = [value.text if isinstance(value, Number) else value for value in values]
    if all(isinstance(value, bool) for value in values):
        yield Guess("Boolean"), BooleanType(), form
        return
    if not all(isinstance(text, str) for text in texts):
        return
    lower = {text.strip().lower() for text in texts}
    for true, false in BOOLEANS:
        if lower <= {true, false} and form.is_file:
            if true == "true":
                yield Guess("Boolean"), BooleanType(), form
            seen = {text.strip() for text in texts}
            trues, falses = (
                [word for word in sorted(seen) if word.lower() == each] or [each] for each in (true, false)
            )
            parameters = {"trues": trues, "falses": falses}
            yield Guess("Boolean", parameters), BooleanType(trues=tuple(trues), falses=tuple(falses)), form
    yield from _list_numbers(texts, form, name)
    yield from _list_times(texts, form)
    for word, kind in (("Uuid", UuidType()), ("Email", EmailType()), ("Url", UrlType())):
        yield Guess(word), kind, form
    yield Guess("Identifier" if any(isinstance(value, Number) for value in values) else "Text"), IdentifierType(), form


def _list_numbers(texts: Sequence[str], form: Form, name: str) -> Iterator[tuple[Guess, FieldType, Form]]:
    digits = [text.strip() for text in texts]
    if any(map(_LEADING_ZERO.fullmatch, digits)) or any(text.isdigit() and len(text) > 15 for text in digits):
        yield Guess("Identifier", comment="digits, kept as text"), IdentifierType(pattern=r"[0-9]+"), form
    for epoch, (least, most) in EPOCHS.items():
        is_named = re.search(r"time|_at$|^at$|date|stamp|created|updated", name, re.IGNORECASE)
        if is_named and all(text.isdigit() and least <= len(text) <= most for text in digits):
            yield Guess("Time", {"epoch": epoch}), TimeType(epoch=epoch), form  # type: ignore[arg-type]
    if len(digits[0]) == 8 and all(re.fullmatch(r"(19|20)[0-9]{6}", text) for text in digits):
        yield Guess("Date", {"formats": ["%Y%m%d"]}), DateType(formats=("%Y%m%d",)), form
    yield Guess("Integer"), IntegerType(), form
    yield Guess("Decimal"), DecimalType(), form
    for sign in "$€£¥":
        if any(sign in text for text in digits):
            yield Guess("Decimal", {"currency": sign}), DecimalType(currency=sign), form
            both = {"currency": sign, "parentheses": True}
            yield Guess("Decimal", both), DecimalType(currency=sign, parentheses=True), form
    yield Guess("Decimal", {"parentheses": True}), DecimalType(parentheses=True), form


def _list_times(texts: Sequence[str], form: Form) -> Iterator[tuple[Guess, FieldType, Form]]:
    yield Guess("Date"), DateType(), form
    for day in DAYS:
        comment = ""
        if day.startswith(("%d/%m", "%d-%m", "%m/%d", "%m-%d")) and _is_either(texts, day):
            comment = "day and month may be the other way round"
        yield Guess("Date", {"formats": [day]}, comment=comment), DateType(formats=(day,)), form
    yield Guess("Time"), TimeType(), form
    yield Guess("Time", needs_zone=True), TimeType(zone="UTC"), form
    names = {"zones": {each: ZONES[each] for each in ZONES if any(text.strip().endswith(" " + each) for text in texts)}}
    for day, gap, hour in product(("%Y-%m-%d", *DAYS), (" ", ", ", "T"), HOURS):
        written = f"{day}{gap}{hour}"
        yield Guess("Time", {"formats": [written]}, needs_zone=True), TimeType(formats=(written,), zone="UTC"), form
        if names["zones"]:
            parameters = {"formats": [f"{written} %Z"], **names}
            zoned = TimeType(formats=(f"{written} %Z",), zones=tuple(names["zones"].items()))
            yield Guess("Time", parameters), zoned, form


def _is_either(texts: Sequence[str], day: str) -> bool:
    other = day.replace("%d", "%?").replace("%m", "%d").replace("%?", "%m")
    return all(not isinstance(DateType(formats=(other,)).parse(text, Form(is_file=True)), Breach) for text in texts)


def is_hour(column: Sequence[Any]) -> bool:
    """Whether all values are times of a day."""
    return bool(column) and all(isinstance(cell, str) and _HOUR.fullmatch(cell.strip()) for cell in column)


def is_zone_name(column: Sequence[Any]) -> bool:
    """Whether all values are known names of zones."""
    return bool(column) and all(isinstance(cell, str) and cell.strip() in ZONES for cell in column)
