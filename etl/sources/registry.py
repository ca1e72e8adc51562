"""The sources that ETL_SOURCES names, in its order."""

from django.utils.module_loading import import_string

from etl.conf import conf
from etl.readers.base import Source


def list_sources() -> list[Source]:
    """All of them; checks.py has found each to be importable and sound."""
    return [import_string(path)() for path in conf.ETL_SOURCES]


def find_source(name: str) -> Source | None:
    """The source of this name, if ETL_SOURCES has one."""
    return next((source for source in list_sources() if source.name == name), None)
