"""Defines each setting of the pipeline once: default, meaning and check. A project sets only those that differ.

`conf.ETL_BATCH_SIZE` is the project's Django setting of that name, or the default.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Generic, TypeVar, overload
from urllib.parse import urlsplit

import limits
from django.conf import settings
from redis.connection import parse_url

SLACK_PREFIX = "slack+"
"""Marks an address of ALERT_WEBHOOKS that takes Slack's format; addresses at Slack itself need no mark."""

Value = TypeVar("Value")
Number = TypeVar("Number", int, float)


@dataclass(slots=True)
class Setting(Generic[Value]):
    """One setting. `parse` reads the value of an environment variable.

    Both `parse` and `fits` raise ValueError or TypeError for a value that can't be used.
    """

    default: Value
    meaning: str
    hint: str
    parse: Callable[[str], Value]
    fits: Callable[[Any], object]
    may_be_secret: bool = False
    name: str = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "Setting[Value]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> Value: ...
    def __get__(self, instance: object | None, owner: type) -> "Setting[Value] | Value":
        return self if instance is None else getattr(settings, self.name, self.default)

    def find_problem(self) -> str | None:
        """Return why the project's value can't be used, or None if it can."""
        value = getattr(settings, self.name, self.default)
        try:
            self.fits(value)
        except (ValueError, TypeError):
            return f"{self.name}{'' if self.may_be_secret else f' = {value!r}'} can't be used."
        return None


MOST_DAYS = 36_500
"""The longest age of rows to prune, a hundred years: much longer ones would lie before the first year."""


def _at_least(least: float) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < float("inf"):
            raise ValueError(value)

    return check


def _checked(parse: Callable[[str], Value], fits: Callable[[Any], object]) -> Callable[[str], Value]:
    """Return a parser that refuses what does not fit."""

    def parse_and_check(text: str) -> Value:
        value = parse(text)
        fits(value)
        return value

    return parse_and_check


def whole(default: int, meaning: str, *, least: int = 0) -> Setting[int]:
    """A whole number."""
    fits = _at_least(least)
    return Setting(default, meaning, f"Use a whole number, {least} or more.", _checked(int, fits), fits)


def seconds(default: float, meaning: str, *, least: float = 0) -> Setting[float]:
    """A number of seconds."""
    fits = _at_least(least)
    return Setting(default, meaning, f"Use a number of seconds, {least:g} or more.", _checked(float, fits), fits)


def whole_or_never(
    default: int | None, meaning: str, *, least: int = 0, most: int | None = None, unit: str = ""
) -> Setting[int | None]:
    """A whole number; None (in the environment: never) for no limit."""

    def fits(value: Any) -> None:
        if value is not None:
            _at_least(least)(value)
            if most is not None and value > most:
                raise ValueError(value)

    def parse(text: str) -> int | None:
        return None if text.lower() == "never" else int(text)

    bounds = f"{least} or more" if most is None else f"from {least} to {most:,}"
    hint = f"Use a whole number{unit}, {bounds}, or never."
    return Setting(default, meaning, hint, _checked(parse, fits), fits)


def days(default: int | None, meaning: str) -> Setting[int | None]:
    """A whole number of days; None (in the environment: never) for no limit."""
    return whole_or_never(default, meaning, least=1, most=MOST_DAYS, unit=" of days")


def text(default: str, meaning: str, *, fits: Callable[[Any], object] = str, hint: str = "") -> Setting[str]:
    """A string; `fits` raises ValueError if it can't be used."""
    return Setting(default, meaning, hint, _checked(str, fits), fits, may_be_secret=True)


def items(
    default: Sequence[str],
    meaning: str,
    *,
    fits_item: Callable[[str], object] = str,
    hint: str = "Use a list of strings.",
) -> Setting[Sequence[str]]:
    """A list of strings, separated by commas in the environment; `fits_item` raises ValueError for a wrong one."""

    def fits(value: Any) -> None:
        if isinstance(value, str) or not all(isinstance(item, str) for item in value):
            raise ValueError(value)
        for item in value:
            fits_item(item)

    def parse(text: str) -> list[str]:
        return [item.strip() for item in text.split(",") if item.strip()]

    return Setting(default, meaning, hint, _checked(parse, fits), fits)


