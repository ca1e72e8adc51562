"""The sources that ETL_SOURCES names, in its order: classes, and callables that give sources.

A callable is called each time sources are listed, so a row that a team adds to its table is a source at once.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError
from django.utils.module_loading import import_string

from etl.conf import conf
from etl.database import atomic, list_connections
from etl.exceptions import describe_misuse, describe_place
from etl.readers.source import Source

logger = logging.getLogger(__name__)

_HINT = "ETL_SOURCES takes dotted paths to source classes, or to callables that give sources, separated by commas"
_reported: dict[str, str] = {}
"""The last problem of each entry that this process has logged."""


@dataclass(frozen=True, slots=True)
class NotListed:
    """Why an entry of ETL_SOURCES, or one of the sources that it gives, is not listed: with the id of the check."""

    message: str
    hint: str
    id: str


def list_sources() -> list[Source]:
    """Return all sources, each name once. What can't be listed now is logged and left out: the others keep going."""
    sources: dict[str, Source] = {}
    for path in conf.ETL_SOURCES:
        found = list_entry(path)
        _report(path, [item.message for item in found if isinstance(item, NotListed)])
        for item in found:
            if isinstance(item, Source):
                sources.setdefault(item.name, item)
    return [*sources.values()]


def find_source(name: str) -> Source | None:
    """Return the source of this name, or None if ETL_SOURCES does not give it."""
    return next((source for source in list_sources() if source.name == name), None)


def is_incomplete() -> bool:
    """Whether ETL_SOURCES may give more sources than can be listed now."""
    return any(isinstance(item, NotListed) for path in conf.ETL_SOURCES for item in list_entry(path))


def list_entry(path: str) -> list[Source | NotListed]:
    """Return what one entry gives: a class itself, a callable its sources. Never raises."""
    try:
        entry = import_string(path)
    except Exception as error:  # noqa: BLE001  (a team's module may raise anything)
        text = f"{path} can't be imported: {_describe_import(path, error)}"
        return [NotListed(text, f"{_HINT}: etl.sources.products.ProductsCsv.", "etl.E001")]
    if isinstance(entry, type) and issubclass(entry, Source):
        return [_make(path, entry)]
    if isinstance(entry, type) or not callable(entry):
        return [NotListed(f"{path} is neither a source class nor a callable.", f"{_HINT}.", "etl.E002")]
    try:
        with _savepoints():
            given = entry()
            # A generator or a queryset raises only when it is read.
            items: list[Any] = [*given] if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    except DatabaseError as error:
        hint = "Run `manage.py migrate` if its table is missing."
        return [NotListed(f"{path} can't list its sources: {_describe(error)}", hint, "etl.W002")]
    except Exception as error:  # noqa: BLE001
        hint = "Let it return sources: instances or classes."
        return [NotListed(f"{path} can't list its sources: {_describe(error)}", hint, "etl.E010")]
    return [_make(path, item) for item in items]


def _make(path: str, item: object) -> Source | NotListed:
    if isinstance(item, type) and issubclass(item, Source):
        kind: type[Source] = item
        try:
            item = kind()
        except Exception as error:  # noqa: BLE001
            hint = "A class that takes arguments needs a callable that gives its instances."
            return NotListed(f"{path}: {kind.__name__} can't be made: {_describe(error)}", hint, "etl.E002")
    if not isinstance(item, Source):
        hint = "Derive it from CsvSource, JsonLinesSource, JsonApiSource or Source."
        return NotListed(f"{path} gives a {type(item).__name__}, which is not a source.", hint, "etl.E002")
    if not isinstance(getattr(item, "name", None), str):
        hint = "Add to the class, or set in __init__: name = a string."
        return NotListed(f"{path} has no name.", hint, "etl.E004")
    return item


@contextmanager
def _savepoints() -> Iterator[None]:
    """Keep the caller's transactions usable if a statement of the callable fails. Without one, nothing connects."""
    with ExitStack() as opened:
        for each in list_connections():
            if each.in_atomic_block:
                opened.enter_context(atomic(using=each.alias))
        yield


def _describe(error: Exception) -> str:
    """Say what is declared wrongly. Name any other error by class and place: its text may show values of a row."""
    return f"{describe_misuse(error) or f'{type(error).__name__} in {describe_place(error)}'}."


def _describe_import(path: str, error: Exception) -> str:
    """Name the module or the attribute that is missing, or what the module does wrongly."""
    module, _, attribute = path.rpartition(".")
    if isinstance(error, ModuleNotFoundError) and error.name:
        is_own = f"{module}.".startswith(f"{error.name}.")
        return f"there is no module {error.name!r}{'' if is_own else f', in {describe_place(error)}'}."
    if isinstance(error, ImportError) and isinstance(error.__cause__, AttributeError):
        return f"the module {module!r} has no {attribute!r}."
    return _describe(error)


def _report(path: str, problems: Sequence[str]) -> None:
    """Log problems when they appear, and not at each listing."""
    text = " ".join(problems)
    if text and _reported.get(path) != text:
        logger.error("ETL_SOURCES: %s The other sources keep going.", text)
    _reported[path] = text
