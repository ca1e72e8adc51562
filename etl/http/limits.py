"""How long a server asks to wait: by Retry-After, or by the headers with which APIs announce their limits. Pure."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

LONGEST_WAIT_SECONDS = 86_400.0
RETRIED_STATUSES = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, 429, *range(500, 600)})

_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
_DURATION = re.compile(r"(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+(?:\.[0-9]+)?)s)?(?:([0-9]+)ms)?")
_REMAINING = re.compile(r"(?:^|[;,\s])(?:r|remaining)=([0-9]+)")
_RESET = re.compile(r"(?:^|[;,\s])(?:t|reset)=([0-9]+)")
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
    request because of it: other responses announce it too. Units: seconds, or a time since 1970 in seconds or
    milliseconds, as GitHub, Shopify, OpenAI and the drafts of the IETF write it.
    """
    if "Retry-After" in headers:
        return _clip(_parse_retry_after(headers["Retry-After"], now))
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.FORBIDDEN) or _is_exhausted(headers):
        return _clip(_find_reset(headers, now))
    return 0


def _is_exhausted(headers: Mapping[str, str]) -> bool:
    remaining = [headers[name].strip() for name in _REMAINING_NAMES if name in headers]
    remaining += _REMAINING.findall(headers.get("RateLimit", "").lower())
    return any(re.fullmatch(r"0+(\.0+)?", each) for each in remaining)


def _find_reset(headers: Mapping[str, str], now: datetime) -> float:
    values = [headers[name] for name in _RESET_NAMES if name in headers]
    values += _RESET.findall(headers.get("RateLimit", "").lower())
    return next((seconds for value in values if (seconds := _parse_reset(value, now)) > 0), 0)


def _parse_retry_after(text: str, now: datetime) -> float:
    """Return the seconds from now on; 0 for anything but a number of seconds or a date."""
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text) else _parse_date(text, now)


def _parse_reset(text: str, now: datetime) -> float:
    """Return the seconds from now on; 0 for anything but a number, a duration (`6m0s`) or a date."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        number = float(text)
        number /= 1000 if number >= _LEAST_EPOCH_MILLISECONDS else 1
        return number - now.timestamp() if number >= _LEAST_EPOCH else number
    if text and (duration := _DURATION.fullmatch(text)):
        hours, minutes, seconds, milliseconds = (float(part or 0) for part in duration.groups())
        return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
    return _parse_date(text, now)


def _parse_date(text: str, now: datetime) -> float:
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            date = parse(text)
            return (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
        except (ValueError, TypeError, OverflowError):
            continue
    return 0


def _clip(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)
