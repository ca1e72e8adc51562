"""The sources that ETL_SOURCES names, in its order."""

from django.utils.module_loading import import_string

from etl.conf import conf
from etl.readers.source import Source


def list_sources() -> list[Source]:
    """Return all sources. The system checks ensure that each can be imported and is complete."""
    return [import_string(path)() for path in conf.ETL_SOURCES]


def find_source(name: str) -> Source | None:
    """Return the source of this name, or None if ETL_SOURCES does not name it."""
    return next((source for source in list_sources() if source.name == name), None)
