"""How dates and times are written: ISO 8601 and its relatives, and formats named as in strptime. Pure.

Formats are compiled to patterns of their own: Python's strptime accepts digits of every script, names months in the
process's language, and takes no zone by its name.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

ISO, RFC2822 = "iso", "rfc2822"
"""Formats that go by a name."""

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_MONTH_NUMBERS = {name[:3].lower(): number for number, name in enumerate(_MONTHS, start=1)}
_NUMBERS = {"Y": 4, "y": 2, "m": 2, "d": 2, "H": 2, "I": 2, "M": 2, "S": 2}
"""Directives of digits, and how many they have at most."""
_OFFSET = r"[Zz]|[+-][0-9]{2}(?::?[0-5][0-9](?::?[0-5][0-9])?)?"
_NO_ZONES = ("posix/", "right/", "posixrules")
"""Files among those of the zones that are none, or have another time than UTC."""
_OFFSET_PARTS = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})?:?([0-9]{2})?")
_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)
_SHORT_DAYS, _SHORT_MONTHS = ("|".join(name[:3] for name in names) for names in (_DAYS, _MONTHS))
_CLOCK = "(?P<H>[0-9]{2}):(?P<M>[0-9]{2})(?::(?P<S>[0-9]{2})(?:[.,](?P<f>[0-9]{1,9}))?)?"
_ISO_TIMES = (
    rf"(?P<Y>[0-9]{{4}})-(?P<m>[0-9]{{2}})-(?P<d>[0-9]{{2}})(?:[Tt]| +){_CLOCK}",
    f"(?P<Y>[0-9]{{4}})(?P<m>[0-9]{{2}})(?P<d>[0-9]{{2}})[Tt]{_CLOCK.replace(':(?P', '(?P')}",
)
_RFC2822 = (
    rf"(?:(?:{_SHORT_DAYS}), )?(?P<d>[0-9]{{1,2}}) (?P<b>{_SHORT_MONTHS}) (?P<Y>[0-9]{{4}})"
    r" (?P<H>[0-9]{2}):(?P<M>[0-9]{2})(?::(?P<S>[0-9]{2}))?"
)
_ZONE_NAME = r"(?:\[(?P<zone>[A-Za-z][A-Za-z0-9_+/-]*)\])?"

Zones = Sequence[tuple[str, str]]
"""Names of zones that values have, each with its offset or IANA name."""

ALWAYS_KNOWN: Mapping[str, tzinfo] = {"UTC": UTC, "GMT": UTC, "UT": UTC, "Z": UTC, "z": UTC}


@dataclass(frozen=True, slots=True)
class Moment:
    """What a text says: a date and time of day, and its zone if it names one.

    `is_leap` is a leap second, which counts as the second after it.
    """

    local: datetime
    zone: tzinfo | None = None
    place: str | None = None
    is_leap: bool = False


@cache
def compile_date(text: str) -> re.Pattern[str]:
    """Compile the format of a date. Raises ValueError if it is not one."""
    if text == ISO:
        return re.compile("(?P<Y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})")
    pattern = _compile(text, ())
    if others := sorted(pattern.groupindex.keys() - {"Y", "y", "m", "b", "d"}):
        raise ValueError(f"the format {text!r} is not of a date: it has %{others[0]}")
    return pattern


@cache
def compile_time(text: str, zones: Zones = ()) -> tuple[re.Pattern[str], ...]:
    """Compile the format of a time. Raises ValueError if it is not one."""
    if text not in (ISO, RFC2822):
        return (_compile(text, zones),)
    words = _join_words([*ALWAYS_KNOWN, *(name for name, _ in zones)])
    suffix = rf"(?: ?(?P<z>{_OFFSET}|{words}))?{_ZONE_NAME}"
    return tuple(re.compile(pattern + suffix) for pattern in (_ISO_TIMES if text == ISO else (_RFC2822,)))


def _compile(text: str, zones: Zones) -> re.Pattern[str]:
    directives = list(_DIRECTIVE.finditer(text))
    parts: list[str] = []
    end = 0
    for index, found in enumerate(directives):
        parts.append(re.escape(text[end : found.start()]))
        is_after = index > 0 and directives[index - 1].end() == found.start()
        is_before = index + 1 < len(directives) and directives[index + 1].start() == found.end()
        parts.append(_make_part(found[1], text, zones, is_fixed=is_after or is_before))
        end = found.end()
    try:
        pattern = re.compile("".join([*parts, re.escape(text[end:])]))
    except re.error:
        raise ValueError(f"the format {text!r} has a directive twice") from None
    names = pattern.groupindex.keys()
    if not ({"d"} <= names and names & {"Y", "y"} and names & {"m", "b"}):
        raise ValueError(f"the format {text!r} lacks the day, month or year (%d, %m, %Y)")
    if ("I" in names) != ("p" in names) or {"H", "I"} <= names:
        raise ValueError(f"the format {text!r} needs %I with %p, or %H alone")
    return pattern


def _make_part(name: str, text: str, zones: Zones, *, is_fixed: bool) -> str:
    """Return the pattern of one directive. Digits that touch other digits are of full width."""
    if name in _NUMBERS:
        width = _NUMBERS[name]
        return f"(?P<{name}>[0-9]{{{width}}})" if is_fixed or name in "Yy" else f"(?P<{name}>[0-9]{{1,{width}}})"
    others: dict[str, Callable[[], str]] = {
        "%": lambda: "%",
        "f": lambda: "(?P<f>[0-9]{1,9})",
        "p": lambda: r"(?P<p>[AaPp])\.?[Mm]\.?",
        "b": lambda: f"(?P<b>(?i:{_SHORT_MONTHS}))",
        "B": lambda: f"(?P<b>(?i:{'|'.join(_MONTHS)}))",
        "a": lambda: f"(?i:{_SHORT_DAYS})",
        "A": lambda: f"(?i:{'|'.join(_DAYS)})",
        "z": lambda: f"(?P<z>{_OFFSET})",
        "Z": lambda: f"(?P<z>{_join_words([*ALWAYS_KNOWN, *(each for each, _ in zones)])})",
    }
    if name not in others:
        known = " ".join(f"%{each}" for each in (*_NUMBERS, *others))
        raise ValueError(f"the format {text!r} has %{name}; known are {known}")
    return others[name]()


def _join_words(words: Sequence[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


def read_date(match: re.Match[str]) -> date:
    """Return the date that a pattern found. Raises ValueError if it does not exist."""
    found = match.groupdict()
    month = _MONTH_NUMBERS[found["b"][:3].lower()] if "b" in found else int(found["m"])
    return date(_read_year(found), month, int(found["d"]))


def _read_year(found: Mapping[str, str]) -> int:
    """Return the year; with two digits, 69 to 99 are 1969 to 1999 and the others 2000 to 2068, as in strptime."""
    if "Y" in found:
        return int(found["Y"])
    year = int(found["y"])
    return year + (1900 if year >= 69 else 2000)


def read_moment(match: re.Match[str], zones: Zones) -> Moment:
    """Return what a pattern found. Raises ValueError or OverflowError if there is no such time."""
    found = match.groupdict()
    day = read_date(match)
    hour, minute, second = _read_hour(found), int(found.get("M") or 0), int(found.get("S") or 0)
    micros = int((found.get("f") or "0").ljust(6, "0")[:6])
    is_end = hour == 24 and not (minute or second or micros)
    is_leap = second == 60
    local = datetime(  # noqa: DTZ001  (the zone comes later)
        day.year, day.month, day.day, 0 if is_end else hour, minute, 59 if is_leap else second, micros
    )
    local += timedelta(days=int(is_end))
    place = found.get("zone")
    zone = _read_zone(found["z"], zones) if found.get("z") else None
    return Moment(local, zone, place, is_leap)


def _read_hour(found: Mapping[str, str | None]) -> int:
    hour = int(found.get("H") or found.get("I") or 0)
    half = found.get("p")
    if half is None:
        return hour
    if not 1 <= hour <= 12:
        raise ValueError("not an hour of the twelve-hour clock")
    return hour % 12 + 12 * (half in "Pp")


def _read_zone(text: str, zones: Zones) -> tzinfo:
    own = dict(zones).get(text)
    return find_zone(own) if own is not None else ALWAYS_KNOWN.get(text) or find_zone(text)


@lru_cache(maxsize=1024)
def _find_named(text: str) -> ZoneInfo | None:
    """Return the zone of this name. A list of all names takes longer to make than all else at a start."""
    if isinstance(text, str) and not text.startswith(_NO_ZONES):
        with suppress(OSError, ValueError, ZoneInfoNotFoundError):
            return ZoneInfo(text)
    return None


def find_zone(text: str) -> tzinfo:
    """Return the zone of this IANA name or offset (+01:00). Raises ValueError if there is none."""
    if isinstance(text, str) and (match := _OFFSET_PARTS.fullmatch(text)):
        hours, minutes, seconds = (int(part or 0) for part in match.groups()[1:])
        offset = timedelta(hours=hours, minutes=minutes, seconds=seconds)
        return timezone(-offset if match[1] == "-" else offset)
    zone = _find_named(text)
    if zone is not None:
        return zone
    raise ValueError(f'{text!r} is not a zone: use a name such as "Europe/Berlin", or an offset such as "+01:00"')
