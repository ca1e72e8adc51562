"""How long a server asks to wait: by Retry-After, or by the headers with which APIs announce their limits. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

LONGEST_WAIT_SECONDS = 86_400.0
RETRIED_STATUSES = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, 429, *range(500, 600)})

_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
_DURATION = re.compile(r"(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+(?:\.[0-9]+)?)s)?(?:([0-9]+)ms)?")
_MEMBER = re.compile(r'(?:"(?:[^"\\]|\\.)*+"?|[^",])+')
_NAME = re.compile(r'\s*("(?:[^"\\]|\\.)*+"|[^\s;="]+(?=\s*(?:;|$)))')
_PARAMETER = re.compile(r"(?:^|;)\s*([a-z][a-z0-9_.*-]*)\s*=\s*([0-9]{1,15})(?![0-9])")
_REMAINING_NAMES = ("X-RateLimit-Remaining", "X-Rate-Limit-Remaining", "RateLimit-Remaining")
_RESET_NAMES = ("X-RateLimit-Reset-After", "RateLimit-Reset", "X-RateLimit-Reset", "X-Rate-Limit-Reset")
_LEAST_EPOCH = 100_000_000
"""A larger number is a time since 1970 and not a number of seconds: three years to wait, or March 1973."""
_LEAST_EPOCH_MILLISECONDS = 100_000_000_000


def is_retried(status: int, headers: Mapping[str, str]) -> bool:
    """Whether the same request may succeed later. A 403 is retried only if it says that a limit is exhausted."""
    if status == HTTPStatus.FORBIDDEN:
        return "Retry-After" in headers or _is_exhausted(headers)
    return status in RETRIED_STATUSES


def find_wait(status: int, headers: Mapping[str, str], now: datetime) -> float:
    """Return the seconds that the server asks to wait (at most a day); 0 if it asks for none.

    Retry-After (RFC 9110 §10.2.3) takes precedence. The reset of a limit counts only for a response that refuses the
    request because of it: other responses announce it too. A number is of seconds, or a time since 1970 in seconds or
    milliseconds, as GitHub, Shopify, OpenAI and the drafts of the IETF write it.
    """
    if (seconds := _parse_wait(headers.get("Retry-After", ""), now)) is not None:
        return _clip(seconds)
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.FORBIDDEN) or _is_exhausted(headers):
        return _clip(_find_reset(headers, now))
    return 0


def _is_exhausted(headers: Mapping[str, str]) -> bool:
    remaining = [text.strip() for name in _REMAINING_NAMES for text in headers.get(name, "").split(",")]
    return any(re.fullmatch(r"0+(\.0+)?", each) for each in remaining) or any(
        quota.is_exhausted for quota in _list_quotas(headers)
    )


def _find_reset(headers: Mapping[str, str], now: datetime) -> float:
    """Return the seconds until all exhausted limits start again. If none says so, the one that does first counts."""
    waits = [_parse_wait(headers.get(name, ""), now) for name in _RESET_NAMES]
    if named := next((seconds for seconds in waits if seconds is not None and seconds > 0), 0):
        return named
    quotas = [quota for quota in _list_quotas(headers) if quota.reset]
    exhausted = [quota.reset for quota in quotas if quota.is_exhausted]
    return max(exhausted) if exhausted else min((quota.reset for quota in quotas), default=0)


@dataclass(frozen=True, slots=True)
class _Quota:
    """One of the limits of a `RateLimit` header, and the seconds until it starts again (0 if that is unknown)."""

    is_exhausted: bool
    reset: float


def _list_quotas(headers: Mapping[str, str]) -> list[_Quota]:
    """Return the limits of `RateLimit`: `"name";r=0;t=30`, or in older drafts `limit=100, remaining=0, reset=50`.

    Without `t`, a limit starts again when the window has passed that `RateLimit-Policy` gives for it.
    """
    members = _list_members(headers.get("RateLimit", ""))
    if any("remaining" in numbers or "reset" in numbers for _, numbers in members):
        members = [("", {name: number for _, numbers in members for name, number in numbers.items()})]
    windows = {name: numbers.get("w", 0) for name, numbers in _list_members(headers.get("RateLimit-Policy", ""))}
    return [
        _Quota(
            is_exhausted=numbers.get("r", numbers.get("remaining")) == 0,
            reset=numbers.get("t", numbers.get("reset", windows.get(name, 0))),
        )
        for name, numbers in members
    ]


def _list_members(text: str) -> list[tuple[str, dict[str, float]]]:
    """Return the members of a structured list (RFC 9651): the name of each, and its parameters that are numbers."""
    members = []
    for member in _MEMBER.findall(text.lower()):
        name = _NAME.match(member)
        rest = member[name.end() :] if name is not None else member
        members.append((name[1] if name is not None else "", {key: float(n) for key, n in _PARAMETER.findall(rest)}))
    return members


def _parse_wait(text: str, now: datetime) -> float | None:
    """Return the seconds from now on; None for anything but a number, a duration (`6m0s`) or a date."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        number = float(text)
        number /= 1000 if number >= _LEAST_EPOCH_MILLISECONDS else 1
        return number - now.timestamp() if number >= _LEAST_EPOCH else number
    if text and (duration := _DURATION.fullmatch(text)):
        hours, minutes, seconds, milliseconds = (float(part or 0) for part in duration.groups())
        return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
    return _parse_date(text, now)


def _parse_date(text: str, now: datetime) -> float | None:
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            date = parse(text)
            return (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
        except (ValueError, TypeError, OverflowError):
            continue
    return None


def _clip(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)
