"""The field type of a time whose zone its value, its field or its source names. Pure."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from typing import Annotated, Any, Literal, get_args

from etl.contracts.field_type import FieldType, Number, PatternType, find_other_rows, show_value
from etl.contracts.forms import Form, is_text
from etl.contracts.time_formats import (
    ISO,
    RFC2822,
    Moment,
    Zones,
    compile_time,
    find_zone,
    read_moment,
)
from etl.contracts.times import KEPT_HOURS, PLAIN_TIMES, check_formats, write_plain_times
from etl.records import Breach
from etl.vocabulary import BreachCode

LONGEST_TIME = 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?")
_MICROSECONDS = {"seconds": 1_000_000, "milliseconds": 1000}

Epoch = Literal["seconds", "milliseconds"]
Twice = Literal["earlier", "later"]
Missing = Literal["shift"]


@dataclass(frozen=True)
class TimeType(PatternType):
    """An instant, converted to UTC; digits below a microsecond are dropped.

    The value is in ISO 8601 or RFC 2822, or in one of the `formats`, or a number of `epoch` units since 1970. If it
    names no zone, that of the field or of its source counts. `zones` gives the offset of each name of a zone that
    values have. A time that a change of the clocks repeats or skips is refused, unless `twice` says which one is meant,
    or `missing="shift"` that it is as much later as the clocks were put forward.
    """

    formats: Sequence[str] = ()
    epoch: Epoch | None = None
    zone: str | None = None
    zones: Zones = ()
    twice: Twice | None = None
    missing: Missing | None = None

    name = "time"
    plain = PLAIN_TIMES

    def __post_init__(self) -> None:
        check_formats(self.formats)
        if self.epoch is not None and self.formats:
            raise TypeError("a time has either formats or an epoch")
        for word, value, known in (
            ("epoch", self.epoch, Epoch),
            ("twice", self.twice, Twice),
            ("missing", self.missing, Missing),
        ):
            if value is not None and value not in get_args(known):
                raise TypeError(f"{word} is {' or '.join(map(repr, get_args(known)))}, not {value!r}")
        if not all(isinstance(pair, tuple) and all(isinstance(word, str) for word in pair) for pair in self.zones):
            raise TypeError('zones gives the offset of each name: zones={"CET": "+01:00"}')
        for zone in (*([self.zone] if self.zone is not None else []), *(each for _, each in self.zones)):
            find_zone(zone)
        self.list_patterns()

    def takes_plain(self, form: Form) -> bool:
        return self.epoch is None and not self.formats

    def parse(self, value: Any, form: Form) -> datetime | Breach:
        if self.epoch is not None:
            return self._parse_epoch(value)
        if not isinstance(value, str):
            return self._refuse(value)
        text = value.strip()
        if not text:
            return Breach(BreachCode.BLANK, "is blank")
        match = next(filter(None, (pattern.fullmatch(text) for pattern in self.list_patterns())), None)
        if match is None:
            return self._refuse(value)
        try:
            return self._find_instant(read_moment(match, self.zones), value, form)
        except (ValueError, OverflowError):
            return Breach(BreachCode.OUT_OF_RANGE, f"is not a time that exists: {show_value(value)}")

    def list_patterns(self) -> Sequence[re.Pattern[str]]:
        """Return the patterns of its formats, in their order."""
        return _compile_all(tuple(self.formats) or (ISO, RFC2822), tuple(self.zones))

    def _refuse(self, value: Any) -> Breach:
        if self.epoch is not None:
            wanted = f"a number of {self.epoch} since 1970"
        else:
            wanted = "a time " + (f"like {' or '.join(self.formats)}" if self.formats else "in ISO 8601")
        return Breach(BreachCode.NOT_A_TIME, f"must be {wanted}, not {show_value(value)}")

    def _parse_epoch(self, value: Any) -> datetime | Breach:
        text = value.text if isinstance(value, Number) else value
        if isinstance(text, str) and not text.strip():
            return Breach(BreachCode.BLANK, "is blank")
        if not isinstance(text, str) or not _EPOCH_NUMBER.fullmatch(text.strip()):
            return self._refuse(value)
        assert self.epoch is not None
        try:
            units = int(Decimal(text.strip()) * _MICROSECONDS[self.epoch] // 1)
            return _EPOCH + timedelta(microseconds=units)
        except (OverflowError, InvalidOperation):
            return Breach(BreachCode.OUT_OF_RANGE, f"is not a time that exists: {show_value(value)}")

    def _find_instant(self, moment: Moment, value: str, form: Form) -> datetime | Breach:
        if moment.place is not None:
            return self._find_placed(moment, moment.place, value)
        if moment.zone is not None and not isinstance(moment.zone.utcoffset(None), timedelta):
            return self._localise(moment, moment.zone, value)
        if moment.zone is not None:
            return _finish(moment, moment.zone)
        zone = self.zone or form.zone
        if zone is None:
            text = f"names no time zone, and neither do its field and its source: {show_value(value)}"
            return Breach(BreachCode.NO_TIME_ZONE, text)
        return self._localise(moment, find_zone(zone), value)

    def _find_placed(self, moment: Moment, place: str, value: str) -> datetime | Breach:
        """Return the instant of a time with the name of its place; its offset, if it has one, must be that place's."""
        zone = find_zone(place)
        if moment.zone is None:
            return self._localise(moment, zone, value)
        instant = _finish(moment, moment.zone)
        if instant.astimezone(zone).utcoffset() == moment.zone.utcoffset(moment.local):
            return instant
        text = f"has an offset that {place} did not have then: {show_value(value)}"
        return Breach(BreachCode.OUT_OF_RANGE, text)

    def _localise(self, moment: Moment, zone: tzinfo, value: str) -> datetime | Breach:
        first, second = (zone.utcoffset(moment.local.replace(fold=fold)) for fold in (0, 1))
        if first == second:
            return _finish(moment, zone)
        assert first is not None and second is not None  # noqa: PT018
        if first > second and self.twice is None:
            text = f'exists twice in {zone}: {show_value(value)}; the field may say twice="earlier" or "later"'
            return Breach(BreachCode.AMBIGUOUS_TIME, text)
        if first < second and self.missing is None:
            text = f'does not exist in {zone}: {show_value(value)}; the field may say missing="shift"'
            return Breach(BreachCode.NONEXISTENT_TIME, text)
        is_later = first > second and self.twice == "later"
        return _finish(Moment(moment.local.replace(fold=int(is_later)), is_leap=moment.is_leap), zone)

    def write_plain(self, cells: list[str], joined: str) -> list[str]:
        return write_plain_times(joined)

    def write(self, value: datetime) -> str:
        return value.astimezone(UTC).isoformat()

    def parse_column(self, column: Sequence[Any], form: Form) -> tuple[list[str | None], dict[int, Breach]]:
        if self.epoch is not None or not is_text(column):
            return FieldType.parse_column(self, column, form)
        cells, joined = self._join(column)
        texts: list[str | None] = [*self.write_plain(cells, joined)]
        others = range(len(column)) if self.formats else find_other_rows(joined, self.plain)
        write = _remember_hours(self, form)
        for row in others:
            texts[row] = write(column[row])
        return texts, self.parse_rows(column, [row for row in others if texts[row] is None], texts, form)

    def find_hour(self, match: re.Match[str], form: Form) -> str | None:
        """Return the hour in UTC (2024-05-01T10) of all times in the hour that was found; None if they differ."""
        if match.groupdict().get("H") == "24":
            return None
        try:
            moment = read_moment(match, self.zones)
            starts = (moment.local.replace(minute=minute, second=0, microsecond=0) for minute in (0, 59))
            first, last = (self._find_instant(replace(moment, local=start), "", form) for start in starts)
        except (ValueError, OverflowError):
            return None
        if isinstance(first, Breach) or isinstance(last, Breach):
            return None
        is_whole = (first.minute, first.second, last - first) == (0, 0, timedelta(minutes=59))
        return first.isoformat()[:13] if is_whole else None


