"""Field types of dates and times in ISO 8601. Pure."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any

from etl.contracts.field_type import PatternType, show_value
from etl.contracts.forms import Form
from etl.records import Breach
from etl.vocabulary import BreachCode

_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(?P<zone>Z|[+-][0-9]{2}:?[0-5][0-9])?"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# What needs no parsing: days that every year has, and whole seconds in UTC.
_PLAIN_DAY = (
    r"(?!0000)[0-9]{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)"
    r"|(?:0[13578]|1[02])-31)"
)
_PLAIN_DATES = re.compile(rf"(?:{_PLAIN_DAY}\n)*+")
_PLAIN_TIMES = re.compile(rf"(?:{_PLAIN_DAY}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:Z|\+00:00)\n)*+")


@dataclass(frozen=True)
class ZonedTimeType(PatternType):
    """An ISO 8601 time with its zone, converted to UTC; digits below a microsecond are dropped."""

    name = "zoned_time"
    plain = _PLAIN_TIMES

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
        return joined.replace("Z\n", "+00:00\n").split("\n")[:-1]


@dataclass(frozen=True)
class DateType(PatternType):
    """An ISO 8601 date (2024-05-01) that exists."""

    name = "date"
    plain = _PLAIN_DATES

    def parse(self, value: Any, form: Form) -> date | Breach:
        if not isinstance(value, str):
            return Breach(BreachCode.NOT_A_DATE, f"must be a date (2024-05-01), not {show_value(value)}")
        if not value or value.isspace():
            return Breach(BreachCode.BLANK, "is blank")
        if not _DATE.fullmatch(value):
            return Breach(BreachCode.NOT_A_DATE, f"must be a date (2024-05-01), not {show_value(value)}")
        try:
            return date.fromisoformat(value)
        except ValueError:
            return Breach(BreachCode.OUT_OF_RANGE, f"is not a date that exists: {show_value(value)}")

    def write(self, value: date) -> str:
        return value.isoformat()


ZonedTime = Annotated[datetime, ZonedTimeType()]
Date = Annotated[date, DateType()]
