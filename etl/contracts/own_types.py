"""Asks field types for values, and guards those that a source brings itself: what they raise, and what they return.

A shipped type is trusted to return what it says. Pure.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from etl.contracts.field_type import FieldType
from etl.contracts.forms import Form
from etl.contracts.own_code import check_breach, ends_run, refuse_raised
from etl.records import Breach
from etl.vocabulary import BreachCode

Column = tuple[list[str | None], dict[int, Breach]]


def parse_value(kind: FieldType, parsed: Any, value: Any, form: Form) -> Any:
    """Return the parsed value, or the breach. `parsed` is the Python type that the contract declares for it."""
    if not is_own(kind):
        return kind.parse(value, form)
    result = _parse(kind, parsed, value, form)
    return result if isinstance(result, Breach) else result[0]


def accepts_value(kind: FieldType, parsed: Any, value: Any, form: Form) -> bool:
    """Whether `parse_value` gives no breach."""
    if not is_own(kind):
        return kind.accepts(value, form)
    return not isinstance(parse_value(kind, parsed, value, form), Breach)


def parse_column(kind: FieldType, parsed: Any, column: Sequence[Any], form: Form) -> Column:
    """Return the canonical text of each value, and the breaches by row: what `parse_value` gives row by row."""
    if not is_own(kind):
        return kind.parse_column(column, form)
    if type(kind).parse_column is not FieldType.parse_column:
        try:
            found = kind.parse_column(column, form)
            if _is_usable(found, len(column)):
                return found
        except Exception as error:
            if ends_run(error):
                raise
    return _parse_rows(kind, parsed, column, form)  # which finds the rows that it concerns


def is_own(kind: FieldType) -> bool:
    """Whether the type is not one of those that are shipped."""
    return _is_own(type(kind))


def is_class(parsed: Any) -> bool:
    """Whether the Python type that a contract declares can be compared with a value's; `Any` can't."""
    return isinstance(parsed, type) and parsed is not Any


@cache
def _is_own(kind: Any) -> bool:
    return not str(kind.__module__).startswith("etl.contracts.")


def _parse_rows(kind: FieldType, parsed: Any, column: Sequence[Any], form: Form) -> Column:
    texts: list[str | None] = [None] * len(column)
    breaches: dict[int, Breach] = {}
    for row, value in enumerate(column):
        result = _parse(kind, parsed, value, form)
        if isinstance(result, Breach):
            breaches[row] = result
        else:
            texts[row] = result[1]
    return texts, breaches


def _parse(kind: FieldType, parsed: Any, value: Any, form: Form) -> tuple[Any, str] | Breach:
    """Return the parsed value and its canonical text, or the breach."""
    name = type(kind).__name__
    called: Callable[..., Any] = kind.parse
    try:
        result = called(value, form)
        if isinstance(result, Breach):
            return check_breach(result, f"can't be parsed: {name}")
        if result is None or (is_class(parsed) and not isinstance(result, parsed)):
            declared = getattr(parsed, "__name__", "a value")
            text = f"can't be parsed: {name} returned {type(result).__name__}, and not {declared}"
            return Breach(BreachCode.BAD_RESULT, text)
        called = kind.write
        written: object = called(result)
    except Exception as error:  # noqa: BLE001  (law 13)
        return refuse_raised(error, f"can't be parsed: {name}", called)
    if not isinstance(written, str):
        text = f"can't be parsed: {name} wrote {type(written).__name__}, and not str"
        return Breach(BreachCode.BAD_RESULT, text)
    return result, written


def _is_usable(found: object, count: int) -> bool:
    """Whether an own `parse_column` has returned a text or a breach for each row."""
    if not isinstance(found, tuple) or len(found) != 2:
        return False
    texts, breaches = found
    if not isinstance(texts, list) or len(texts) != count or not isinstance(breaches, dict):
        return False
    if any(check_breach(breach, "") is not breach for breach in breaches.values()):
        return False
    nulls = {row for row, text in enumerate(texts) if not isinstance(text, str)}
    return nulls == breaches.keys()