@lru_cache(maxsize=64)
def _remember_hours(kind: TimeType, form: Form) -> Callable[[str], str | None]:
    """Return what gives a cell's canonical text, or None if it must be parsed.

    Which instant an hour begins with is found once for all times in it.
    """
    hours: dict[tuple[str | None, ...], str | None] = {}
    plans = [_Plan.of(pattern) for pattern in kind.list_patterns()]

    def write(cell: str) -> str | None:
        if len(cell) > LONGEST_TIME:
            return None
        text = cell.strip()
        for plan in plans:
            match = plan.pattern.fullmatch(text)
            if match is not None:
                break
        else:
            return None
        found = match.group(*plan.names)
        key, (minute, second, fraction) = found[: plan.count], plan.take(found)
        if fraction or len(minute) != 2 or len(second) != 2 or minute > "59" or second > "59":
            return None
        if key not in hours:
            if len(hours) >= KEPT_HOURS:
                hours.clear()
            hours[key] = kind.find_hour(match, form)
        hour = hours[key]
        return hour and f"{hour}:{minute}:{second}+00:00"

    return write


@dataclass(frozen=True, slots=True)
class _Plan:
    """A pattern, and its groups: first the `count` ones that say the hour, then minute, second and fraction."""

    pattern: re.Pattern[str]
    names: Sequence[str]
    count: int

    @classmethod
    def of(cls, pattern: re.Pattern[str]) -> "_Plan":
        rest = [name for name in ("M", "S", "f") if name in pattern.groupindex]
        names = [name for name in pattern.groupindex if name not in rest]
        return cls(pattern, [*names, *rest], len(names))

    def take(self, found: Sequence[str | None]) -> tuple[str, str, str | None]:
        """Return minute, second and fraction; a format may lack the last one, the last two, or all three."""
        rest = (*found[self.count :], None, None, None)
        return rest[0] or "00", rest[1] or "00", rest[2]


@cache
def _compile_all(formats: tuple[str, ...], zones: tuple[tuple[str, str], ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(pattern for each in formats for pattern in compile_time(each, zones))


def _finish(moment: Moment, zone: tzinfo) -> datetime:
    """Return the instant in UTC. Raises ValueError for a leap second where there can't be one."""
    instant = moment.local.replace(tzinfo=zone).astimezone(UTC)
    if not moment.is_leap:
        return instant
    last = instant + timedelta(seconds=1)
    if (last.hour, last.minute, last.second, last.day) != (0, 0, 0, 1) or last.month not in (1, 7):
        raise ValueError("not a leap second")
    return last


Time = Annotated[datetime, TimeType()]
