"""Field types of dates, and of ISO 8601 times with their zone. Pure."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Annotated, Any

from etl.contracts.field_type import FieldType, PatternType, show_value
from etl.contracts.forms import FILE_FORM, Form, is_text
from etl.contracts.time_formats import ISO, compile_date, read_date
from etl.records import Breach
from etl.vocabulary import BreachCode

KEPT_DATES = 4096
KEPT_HOURS = 8192
LONGEST_DATE = 40

_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(?P<zone>Z|[+-][0-9]{2}:?[0-5][0-9])?"
)
# What needs no parsing: days that every year has, and whole seconds in UTC or at whole hours from it.
_PLAIN_DAY = (
    r"(?!0000)[0-9]{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)"
    r"|(?:0[13578]|1[02])-31)"
)
_PLAIN_DATES = re.compile(rf"(?:{_PLAIN_DAY}\n)*+")
_PLAIN_TIME = rf"{_PLAIN_DAY}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
PLAIN_TIMES = re.compile(rf"(?:{_PLAIN_TIME}(?:Z|\+00:00)\n)*+")
# At the ends of the calendar there may be no such time in UTC.
_PLAIN_ZONED_TIMES = re.compile(rf"(?:(?!0001|9999){_PLAIN_TIME}(?:Z|[+-](?:0[0-9]|1[0-4]):00)\n)*+")
_ZONED_LENGTH = len("2024-05-01T10:00:00+02:00")
_UTC = "+00:00"


@dataclass(frozen=True)
class ZonedTimeType(PatternType):
    """An ISO 8601 time with its zone, converted to UTC; digits below a microsecond are dropped."""

    name = "zoned_time"
    plain = _PLAIN_ZONED_TIMES

    def parse(self, value: Any, form: Form) -> datetime | Breach:
        if not isinstance(value, str):
            return Breach(BreachCode.NOT_A_TIME, f"must be an ISO 8601 time, not {show_value(value)}")
        if not value or value.isspace():
            return Breach(BreachCode.BLANK, "is blank")
        match = _TIME.fullmatch(value)
        if match is None:
            return Breach(BreachCode.NOT_A_TIME, f"must be an ISO 8601 time, not {show_value(value)}")
        if match["zone"] is None:
            return Breach(BreachCode.NO_TIME_ZONE, f"must name its time zone (Z or +01:00): {show_value(value)}")
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            return Breach(BreachCode.OUT_OF_RANGE, f"is not a time that exists: {show_value(value)}")

    def write(self, value: datetime) -> str:
        return value.astimezone(UTC).isoformat()

    def write_plain(self, cells: list[str], joined: str) -> list[str]:
        texts = write_plain_times(joined)
        if joined.count("Z\n") + joined.count(f"{_UTC}\n") == len(texts):
            return texts
        return [
            f"{_find_hour(text[:13], text[19:])}{text[13:19]}{_UTC}"
            if len(text) == _ZONED_LENGTH and not text.endswith(_UTC)
            else text
            for text in texts
        ]


@lru_cache(maxsize=KEPT_HOURS)
def _find_hour(hour: str, zone: str) -> str:
    """Return in UTC the hour (2024-05-01T10) of a plain time in the zone; empty for any other text."""
    try:
        return datetime.fromisoformat(f"{hour}:00:00{zone}").astimezone(UTC).isoformat()[:13]
    except (ValueError, OverflowError):
        return ""


def write_plain_times(joined: str) -> list[str]:
    """Return the canonical text of each plain time; `joined` has one per line."""
    return joined.replace("Z\n", "+00:00\n").split("\n")[:-1]


def check_formats(formats: Any) -> None:
    """Raise TypeError if these are not formats at all."""
    if not isinstance(formats, tuple) or not all(isinstance(each, str) for each in formats):
        raise TypeError(f'formats is a list of strings such as ["%d/%m/%Y"], not {formats!r}')


@dataclass(frozen=True)
class DateType(PatternType):
    """A date that exists, in ISO 8601 (2024-05-01) or in one of the `formats`, without the blanks around it."""

    formats: tuple[str, ...] = ()

    name = "date"
    plain = _PLAIN_DATES

    def __post_init__(self) -> None:
        check_formats(self.formats)
        for each in self.formats:
            compile_date(each)

    def parse(self, value: Any, form: Form) -> date | Breach:
        if not isinstance(value, str):
            return self._refuse(value)
        text = value.strip()
        if not text:
            return Breach(BreachCode.BLANK, "is blank")
        found = (compile_date(each).fullmatch(text) for each in self.formats or (ISO,))
        match = next(filter(None, found), None)
        if match is None:
            return self._refuse(value)
        try:
            return read_date(match)
        except ValueError:
            return Breach(BreachCode.OUT_OF_RANGE, f"is not a date that exists: {show_value(value)}")

    def _refuse(self, value: Any) -> Breach:
        wanted = f"like {' or '.join(self.formats)}" if self.formats else "(2024-05-01)"
        return Breach(BreachCode.NOT_A_DATE, f"must be a date {wanted}, not {show_value(value)}")

    def write(self, value: date) -> str:
        return value.isoformat()

    def takes_plain(self, form: Form) -> bool:
        return not self.formats

    def parse_column(self, column: Sequence[Any], form: Form) -> tuple[list[str | None], dict[int, Breach]]:
        if not self.formats:
            return super().parse_column(column, form)
        if not is_text(column) or max(map(len, column), default=0) > LONGEST_DATE:
            return FieldType.parse_column(self, column, form)
        texts: list[str | None] = [*map(_remember_dates(self), column)]
        return texts, self.parse_rows(column, [row for row, text in enumerate(texts) if text is None], texts, form)


@lru_cache(maxsize=64)
def _remember_dates(kind: DateType) -> Callable[[str], str | None]:
    """Return what gives a cell's canonical text, or None: a file has few different dates, and they come again."""

    @lru_cache(maxsize=KEPT_DATES)
    def read(cell: str) -> str | None:
        result = kind.parse(cell, FILE_FORM)
        return None if isinstance(result, Breach) else kind.write(result)

    return read


ZonedTime = Annotated[datetime, ZonedTimeType()]
Date = Annotated[date, DateType()]
