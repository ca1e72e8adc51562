"""Writes the typed cells of a workbook as text, as the field types of a contract read it. Pure."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class CellWriter:
    """The dialect's decimal sign, and its words for true and false."""

    decimal: str = "."
    true: str = "true"
    false: str = "false"

    def write(self, value: Any, *, is_moment: bool) -> str:
        """Return the cell's text. `is_moment`: a day alone stands for its midnight, as Excel stores both alike."""
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return self.true if value else self.false
        if isinstance(value, int | float):
            return _write_number(value).replace(".", self.decimal)
        if isinstance(value, timedelta):
            return _write_duration(value)
        if isinstance(value, date) and not isinstance(value, datetime) and is_moment:
            return datetime.combine(value, time.min).isoformat()
        return str(value.isoformat())


def _write_number(value: float) -> str:
    """Write the shortest digits that are this number: 7 and not 7.0, and never an exponent."""
    if value == int(value):
        return str(int(value))
    return format(Decimal(repr(value)), "f")


def _write_duration(value: timedelta) -> str:
    """Write hours, minutes and seconds; there may be more than 24 hours."""
    seconds = int(value.total_seconds())
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
