"""Formats values as text for COPY (PostgreSQL documentation, COPY, "Text Format"). Pure."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from etl.contracts.numbers import write_decimal

NULL = r"\N"
_ESCAPES = (("\\", r"\\"), ("\t", r"\t"), ("\n", r"\n"), ("\r", r"\r"))
"""The backslash first, so that no escape is escaped again."""


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
        return write_decimal(value)
    return str(value)


def escape(text: str) -> str:
    """Escape the characters that end a value, a line or an escape."""
    for character, escaped in _ESCAPES:  # several times as fast as str.translate
        text = text.replace(character, escaped)
    return text


def escape_column(texts: Sequence[str]) -> Sequence[str]:
    """Escape each text. Most columns have nothing to escape, and are returned as they are."""
    joined = "".join(texts)
    for character, escaped in _ESCAPES:
        if character in joined:
            texts = [text.replace(character, escaped) for text in texts]
    return texts
