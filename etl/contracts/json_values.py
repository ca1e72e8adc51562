"""The field type of any JSON value, and JSON's text: read strictly, and written canonically. Pure."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from json.encoder import encode_basestring
from typing import Annotated, Any

from etl.contracts.field_type import FieldType, Number, show_value
from etl.contracts.forms import Form
from etl.contracts.numbers import write_decimal
from etl.contracts.texts import find_text_breach
from etl.records import Breach
from etl.vocabulary import BreachCode

MAX_DEPTH = 200
"""Levels of nested objects and arrays. The limit is fixed because Python's depends on the caller and fails late."""
LONGEST_NUMBER = 1000
"""Digits of a number, and of its exponent's value."""
_INTEGER = re.compile(r"-?[0-9]+")


class _Refused(ValueError):
    """Carries the breach out of Python's decoder."""

    def __init__(self, code: BreachCode, message: str) -> None:
        self.breach = Breach(code, message)


@dataclass(frozen=True)
class JsonType(FieldType):
    """Any JSON value but null, as it is; in a file, the cell holds JSON text."""

    name = "json"
    writes_json = True

    def parse(self, value: Any, form: Form) -> Any:
        sent = decode_cell(value, form)
        if isinstance(sent, Breach):
            return sent
        if sent is None:
            return Breach(BreachCode.MISSING, "is JSON's null")
        try:
            return _convert(sent, 1)
        except _Refused as refused:
            return refused.breach

    def write(self, value: Any) -> str:
        return write_json(value)


def decode_cell(value: Any, form: Form) -> Any:
    """Return the JSON value of a file's cell, with its numbers as they were written; in JSON the value itself."""
    if not form.is_file or not isinstance(value, str):
        return value
    if not value or value.isspace():
        return Breach(BreachCode.BLANK, "is blank")
    try:
        return _DECODER.decode(value)
    except _Refused as refused:
        return refused.breach
    except RecursionError:
        return Breach(BreachCode.TOO_DEEP, f"is nested more than {MAX_DEPTH} levels deep")
    except ValueError:
        return Breach(BreachCode.NOT_JSON, f"must be JSON, not {show_value(value)}")


def _build(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    built = dict(pairs)
    if len(built) != len(pairs):
        raise _Refused(BreachCode.DUPLICATE_KEY, "names a key twice")
    return built


def _refuse_word(word: str) -> Any:
    raise _Refused(BreachCode.NOT_JSON, f"must be JSON, which has no {word}")


_DECODER = json.JSONDecoder(object_pairs_hook=_build, parse_int=Number, parse_float=Number, parse_constant=_refuse_word)


def _convert(value: Any, depth: int) -> Any:
    """Return the value with its numbers as Python's. Raises _Refused for a value that PostgreSQL can't store."""
    if isinstance(value, Number):
        return _convert_number(value.text)
    if isinstance(value, str):
        return _check(value)
    if depth > MAX_DEPTH and isinstance(value, dict | list):
        raise _Refused(BreachCode.TOO_DEEP, f"is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        return {_check(name): _convert(each, depth + 1) for name, each in value.items()}
    return [_convert(each, depth + 1) for each in value] if isinstance(value, list) else value


def _check(text: str) -> str:
    breach = find_text_breach(text)
    if breach is not None:
        raise _Refused(breach.code, breach.message)
    return text


def _convert_number(text: str) -> int | Decimal:
    if len(text) <= LONGEST_NUMBER:
        if _INTEGER.fullmatch(text):
            return int(text)
        try:
            number = Decimal(text)
        except InvalidOperation:
            pass
        else:
            if abs(number.adjusted()) <= LONGEST_NUMBER:
                return number
    raise _Refused(BreachCode.OUT_OF_RANGE, f"has a number that is out of range: {show_value(text)}")


def write_json(value: Any) -> str:
    """Write JSON without blanks, with sorted names, and each number in one spelling."""
    if isinstance(value, bool) or value is None:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{encode_basestring(name)}:{write_json(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write_json, value)) + "]"
    return write_decimal(value) if isinstance(value, Decimal) else str(value)


Json = Annotated[object, JsonType()]
