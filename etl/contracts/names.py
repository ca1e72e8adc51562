"""Finds the columns of fields among the names that a content has, however they are padded or capitalised. Pure."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

Spellings = tuple[str, ...]
"""The names that one column may have; the first one is shown."""

Key = TypeVar("Key", bound=Hashable)


def trim_name(name: str) -> str:
    """Return the name without blanks, no-break spaces and byte order marks around it."""
    return name.strip().strip("\ufeff").strip()


def _fold(name: str) -> str:
    return trim_name(name).casefold()


def find_columns(wanted: Mapping[Key, Spellings], names: Iterable[str]) -> dict[Key, str]:
    """Return the name of each wanted column that is there: spelled exactly so, else trimmed, else in another case.

    A name found by a stricter rule is not a candidate for a looser one, and of several candidates none is taken.
    """
    found: dict[Key, str] = {}
    left = dict.fromkeys(names)
    for write in (str, trim_name, _fold):
        candidates: defaultdict[str, list[str]] = defaultdict(list)
        for name in left:
            candidates[write(name)].append(name)
        open_ = {key: spellings for key, spellings in wanted.items() if key not in found}
        for key, spellings in open_.items():
            alike = next(filter(None, (candidates.get(write(each)) for each in spellings)), ())
            if len(alike) == 1:
                found[key] = alike[0]
        taken = set(found.values())
        left = {name: None for name in left if name not in taken}
    return found


def describe_respelled(respelled: Mapping[str, str]) -> str:
    """Say which columns are read under another name than the declared one; empty for none."""
    return ", ".join(f"{name!r} is read as {declared!r}" for name, declared in respelled.items())


def list_doubled(names: Sequence[str]) -> list[str]:
    """Return the names that occur more than once, sorted."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


def number_doubled(names: Sequence[str]) -> list[str]:
    """Return the names with a number after each that occurred before (`year (2)`), so that no column is lost."""
    given: dict[str, None] = {}
    for name in names:
        number, own = 1, name
        while own in given or (number > 1 and own in names):
            number += 1
            own = f"{name} ({number})"
        given[own] = None
    return list(given)