def webhooks(meaning: str) -> Setting[Sequence[str]]:
    """A list of http(s) addresses, which are never shown."""
    every = items((), meaning)

    def fits(value: Any) -> None:
        every.fits(value)
        for address in value:
            parts = urlsplit(address.removeprefix(SLACK_PREFIX))
            _ = parts.port  # raises ValueError if it is not a number
            if parts.scheme not in ("http", "https") or not parts.hostname or not address.isprintable():
                raise ValueError(address)

    hint = "Use addresses such as https://example.org/alerts or slack+https://example.org/hook, separated by commas."
    return Setting((), meaning, hint, _checked(every.parse, fits), fits, may_be_secret=True)


def _is_rate(value: str) -> None:
    if value:
        limits.parse(value)


def parse_boolean(word: str) -> bool:
    """Return what a word such as on or off says."""
    words = dict.fromkeys(("true", "on", "yes", "1"), True) | dict.fromkeys(("false", "off", "no", "0"), False)
    if word.lower() not in words:
        raise ValueError(word)
    return words[word.lower()]


def boolean(meaning: str, *, default: bool) -> Setting[bool]:
    """True or False; in the environment on or off."""

    def fits(value: Any) -> None:
        if not isinstance(value, bool):
            raise TypeError(value)

    return Setting(default, meaning, "Use on or off.", parse_boolean, fits)


def choice(default: str, choices: Sequence[str], meaning: str) -> Setting[str]:
    """One of these words."""

    def fits(value: Any) -> None:
        if value not in choices:
            raise ValueError(value)

    return Setting(default, meaning, f"Use {' or '.join(choices)}.", _checked(str, fits), fits)


def _is_redis(value: str) -> None:
    if value:
        parse_url(value)  # type: ignore[no-untyped-call]


def rate(default: str, meaning: str) -> Setting[str]:
    """A rate such as 10/minute; an empty one sets no limit."""
    return Setting(default, meaning, f"Use a rate such as {default}.", _checked(str, _is_rate), _is_rate)


def _is_peer(value: str) -> None:
    """Raise ValueError unless the value is a host name, an address or a network."""
    looks_like_numbers = re.fullmatch(r"[0-9.]+", value) is not None
    if looks_like_numbers or not re.fullmatch(r"[\w-]+(\.[\w-]+)*\.?", value):
        ip_network(value)


