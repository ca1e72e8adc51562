"""Formats values as text for COPY (PostgreSQL documentation, COPY, "Text Format"). Pure."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
NULL = r"\N"


def join_values(values: Iterable[Any]) -> str:
    """Format the values of one row, without the line end."""
    return "\t".join(map(format_value, values))


def format_value(value: Any) -> str:
    """Format one value: a string, bytes, a number, a time or None. Equal decimals and times give equal text."""
    if value is None:
        return NULL
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, bytes):
        return rf"\\x{value.hex()}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Decimal):
        return format_decimal(value)
    return str(value)


def escape(text: str) -> str:
    """Escape the characters that end a value, a line or an escape."""
    return text.translate(_ESCAPES)


def format_decimal(value: Decimal) -> str:
    """Return the number without exponent and without zeros at the end of its decimals; zero has no sign."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
