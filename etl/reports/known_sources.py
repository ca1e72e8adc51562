"""Lists the known sources: the ones in ETL_SOURCES, and any other source with a trace in the tables."""

from etl.database import connection
from etl.sources.registry import list_sources

SELECT_KNOWN = """
    SELECT unnest(%s::text[]) AS source
    UNION SELECT source FROM ingestion_checkpoints UNION SELECT source FROM etl_totals
    UNION SELECT source FROM etl_runs WHERE status IN ('queued', 'running')
"""
"""Selects one column `source`. The parameter is `list_configured()`."""


def list_configured() -> list[str]:
    """Return the names of the sources in ETL_SOURCES, in its order."""
    return [source.name for source in list_sources()]


def list_known() -> list[str]:
    """Return the sources of ETL_SOURCES in its order, then the others by name."""
    configured = list_configured()
    with connection.cursor() as cursor:
        cursor.execute(SELECT_KNOWN, [configured])
        found = {source for (source,) in cursor.fetchall()}
    return [*configured, *sorted(found - set(configured))]