class Settings:
    """All settings, by name."""

    ETL_SOURCES = items((), "Dotted paths of source classes, or of callables that give sources.")
    ETL_DATABASE = text("default", "The alias in DATABASES of the database with Kasparro's tables.")
    ETL_BATCH_SIZE = whole(10_000, "Records in one transaction.", least=1)
    ETL_LEASE_SECONDS = seconds(60, "How long a run owns its source without renewing its lease.", least=0.5)
    ETL_TASK_SECONDS = seconds(600, "After this time a worker's task hands its run over to the next task.", least=0.1)
    ETL_BATCH_DEADLINE_SECONDS = seconds(600, "A run that lands no batch for this long loses its source.", least=0.5)
    ETL_RESEND_SECONDS = seconds(60, "The message of a queued run is sent again after this time.", least=0.1)

    ETL_MAX_RECORD_BYTES = whole(1 << 20, "A JSON record of more bytes is refused.", least=1000)
    ETL_READING_PROCESS_BYTES = whole_or_never(
        4 << 20,
        "Content with at least this many bytes left to read is read by a second process on another core. With 0 the "
        "run waits until it has started.",
    )

    ETL_UNPACKED_MAX_BYTES = whole(
        4 << 30, "The largest content of a gzip or zip file, from a file, a storage or a server.", least=1
    )

    ETL_HTTP_RETRIES = whole(4, "Retries of a request after 429, 5xx, a connection error or a truncated body.")
    ETL_HTTP_BACKOFF_SECONDS = seconds(1, "The wait before the first retry. Each further wait is twice as long.")
    ETL_HTTP_BACKOFF_CAP_SECONDS = seconds(10, "The longest wait between two retries.")
    ETL_HTTP_TIMEOUT_SECONDS = seconds(30, "The longest time without a byte from the server.", least=0.1)
    ETL_HTTP_DEADLINE_SECONDS = seconds(300, "The longest time for one complete response.", least=0.1)
    ETL_HTTP_MAX_BYTES = whole(1 << 30, "The largest response, after decompression.", least=1)
    ETL_HTTP_MAX_PAGES = whole(100_000, "The most pages that one read of an API asks for.", least=1)
    ETL_HTTP_ALLOW = items(
        (),
        "Host names, addresses and networks that sources may reach although they are not public.",
        fits_item=_is_peer,
        hint="Use host names, addresses or networks such as erp.example.com, 10.0.3.4 or 10.0.0.0/8.",
    )

    ETL_PRUNE_RAW_DAYS = days(365, "Age at which `prune` removes superseded raw records.")
    ETL_PRUNE_KEEP_VERSIONS = whole(3, "Number of raw versions of a record to keep regardless of age.", least=1)
    ETL_PRUNE_QUARANTINE_DAYS = days(365, "Days after which `prune` removes resolved refused records.")
    ETL_PRUNE_EVENTS_DAYS = days(90, "Age at which `prune` removes run events.")
    ETL_PRUNE_RUNS_DAYS = days(365, "Age at which `prune` removes runs.")
    ETL_PRUNE_KEEP_RUNS = whole(100, "Number of runs of a source to keep regardless of age.", least=1)

    ALERT_WEBHOOKS = webhooks("Addresses to which alerts are posted.")
    ALERT_WEBHOOK_SECRET = text("", "The key of the signature of each alert that is posted.")

    REDIS_URL = text(
        "redis://localhost:6379/0",
        "The Redis server for locks, rate limits and liveness; empty for none.",
        fits=_is_redis,
        hint="Use redis://HOST:PORT/0, or an empty string for none.",
    )
    REDIS_KEY_PREFIX = text(
        "kasparro:",
        "Prefix of the keys in Redis; each database needs its own. Rate limits, which all share, have none.",
    )

    COINGECKO_BASE_URL = text("https://api.coingecko.com/api/v3", "The address of CoinGecko's API.")
    COINGECKO_API_KEY = text("", "CoinGecko's demo key, sent to that address only.")
    ETL_RATE_LIMIT_COINGECKO = rate(
        "10/minute", "Rate limit of requests to CoinGecko's public address, for all workers together."
    )
    COINPAPRIKA_BASE_URL = text("https://api.coinpaprika.com/v1", "The address of CoinPaprika's API.")
    ETL_RATE_LIMIT_COINPAPRIKA = rate(
        "20/hour", "Rate limit of requests to CoinPaprika's public address, for all workers together."
    )
    PRODUCTS_CSV = text("data/products.csv", "The products file.")
    VENDORS_CSV = text("data/vendors.csv", "The vendors file.")
    LISTINGS_JSON = text("data/listings.ndjson", "The listings: a file or an http(s) address.")


conf = Settings()


def list_settings() -> Iterator[Setting[Any]]:
    """Return every setting, in the order of definition."""
    return list_settings_of(Settings)


def list_settings_of(table: type) -> Iterator[Setting[Any]]:
    """Return every setting of a class like `Settings`, in the order of definition."""
    return (value for value in vars(table).values() if isinstance(value, Setting))


def find_base() -> Path:
    """Return the folder that relative paths of sources start from: the project's BASE_DIR or the working directory."""
    return Path(getattr(settings, "BASE_DIR", "."))
